"""Records the runs that the browser looks at: python record_demo.py DIRECTORY. Real runs, the same each time."""

import math
import random
import sys
from pathlib import Path

import torch

import quark

STEPS = 240
SPIKES = (50, 90, 130, 170)
NAN = 200


def sweep(directory: Path) -> None:
    """Twelve runs: four learning rates, three seeds each; the highest rate ends worst."""
    for lr in (0.3, 0.1, 0.03, 0.01):
        for seed in range(3):
            draw = random.Random(f"{lr} {seed}")
            name = f"lr{lr}-seed{seed}"
            config = {"lr": lr, "seed": seed, "optimizer": {"name": "sgd", "momentum": 0.9}}
            with quark.start_run(
                project="sweep", name=name, config=config, tags=["baseline"], storage_dir=directory, run_id=name,
            ) as run:  # fmt: skip
                rate, floor = 0.01 + lr / 8, {0.3: 0.55, 0.1: 0.21, 0.03: 0.34, 0.01: 0.72}[lr]
                for step in range(120):
                    loss = floor + (2.3 - floor) * math.exp(-rate * step) + draw.gauss(0, 0.03)
                    run.log({"train/loss": loss, "lr": lr * (1 - step / 150)}, step=step)
                    if step % 10 == 9:
                        held_out = loss + 0.05 + draw.gauss(0, 0.01)
                        run.log({"val/loss": held_out, "val/accuracy": 0.99 - held_out / 4}, step=step)


def sick(directory: Path) -> None:
    """A deep network of sigmoids whose first layers learn nothing, with four spikes and a NaN in its loss."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers: list[torch.nn.Module] = []
    for _ in range(8):
        layers += [torch.nn.Linear(32, 32), torch.nn.Sigmoid()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs, targets = torch.randn(64, 32), torch.randint(0, 10, (64,))
    with quark.start_run(
        project="vision", name="sick-network", config={"lr": 0.05, "depth": 8}, storage_dir=directory, run_id="sick",
    ) as run:  # fmt: skip
        run.add_tracker(quark.LiveAnalyzer())
        run.watch(model, optimizer)
        for step in run.steps(range(STEPS)):
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = float(loss.detach())
            if step in SPIKES:
                value = 25.0 + step / 10
            run.log({"train/loss": math.nan if step == NAN else value}, step=step)
            if step % 5 == 0:
                run.log({"val/loss": 2.33 + 0.02 * math.sin(step / 9), "train/accuracy": 0.1 + step / 4000}, step=step)
            if step % 60 == 30:
                run.add_log(f"checkpoint at step {step}")


def hostile(directory: Path) -> None:
    """A run of which everything that people may choose tries to be more than text."""
    script = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"
    mirrored = "\u202etxet desrever\u202c"
    with quark.start_run(
        project="hostile", name=f"{script} {mirrored}", config={"quote": "\"'`</script>", "long": "x" * 10_000},
        tags=[script[:60], "'\"><b>"], storage_dir=directory, run_id="hostile",
    ) as run:  # fmt: skip
        for step in range(20):
            run.log({"train/<b>loss</b>": 1 / (step + 1), "a\"b'c": step}, step=step)
        run.add_log(f"{script} {mirrored} {'y' * 10_000}")
        with quark.ArtifactStore(run) as artifacts:
            artifacts.store("report", "<script>window.pwned=1</script>", f"<html>{script}</html>")


def main() -> None:
    """Record everything."""
    directory = Path(sys.argv[1])
    sweep(directory)
    sick(directory)
    hostile(directory)


if __name__ == "__main__":
    main()
