"""See inside a network in a loop of your own: a CNN on handwritten digits, its layers and its parameters.

`run.watch` looks at every 20th step. At the end the records say which layers are sparse, which units are dead and how
far each step moves the weights. Needs torch and scikit-learn.
Run it with:  python examples/watch_custom_loop.py [storage_dir]
"""

import sys
from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import nn

import quark
from quark import LayerSummaryRecord, ParameterSummaryRecord

EPOCHS = 3
BATCH = 64


def batches(images: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The digits in random order."""
    order = torch.randperm(len(images))
    for chosen in order.split(BATCH):
        yield images[chosen], labels[chosen]


def network() -> nn.Module:
    """A small CNN for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def main(storage_dir: str = "quark-runs") -> None:
    """Train, and say what went on inside."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with quark.start_run(project="watch-digits", config={"lr": 3e-3, "epochs": EPOCHS}, storage_dir=storage_dir) as run:
        run.watch(model, optimizer, every=20)
        for epoch in range(EPOCHS):
            for inputs, targets in run.steps(batches(images, labels), epoch=epoch, total=len(images) // BATCH + 1):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), targets)
                loss.backward()
                optimizer.step()
                run.log({"train/loss": loss.detach()})
    report(storage_dir, run.run_id)


def report(storage_dir: str, run_id: str) -> None:
    """The last probe, layer by layer."""
    with quark.open(storage_dir) as store:
        view = store.run(run_id)
        layers = [record for record in view.records("layer") if isinstance(record, LayerSummaryRecord)]
        parameters = [record for record in view.records("parameter") if isinstance(record, ParameterSummaryRecord)]
    last = layers[-1].step
    print(f"step {last}, activations: standard deviation, zeros, units that are dead")
    for record in layers:
        if record.step == last and record.summary_type == "activation":
            dead = record.metadata.get("unit_dead_ratio") or 0.0
            print(
                f"  {record.module_name:3} {record.module_type:12} {record.std:8.3f} "
                f"{record.dead_unit_ratio or 0.0:8.1%} {dead:8.1%}"
            )
    print("updates by weights")
    for record in parameters:
        if record.step == last and record.update_ratio is not None:
            print(f"  {record.parameter_name:12} {record.update_ratio:10.2e}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
