"""Trains a small CNN on handwritten digits and records it the way a user would."""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import require
from ..producers.artifacts import ArtifactStore
from ..producers.events import EventLogger
from ..session import TrainingSession, start_run

BATCH = 64
LEARNING_RATE = 3e-3
VALIDATION = 360
SEED = 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the training."""

    run_id: str
    storage_dir: str
    accuracy: float
    epochs: int
    steps: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Data:
    """The digits as tensors: images of 1 x 8 x 8 from 0 to 1, and their labels."""

    train: Any
    train_labels: Any
    validation: Any
    validation_labels: Any


def train(storage_dir: str | Path, epochs: int) -> Outcome:
    """Train for ``epochs`` passes and record the run in ``storage_dir``.

    Raises:
        MissingDependencyError: torch or scikit-learn is not installed.
    """
    torch: Any = require("torch", "demo")
    data = _load(torch)
    torch.manual_seed(SEED)
    # So small a network gains nothing from threads, and on a busy machine they wait for each other.
    torch.set_num_threads(1)
    model = _network(torch)
    config = {
        "model": "cnn-8x8", "optimizer": {"name": "adamw", "lr": LEARNING_RATE}, "batch_size": BATCH, "epochs": epochs,
        "seed": SEED, "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip
    began = time.monotonic()
    with (
        start_run(
            project="handwritten-digits", name="cnn", config=config, tags=["demo"], storage_dir=storage_dir
        ) as run,
        EventLogger(run) as events,
        ArtifactStore(run) as artifacts,
    ):
        accuracy = _fit(torch, model, data, run, events, epochs)
        _store_confusion(model, data, artifacts, epochs)
        steps = epochs * -(-len(data.train) // BATCH)
    return Outcome(run.run_id, run.storage_dir, accuracy, epochs, steps, time.monotonic() - began)


def _load(torch: Any) -> _Data:
    digits = require("sklearn.datasets", "demo").load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32, device="cpu").unsqueeze(1) / 16.0
    labels = torch.tensor(digits.target, device="cpu")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    images, labels = images[order], labels[order]
    return _Data(images[VALIDATION:], labels[VALIDATION:], images[:VALIDATION], labels[:VALIDATION])


def _network(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def _fit(torch: Any, model: Any, data: _Data, run: TrainingSession, events: EventLogger, epochs: int) -> float:
    from tqdm.auto import tqdm

    steps = -(-len(data.train) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    run.watch(model, optimizer)
    best = accuracy = 0.0
    with tqdm(total=epochs * steps, desc="training", unit="step", disable=None, file=sys.stderr) as bar:
        for epoch in range(epochs):
            for images, labels in run.steps(_batches(torch, data), epoch=epoch, total=steps, progress=False):
                optimizer.zero_grad(set_to_none=True)
                logits = model(images)
                loss = torch.nn.functional.cross_entropy(logits, labels)
                loss.backward()
                optimizer.step()
                run.log({
                    "train/loss": loss, "train/accuracy": (logits.argmax(1) == labels).float().mean(),
                    "optimizer/lr": schedule.get_last_lr()[0],
                })  # fmt: skip
                schedule.step()
                bar.update()
            last_step = (epoch + 1) * steps - 1
            loss_value, accuracy = _validate(torch, model, data)
            run.log({"val/loss": loss_value, "val/accuracy": accuracy}, step=last_step, epoch=epoch)
            bar.set_postfix(accuracy=f"{accuracy:.3f}")
            if accuracy > best:
                best = accuracy
                events.log("new_best", step=last_step, epoch=epoch, payload={"val/accuracy": accuracy})
    return accuracy


def _batches(torch: Any, data: _Data) -> Iterator[tuple[Any, Any]]:
    order = torch.randperm(len(data.train))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield data.train[chosen], data.train_labels[chosen]


def _validate(torch: Any, model: Any, data: _Data) -> tuple[float, float]:
    model.eval()
    with torch.no_grad():
        logits = model(data.validation)
        loss = torch.nn.functional.cross_entropy(logits, data.validation_labels)
        accuracy = (logits.argmax(1) == data.validation_labels).float().mean()
    model.train()
    return float(loss), float(accuracy)


def _store_confusion(model: Any, data: _Data, artifacts: ArtifactStore, epochs: int) -> None:
    """Which digit was taken for which: rows are the truth, columns what the network said."""
    model.eval()
    said = model(data.validation).argmax(1)
    matrix = [[0] * 10 for _ in range(10)]
    for truth, guess in zip(data.validation_labels.tolist(), said.tolist(), strict=True):
        matrix[truth][guess] += 1
    artifacts.store("confusion_matrix", "val/digits", {"labels": list(range(10)), "matrix": matrix}, epoch=epochs - 1)
    weights = model[0].weight.detach().flatten()
    counts, edges = _histogram(weights)
    artifacts.log_histogram("conv1/weights", bins=edges, counts=counts, epoch=epochs - 1)


def _histogram(values: Any, bins: int = 20) -> tuple[list[float], list[float]]:
    import numpy as np

    counts, edges = np.histogram(values.numpy(), bins=bins)
    return counts.tolist(), edges.tolist()
