"""The short way: start a run, go through the batches with `run.steps`, log what you measure.

`steps` knows the step, times data and compute, samples the machine, and draws a progress bar on a terminal.
Run it with:  python examples/custom_loop.py [storage_dir]
"""

import random
import sys
from collections.abc import Iterator

import quark

TRUE_SLOPE, TRUE_OFFSET = 3.0, -1.0
EPOCHS = 3


def batches(count: int, size: int = 32) -> Iterator[list[tuple[float, float]]]:
    """Points near a straight line."""
    for _ in range(count):
        xs = [random.uniform(-1, 1) for _ in range(size)]
        yield [(x, TRUE_SLOPE * x + TRUE_OFFSET + random.gauss(0, 0.1)) for x in xs]


def main(storage_dir: str = "quark-runs") -> None:
    """Fit a line by gradient descent and record every step."""
    random.seed(0)
    slope = offset = 0.0
    config = {"lr": 0.1, "model": {"kind": "line"}}
    with quark.start_run(project="custom-loop", name="line", config=config, storage_dir=storage_dir) as run:
        for epoch in range(EPOCHS):
            for batch in run.steps(batches(50), epoch=epoch, total=50):
                errors = [slope * x + offset - y for x, y in batch]
                slope -= config["lr"] * 2 * sum(e * x for e, (x, _) in zip(errors, batch, strict=True)) / len(batch)
                offset -= config["lr"] * 2 * sum(errors) / len(batch)
                run.log({"train/loss": sum(e * e for e in errors) / len(batch), "model": {"slope": slope}})
            run.add_log(f"Epoch {epoch} is done.")
    print(f"y = {slope:.2f} x {offset:+.2f}; run {run.run_id}: {run.status}")
    print(f"see it with: quark show {run.run_id} --storage-dir {storage_dir}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
