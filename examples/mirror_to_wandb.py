"""Mirror a run into Weights & Biases: here offline, so that it needs no account.

Upload it later with `wandb login` and the command that is printed.
Run it with:  python examples/mirror_to_wandb.py [storage_dir]
"""

import math
import random
import sys
from pathlib import Path

import quark
from quark_integrations.sinks.wandb import WandbSink

STEPS = 200


def main(storage_dir: str = "quark-runs") -> None:
    """Record a loss that falls, with a spike in it, in Quark and in W&B."""
    random.seed(0)
    sink = WandbSink(project="mirrored", mode="offline", dir=storage_dir, summary={"val/loss": "min"})
    with quark.start_run(
        project="mirror-to-wandb", name="falling", config={"lr": 0.1}, tags=("example",), storage_dir=storage_dir
    ) as run:
        run.add_tracker(sink)
        for step in range(STEPS):
            loss = 2.0 * math.exp(-step / 60) + 0.05 * random.random() + (1.5 if step == 120 else 0.0)
            run.log({"train/loss": loss, "optimizer/lr": 0.1 * 0.99**step}, step=step, epoch=step // 50)
            if step % 50 == 49:
                run.log({"val/loss": loss * 1.1}, step=step, epoch=step // 50)
    for folder in sorted(Path(storage_dir, "wandb").glob("offline-run-*")):
        print(f"wandb sync {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
