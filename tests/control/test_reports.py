"""What a run tells of itself beside its metrics reads alike in a folder and in a service, and survives its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark import ArtifactStore

from .conftest import opened


def test_both_stores_answer_alike(where: str) -> None:
    """Progress, notes, summary and checkpoints are read as they were told."""
    with quark.start_run(project="p", run_id="r", strict_mode=True) as run:
        run.set_progress(3, 10)
        run.set_progress(1, operation="tuning", units="trials")
        run.note("the second\nattempt ✓")
        run.summary["accuracy"] = 0.5
        run.set_summary({"accuracy": 0.9, "best": {"step": 7}})
        assert dict(run.summary) == {"accuracy": 0.9, "best": {"step": 7}}
        with run.checkpoint("a.pt", step=1):
            pass
        artifact = ArtifactStore(run).store("checkpoint", "weights", b"123", step=2)
        run.checkpoint(artifact=artifact, step=2)
        assert run.latest_checkpoint() == run.latest_checkpoint() is not None
    with opened(where) as store:
        view = store.run("r")
        assert view.progress() == {
            "training": quark.ProgressReport("training", 3, 10, "steps"),
            "tuning": quark.ProgressReport("tuning", 1, None, "trials"),
        }
        assert (view.progress()["training"].fraction, view.progress()["tuning"].fraction) == (0.3, None)
        assert view.notes() == ("the second\nattempt ✓",)
        assert view.summary() == {"accuracy": 0.9, "best": {"step": 7}}
        assert view.keys() == []
        assert [(c.step, c.path, c.artifact_id, c.complete) for c in view.checkpoints()] == [
            (1, "a.pt", None, True), (2, None, artifact.id, True),
        ]  # fmt: skip
        latest = view.latest_checkpoint()
        assert latest is not None and latest.artifact_id == artifact.id


def test_an_incomplete_checkpoint_is_never_offered(where: str) -> None:
    """Not one whose writing failed, nor the older one that it was written over."""
    with quark.start_run(project="p", run_id="r") as run:
        with run.checkpoint("first.pt", step=10):
            pass
        with run.checkpoint("last.pt", step=20):
            pass
        with pytest.raises(OSError, match="disk"), run.checkpoint("last.pt", step=30):
            raise OSError("disk full")
        run.checkpoint("open.pt", step=40)
        latest = run.latest_checkpoint()
        assert latest is not None and (latest.path, latest.step) == ("first.pt", 10)
        run.finish("interrupted")
    with quark.resume_run(run_id="r") as run:
        latest = run.latest_checkpoint()
        assert latest is not None and (latest.path, latest.attempt) == ("first.pt", 1)
    with opened(where) as store:
        assert [(c.path, c.complete) for c in store.run("r").checkpoints()] == [
            ("first.pt", True), ("last.pt", False), ("open.pt", False),
        ]  # fmt: skip


KILLED = """
import os, signal, quark
run = quark.start_run(project="p", run_id="r")
run.note("before")
run.summary["a"] = 1
writer = run.checkpoint("torn.pt", step=5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_none_of_it(where: str) -> None:
    """What a call has returned for is there after kill -9, and the checkpoint in work is incomplete."""
    subprocess.run([sys.executable, "-c", KILLED], check=False, env=os.environ)
    from quark.session.sync import sync

    sync()
    with opened(where) as store:
        view = store.run("r")
        assert (view.notes(), view.summary(), view.latest_checkpoint()) == (("before",), {"a": 1}, None)
        assert [c.path for c in view.checkpoints()] == ["torn.pt"]


def test_progress_is_thinned_out(tmp_path: Path) -> None:
    """Ten thousand reports are a few records, among them the first, the final value and what was said last."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path) as run:
        for step in range(10_001):
            run.set_progress(step, 10_000)
        for step in range(3):
            run.set_progress(step, 10_000, operation="second")
    with quark.open(tmp_path) as store:
        view = store.run("r")
        assert view.progress()["training"].value == 10_000
        assert view.progress()["second"].value == 2
        assert len(view.events("progress")) < 100


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.set_progress(float("nan")), lambda run: run.set_progress("half"),
        lambda run: run.set_progress(1, operation=""), lambda run: run.note(" "), lambda run: run.note(3),
        lambda run: run.set_summary(3), lambda run: run.checkpoint(),
        lambda run: run.checkpoint("a", step=-1), lambda run: run.checkpoint("a", artifact="b"),
    ],
)  # fmt: skip
def test_bad_arguments(tmp_path: Path, call) -> None:
    """Refused by name in strict mode; elsewhere counted, and the training goes on."""
    strict = quark.start_run(project="p", storage_dir=tmp_path, strict_mode=True)
    with strict, pytest.raises((quark.SchemaValidationError, TypeError)):
        call(strict)
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        call(run)
        assert sum(fault["count"] for fault in run.health()["faults"].values()) == 1
    with quark.open(tmp_path) as store:
        for view in store.runs():
            refused = [event.payload for event in view.events("run_unrecorded")]
            assert len(refused) == (0 if view.id == strict.run_id else 1)
            assert view.counts() == {"event": 2 + len(refused)}
