"""Train a Lightning module with one line for Quark, break it off, and go on from its checkpoint in the same run.

`QuarkCallback` records every `self.log` value, learning rates, gradient norms, times and checkpoints. Needs Lightning
and scikit-learn. Run it with:  python examples/lightning_digits.py [storage_dir]
"""

import logging
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import quark
from quark_integrations.callbacks.lightning import QuarkCallback

warnings.filterwarnings("ignore", module="(lightning|torch)")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Digits(pl.LightningModule):
    """A small network that reads digits of 8 by 8 pixels."""

    def __init__(self, width: int = 64, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """The loss of a batch: images (size, 64), labels (size,)."""
        images, labels = batch
        loss = cross_entropy(self.net(images), labels)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        """How many of a batch are read right."""
        images, labels = batch
        self.log("val/accuracy", (self.net(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with the learning rate of the hyperparameters."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


class PowerCut(pl.Callback):
    """Breaks the training off in its second epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The end, for this time."""
        if trainer.current_epoch == 1:
            raise RuntimeError("the power is gone")


def main(storage_dir: str = "quark-runs") -> None:
    """Train in two attempts that are one run."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels))
    train, val = DataLoader(data, batch_size=64, shuffle=True), DataLoader(data, batch_size=256)
    saved = Path(storage_dir) / "checkpoints"

    def trainer(*others: pl.Callback) -> tuple[pl.Trainer, QuarkCallback]:
        callback = QuarkCallback("digits", storage_dir=storage_dir, grad_norms=True)
        saver = ModelCheckpoint(dirpath=saved, filename="last", enable_version_counter=False)
        made = pl.Trainer(
            max_epochs=3, accelerator="cpu", logger=False, callbacks=[callback, saver, *others],
            enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0,
        )  # fmt: skip
        return made, callback

    first, before = trainer(PowerCut())
    try:
        first.fit(Digits(), train, val)
    except RuntimeError as error:
        print(f"run {before.run_id} is broken off: {error}")
    second, after = trainer()
    second.fit(Digits(), train, val, ckpt_path=saved / "last.ckpt", weights_only=False)
    with quark.open(storage_dir) as store:
        run = store.run(str(after.run_id))
        print(f"run {run.id} is {run.status}, and was resumed {run.record.resume_count} time")
        print(f"accuracy by epoch: {run.series('val/accuracy').values.round(3).tolist()}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
