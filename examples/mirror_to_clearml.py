"""A training that ClearML shows: its curves, parameters, tables and how it ended, in a task that Quark opens and ends.

Run it with:  python examples/mirror_to_clearml.py [storage_dir] [online]
Without "online" it writes an offline session, which needs no server.
"""

import math
import os
import sys
from pathlib import Path

import quark
from quark_integrations.sinks.clearml import ClearMLSink


def main(storage_dir: str = "quark-runs", where: str = "offline") -> None:
    """Record a run in ``storage_dir`` and mirror it; the offline session lies in a folder beside it."""
    directory = Path(storage_dir).absolute()
    if where == "offline":
        os.environ["CLEARML_CACHE_DIR"] = str(directory / "clearml")
    sink = ClearMLSink("examples", offline=where == "offline")
    config = {"optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 32}
    with quark.start_run(
        project="mirrored", name="first", config=config, tags=["example"], storage_dir=directory, trackers=[sink],
        close_timeout_s=90,
    ) as run:  # fmt: skip
        for step in range(200):
            loss = math.exp(-step / 60) + 0.05 * math.sin(step)
            run.log({"train/loss": loss, "train/accuracy": 1 - loss / 2}, step=step, epoch=step // 50)
    print(f"run {run.run_id} is the ClearML task {sink.link.backend_id}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
