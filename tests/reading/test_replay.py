"""A stored run given to a sink once more."""

from pathlib import Path
from typing import ClassVar

import pytest

import quark
from quark import RecordBatch, RunManifest, Sink, StepState, StopReason
from quark.reading import RunView
from quark.reading.replay import replay


class Collecting(Sink):
    """Keeps batches and calls, and may fail at a batch."""

    name: ClassVar[str] = "collecting"

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.calls: list[str] = []
        self.batches: list[RecordBatch] = []
        self.held: dict[str, int] = {}

    def on_start(self, manifest: RunManifest) -> None:
        self.calls.append(f"start {manifest.project} {manifest.name}")

    def position(self, writer_id: str) -> int:
        return self.held.get(writer_id, 0)

    def write(self, batch: RecordBatch) -> None:
        if self.fail_at is not None and len(self.batches) == self.fail_at:
            raise OSError("gone")
        assert batch.first == self.position(batch.origin.writer_id)
        self.held[batch.origin.writer_id] = batch.stop
        self.batches.append(batch)

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        self.calls.append(f"stop {reason}")

    def close(self) -> None:
        self.calls.append("close")

    def content(self) -> list[dict[str, object]]:
        """What every record says, in the order of arrival."""
        return [record.to_dict() for batch in self.batches for record in batch.records()]


def test_a_replay_is_what_the_run_said(tmp_path: Path) -> None:
    """A sink is given the same records, in the same order and with the same numbers, as the one that was there live."""
    live = Collecting()
    with quark.start_run(project="p", name="n", config={"lr": 0.1}, storage_dir=tmp_path, trackers=[live]) as run:
        for step in range(1500):
            run.log({"a": step, "b": -step}, step=step)
        run.log({"c": 1.0}, step=3)
        run.add_log("half way")
    with quark.open(tmp_path) as store:
        later = Collecting()
        count = replay(store.run(run.run_id), later)
    assert later.content() == live.content()
    assert later.held == live.held
    assert count == sum(len(batch.lines()) for batch in later.batches) > 1500
    assert later.calls == ["start p n", "stop completed", "close"]
    (start,) = [mark for batch in later.batches for mark in batch.marks()]
    assert start.action == "start" and start.content["run"]["config"] == {"lr": 0.1}


def test_a_replay_goes_on_where_the_sink_stands(view: RunView) -> None:
    """After a fault, and when it is asked again, a sink gets what it lacks and nothing else."""
    whole = Collecting()
    replay(view, whole)
    broken = Collecting(fail_at=0)
    with pytest.raises(OSError, match="gone"):
        replay(view, broken)
    assert broken.calls[-1] == "close"
    broken.fail_at = None
    replay(view, broken)
    assert broken.content() == whole.content()
    assert replay(view, broken) == 0


def test_a_replay_from_a_step_on(view: RunView) -> None:
    """Earlier steps are left out, what has no step is not."""
    sink = Collecting()
    replay(view, sink, since=18)
    steps = [content["step"] for content in sink.content() if content.get("metric_key") == "train/loss"]
    assert steps == [18, 19]
    assert sum(content.get("metric_key") == "val/loss" for content in sink.content()) == 2


def test_every_writer_is_replayed(tmp_path: Path) -> None:
    """A run that was resumed comes back attempt by attempt."""
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="r") as run:
        run.log({"a": 1.0}, step=0)
        run.finish("interrupted")
    with quark.resume_run(run_id="r", storage_dir=tmp_path) as run:
        run.log({"a": 2.0}, step=1)
    sink = Collecting()
    with quark.open(tmp_path) as store:
        replay(store.run("r"), sink)
    assert [(batch.origin.attempt, batch.first) for batch in sink.batches] == [(1, 0), (2, 0)]
    assert [content["value"] for content in sink.content() if "metric_key" in content] == [1.0, 2.0]
    assert sink.calls[1:] == ["stop completed", "close"]


def test_a_run_that_goes_on_is_left_open(tmp_path: Path) -> None:
    """Only a run that has ended is ended in the backend."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"a": 1.0}, step=0)
        assert run.flush()
        sink = Collecting()
        with quark.open(tmp_path, sync=False) as store:
            replay(store.run(run.run_id), sink)
    assert sink.calls == [sink.calls[0], "close"] and sink.batches
