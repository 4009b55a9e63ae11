"""An Ignite trainer recorded by one line: its loss, its evaluator's metrics, early stopping and checkpoints.

Needs pytorch-ignite, torch and scikit-learn. Run it with:  python examples/ignite_trainer.py [storage_dir]
"""

import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # of torch, about itself

import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping
from ignite.metrics import Accuracy, Loss
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import quark
from quark_integrations.callbacks.ignite import QuarkLogger


def loaders() -> tuple[DataLoader, DataLoader]:
    """The digits to train with, and those to evaluate with."""
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    train, rest = TensorDataset(images[:1400], labels[:1400]), TensorDataset(images[1400:], labels[1400:])
    return DataLoader(train, batch_size=64, shuffle=True), DataLoader(rest, batch_size=256)


def main(storage_dir: str = "quark-runs") -> None:
    """Train, and say what the run holds."""
    torch.manual_seed(0)
    training, evaluation = loaders()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    trainer = create_supervised_trainer(model, optimizer, criterion)
    evaluator = create_supervised_evaluator(model, {"accuracy": Accuracy(), "loss": Loss(criterion)})

    @trainer.on(Events.EPOCH_COMPLETED)
    def evaluate() -> None:
        evaluator.run(evaluation)

    patience = EarlyStopping(2, lambda engine: -engine.state.metrics["loss"], trainer, threshold=0.01)
    patience.logger.setLevel("WARNING")  # it says on the terminal that it stops
    evaluator.add_event_handler(Events.COMPLETED, patience)

    with QuarkLogger("ignite-digits", storage_dir=storage_dir, config={"lr": 3e-3}) as logger:
        logger.attach_trainer(trainer, optimizers=optimizer, evaluators={"val": evaluator}, model=model)
        saver = DiskSaver(Path(storage_dir) / "ignite-checkpoints", create_dir=True, require_empty=False)
        keep = Checkpoint({"model": model, "trainer": trainer, "quark": logger}, saver, n_saved=1)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, keep)
        trainer.run(training, max_epochs=20)
    with quark.open(storage_dir) as store:
        view = store.run(logger.run.run_id)
        accuracy = view.series("val/accuracy")
        print(f"{view.reason} after {len(accuracy.values)} epochs, accuracy {accuracy.values[-1]:.1%}")
        print("checkpoints:", len(view.events("checkpoint_saved")))


if __name__ == "__main__":
    main(*sys.argv[1:2])
