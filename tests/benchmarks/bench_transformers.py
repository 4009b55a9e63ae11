"""What the Transformers callback adds to trivial steps, beside TensorBoard's callback of Transformers itself."""

import random
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import TensorBoardCallback

from quark_integrations.callbacks.transformers import QuarkCallback

pytestmark = [pytest.mark.benchmark, pytest.mark.torch, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

STEPS = 500
ROUNDS = 7
GROSS = 1.25
"""A step of a Trainer without a network to speak of takes about a millisecond; this much more is no noise."""


class Net(torch.nn.Module):
    """One small layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.layer(x).square().mean()}


class Timed(TrainerCallback):
    """CPU time of the training thread, from the first step to the last."""

    began = ended = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == 0:
            self.began = time.thread_time()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.ended = time.thread_time()


def step_us(directory: Path, callbacks: list[Any], logging_steps: int) -> float:
    """CPU microseconds of a step."""
    timed = Timed()
    data: Any = [{"x": torch.ones(4)}] * STEPS
    arguments = TrainingArguments(
        str(directory / "out"), num_train_epochs=1, per_device_train_batch_size=1, use_cpu=True, disable_tqdm=True,
        save_strategy="no", report_to="none", logging_steps=logging_steps, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(Net(), arguments, train_dataset=data, callbacks=[*callbacks, timed])
    trainer.pop_callback(next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "PrinterCallback"))
    trainer.train()
    return (timed.ended - timed.began) / STEPS * 1e6


@pytest.mark.parametrize("logging_steps", [1, 100])
def test_a_step_costs_little_more(tmp_path, logging_steps):
    """Quark records a row of every step, however seldom the Trainer logs; TensorBoard has only what is logged."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ways = {
        "bare": list,
        "Quark": lambda: [QuarkCallback(storage_dir=tmp_path)],
        "TensorBoard": lambda: [TensorBoardCallback()],
    }
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name in random.sample(list(ways), len(ways)):
            costs[name].append(step_us(tmp_path, ways[name](), logging_steps))
    median = {name: statistics.median(values) for name, values in costs.items()}
    print(f"\nlogging_steps={logging_steps}")
    for name, value in median.items():
        print(f"{name:12} {value:8.0f} us a step, {value / median['bare']:.3f} x bare")
    assert median["Quark"] <= GROSS * median["bare"]
