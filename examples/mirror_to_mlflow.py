"""A training that MLflow shows: its series, parameters, tables and how it ended, in a run that Quark opens and ends.

Run it with:  python examples/mirror_to_mlflow.py [storage_dir] [tracking_uri]
Look at it with:  mlflow ui --backend-store-uri sqlite:///quark-runs/mlflow.db
"""

import math
import os
import sys
from pathlib import Path

os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # MLflow tells of each table that it makes in a new database

import quark
from quark_integrations.sinks.mlflow import MLflowSink


def main(storage_dir: str = "quark-runs", tracking_uri: str | None = None) -> None:
    """Record a run in ``storage_dir`` and mirror it; without an address, into a database beside it."""
    directory = Path(storage_dir).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    sink = MLflowSink("mirrored", tracking_uri=tracking_uri or f"sqlite:///{directory}/mlflow.db")
    config = {"optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 32}
    with quark.start_run(
        project="mirrored", name="first", config=config, tags=["example"], storage_dir=directory, trackers=[sink],
        close_timeout_s=90,
    ) as run:  # fmt: skip
        for step in range(200):
            loss = math.exp(-step / 60) + 0.05 * math.sin(step)
            run.log({"train/loss": loss, "train/accuracy": 1 - loss / 2}, step=step, epoch=step // 50)
    print(f"run {run.run_id} is the MLflow run {sink.link.backend_id} at {sink.address.uri}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
