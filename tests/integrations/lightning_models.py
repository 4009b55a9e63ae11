"""Tiny modules and Trainers for the Lightning tests: a fit takes a fraction of a second."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

import quark

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip


def loader(batches: int = 6, size: int = 2) -> DataLoader:
    """Batches of four numbers, the same at each call."""
    return DataLoader(torch.randn(batches * size, 4, generator=torch.Generator().manual_seed(0)), batch_size=size)


class Tiny(pl.LightningModule):
    """One layer that logs in every place in which a module can log."""

    def __init__(self, lr: float = 0.1, depth: int = 1, api_key: str = "hush") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Linear(4, 2)
        self.used_rates: list[float] = []
        self.norms: list[float] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = self.net(batch).square().mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.log("late", float(self.trainer.global_step))

    def on_train_epoch_end(self) -> None:
        self.log("epoch_end", float(self.current_epoch))

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        loss = self.net(batch).square().mean()
        self.log("val_loss", loss)
        self.log("loss", loss, on_step=True, on_epoch=True)

    def test_step(self, batch: Any, index: int) -> None:
        self.log("acc@1", self.net(batch).mean())

    def predict_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.net(batch)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.used_rates.append(optimizer.param_groups[0]["lr"])
        gradients = [parameter.grad.flatten() for parameter in self.parameters() if parameter.grad is not None]
        self.norms.append(torch.cat(gradients).norm().item())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9), "interval": "step"}]


class Manual(pl.LightningModule):
    """Two optimizers that the module steps itself, as a GAN does."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)

    def training_step(self, batch: Any, index: int) -> None:
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            loss = self.second(self.first(batch)).square().mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.log("loss", loss)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.first.parameters(), 0.1), torch.optim.Adam(self.second.parameters(), 0.01)


def trainer(directory: Path, callbacks: Any = (), logger: Any = False, **options: Any) -> pl.Trainer:
    """A quiet Trainer on the processor."""
    given = {"max_epochs": 2, "enable_checkpointing": False, "log_every_n_steps": 1, **QUIET, **options}
    return pl.Trainer(default_root_dir=directory, callbacks=list(callbacks), logger=logger, **given)


def csv_points(path: Path) -> dict[str, list[tuple[int, float]]]:
    """What CSVLogger has written: the points (step, value) of every column, in the order of the file."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with path.open() as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for key, value in row.items():
                if value and key != "epoch":
                    points[key].append((step, float(value)))
    return dict(points)


def quark_points(view: Any) -> dict[str, list[tuple[int, float]]]:
    """What Quark holds of the module's own metrics."""
    found = {}
    for key in map(str, view.keys()):
        if not key.startswith(("system/", "optimizer/")):
            series = view.series(key)
            found[key] = list(zip(series.steps.tolist(), series.values.tolist(), strict=True))
    return found


def only(directory: Path) -> Any:
    """The one run of a store, as it is."""
    with quark.open(directory) as store:
        (view,) = list(store.runs())
        return copy_of(view)


def copy_of(view: Any) -> Any:
    """Everything that the tests look at, read while the store is open."""
    keys = view.keys()
    view.points = quark_points(view)
    view.all = {key: view.series(key) for key in keys}
    view.seen = {event.event_type: event for event in view.events()}
    view.event_list = [event.event_type for event in view.events()]
    view.layer_list = view.layers()
    view.telemetry_list = view.telemetry()
    return view


def fit(directory: Path, *, callbacks: Any = (), logger: Any = False, module: Any = None, val: Any = True, **options):
    """Fit a module; returns its Trainer and the module."""
    made = trainer(directory, callbacks, logger, **options)
    module = Tiny() if module is None else module
    made.fit(module, loader(), [loader(3), loader(2)] if val is True else val)
    return made, module
