"""What the Lightning callback and logger add to an epoch of trivial steps, beside Lightning's own loggers."""

import gc
import logging
import random
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning.pytorch")
import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger

pytestmark = [pytest.mark.benchmark, pytest.mark.torch, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]

STEPS = 2000
ROUNDS = 9
GROSS = 1.25
"""The goal is 1.05; this much more is no noise."""


class Trivial(pl.LightningModule):
    """One small layer, one logged value; it takes the time from its first batch to its last."""

    cpu_s = wall_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(32, 2)

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        loss = self.net(batch).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def on_train_epoch_start(self) -> None:
        self.cpu_s, self.wall_s = time.thread_time(), time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.cpu_s, self.wall_s = time.thread_time() - self.cpu_s, time.perf_counter() - self.wall_s


def epoch(directory: Path, callback: Any, logger: Any, every: int) -> tuple[float, float]:
    """CPU microseconds of the training thread and wall microseconds, of one step."""
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=logger or False, callbacks=callback, log_every_n_steps=every,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=directory,
    )  # fmt: skip
    data = DataLoader(torch.randn(STEPS, 32), batch_size=1)  # type: ignore[arg-type]
    module = Trivial()
    gc.collect()
    gc.freeze()  # or one epoch of some pays for a search through all of torch's objects
    trainer.fit(module, data)
    gc.unfreeze()
    return module.cpu_s / STEPS * 1e6, module.wall_s / STEPS * 1e6


def compare(ways: dict[str, tuple[Callable[[], Any], Callable[[], Any], int]], directory: Path) -> dict[str, float]:
    """Print what every way costs, and return the CPU times as multiples of the first one's."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(ROUNDS):  # taking turns, in another order each time: the machine is shared
        for name in random.sample(list(ways), len(ways)):
            callback, logger, every = ways[name]
            if number < 2 or "MLFlow" not in name:  # an epoch of it takes many seconds
                costs[name].append(epoch(directory, callback(), logger(), every))
    cpu, wall = ({name: statistics.median(one[at] for one in found) for name, found in costs.items()} for at in (0, 1))
    bare = next(iter(ways))
    print(f"\n{'of one step of ' + str(STEPS):38}{'CPU us':>9}{'wall us':>9}{'CPU ratio':>11}{'wall ratio':>11}")
    for name in ways:
        print(f"{name:38}{cpu[name]:9.1f}{wall[name]:9.1f}{cpu[name] / cpu[bare]:11.3f}{wall[name] / wall[bare]:11.3f}")
    return {name: value / cpu[bare] for name, value in cpu.items()}


def nothing() -> None:
    return None


def test_cost_beside_other_loggers(tmp_path: Path) -> None:
    """The callback costs little beside a bare epoch, and less than each of Lightning's loggers at the same rate."""
    ratios = compare(
        {
            "bare Trainer": (nothing, nothing, 50),
            "QuarkCallback, every step": (lambda: QuarkCallback("bench", storage_dir=tmp_path), nothing, 50),
            "QuarkLogger, every step": (nothing, lambda: QuarkLogger("bench", storage_dir=tmp_path), 1),
            "CSVLogger, every step": (nothing, lambda: CSVLogger(tmp_path / "csv"), 1),
            "TensorBoardLogger, every step": (nothing, lambda: TensorBoardLogger(tmp_path / "tb"), 1),
            "MLFlowLogger, every step": (
                nothing, lambda: MLFlowLogger("bench", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"), 1
            ),
            "QuarkLogger, every 50 steps": (nothing, lambda: QuarkLogger("bench", storage_dir=tmp_path), 50),
            "CSVLogger, every 50 steps": (nothing, lambda: CSVLogger(tmp_path / "csv"), 50),
            "TensorBoardLogger, every 50 steps": (nothing, lambda: TensorBoardLogger(tmp_path / "tb"), 50),
            "MLFlowLogger, every 50 steps": (
                nothing, lambda: MLFlowLogger("bench", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"), 50
            ),
        }, tmp_path,
    )  # fmt: skip
    ours = ratios["QuarkCallback, every step"]
    assert ours <= GROSS
    assert ours < min(ratios[f"{name}Logger, every step"] for name in ("CSV", "TensorBoard", "MLFlow"))
