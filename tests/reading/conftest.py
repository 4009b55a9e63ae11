"""Runs to read: one that trained for a while, one whose process was killed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import quark
from quark import ArtifactStore, EventLogger, MetricsLogger
from quark.reading import RunView

KILLED = """
import os, signal, sys
import quark
run = quark.start_run(project="p", storage_dir=sys.argv[1], run_id="killed-run")
for step in range(100):
    run.log({"train/loss": 1.0 / (step + 1)}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def dead_run(tmp_path: Path) -> str:
    """The id of a run in ``tmp_path`` whose process was killed after 100 steps, and whose journal waits."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    return "killed-run"


@pytest.fixture
def view(tmp_path: Path) -> Iterator[RunView]:
    """A run of 20 steps in 2 epochs with metrics, events and artifacts."""
    config = {"lr": 0.1, "optimizer": {"name": "adamw"}}
    with (
        quark.start_run(project="digits", name="cnn", config=config, tags=["a", "b"], storage_dir=tmp_path) as run,
        MetricsLogger(run) as metrics,
        EventLogger(run) as events,
        ArtifactStore(run) as artifacts,
    ):
        for step in range(20):
            metrics.log("train/loss", 1.0 / (step + 1), step=step, epoch=step // 10)
            if step % 10 == 9:
                metrics.log("val/loss", 0.5 - step / 100, epoch=step // 10)
        events.log("checkpoint_saved", step=9, payload={"path": "a.pt"})
        events.log("spike_warning", step=12)
        artifacts.store("confusion_matrix", "val/digits", {"matrix": [[1, 0], [0, 1]]}, step=19)
    with quark.open(tmp_path) as store:
        yield store.run(run.run_id)
