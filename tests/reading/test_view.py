"""What a run tells of itself."""

import contextlib
import getpass
import os
from pathlib import Path
from typing import get_args

import pytest

import quark
from quark import RecordFilter, RunNotFoundError, SchemaValidationError, SessionStoreError
from quark.reading import RunView


def test_what_the_run_is(view: RunView) -> None:
    """Name, project, status, configuration and tags are those that were given."""
    assert (view.name, view.project, view.status, view.reason) == ("cnn", "digits", "completed", "completed")
    assert (view.tags, view.config["optimizer"]) == (("a", "b"), {"name": "adamw"})
    assert view.environment["python"] and view.ended_at is not None and view.started_at < view.ended_at


def test_who_started_it_and_on_what(view: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user, the commit and the hardware at the start, and when the status changed last."""
    assert view.user_id == (os.environ.get("LOGNAME") or os.environ.get("USER") or getpass.getuser())
    assert view.version == view.record.git_commit
    assert view.resources == {name: view.environment[name] for name in ("cpu_count", "memory_bytes", "gpus")}
    assert view.status in quark.STATUSES and view.status_updated_at == view.ended_at


def test_a_resumed_run_has_its_status_since_then(tmp_path: Path) -> None:
    """A run that goes on again is running since its latest attempt began."""
    with contextlib.suppress(ValueError), quark.start_run(project="p", run_id="r", storage_dir=tmp_path):
        raise ValueError("stop here")
    with quark.open(tmp_path) as store:
        first = store.run("r")
        with quark.resume_run(run_id="r", storage_dir=tmp_path) as run:
            run.flush()
            again = store.run("r")
            assert again.status == "running" and again.status_updated_at > first.status_updated_at > again.started_at


def test_metrics_as_arrays(view: RunView) -> None:
    """A series has steps, epochs and values; -1 stands where a point has no step."""
    loss = view.series("train/loss")
    assert loss.steps.tolist() == list(range(20))
    assert loss.epochs.tolist() == [0] * 10 + [1] * 10
    assert loss.values.tolist() == [1.0 / (step + 1) for step in range(20)]
    assert view.series("val/loss").steps.tolist() == [-1, -1]
    assert view.keys() == ["train/loss", "val/loss"]


def test_an_unknown_metric_suggests_a_known_one(view: RunView) -> None:
    """A misspelt key is an error, not an empty array."""
    with pytest.raises(SessionStoreError, match="did you mean train/loss"):
        view.series("train/los")


def test_latest_and_chart(view: RunView) -> None:
    """The last point of every metric, and a metric in few stretches."""
    assert view.latest() == {"train/loss": (19, 0.05), "val/loss": (None, 0.5 - 0.19)}
    chart = view.chart("train/loss", buckets=4)
    assert (chart.count.sum(), chart.maximum.max(), chart.minimum.min()) == (20, 1.0, 0.05)


def test_records_stream_and_shorthands_are_tuples(view: RunView) -> None:
    """The same records either way."""
    streamed = tuple(view.records("event", RecordFilter(step_min=9, step_max=12)))
    assert streamed == view.events(step_min=9, step_max=12)
    assert [event.event_type for event in streamed] == ["checkpoint_saved", "spike_warning"]
    assert view.events(severity="warning")[0].event_type == "spike_warning"
    assert [record.value for record in view.metrics("train/loss", limit=2)] == [1.0, 0.5]
    assert view.alerts() == view.layers() == view.batches() == view.health_scores() == view.phases() == ()


def test_an_unknown_kind_is_refused(view: RunView) -> None:
    """The error lists the kinds."""
    with pytest.raises(SchemaValidationError, match=r"known; use one of .*metric"):
        view.records("events")


def test_artifacts_are_loaded_by_record_and_by_id(view: RunView) -> None:
    """Payloads come back as what they were; an unknown id is an error."""
    artifact = view.artifacts(artifact_key="val/digits")[0]
    assert view.load(artifact) == view.load(artifact.id) == {"matrix": [[1, 0], [0, 1]]}
    with pytest.raises(RunNotFoundError, match="no artifact"):
        view.load("nope")


def test_a_moved_directory_still_has_its_artifacts(tmp_path: Path, view: RunView) -> None:
    """Files are found beside the store, wherever it has been moved."""
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "-moved"))
    with quark.open(moved) as store:
        again = store.run(view.id)
        assert again.load(again.artifacts()[0]) == {"matrix": [[1, 0], [0, 1]]}
    moved.rename(tmp_path)


def test_refresh_sees_what_has_changed(tmp_path: Path) -> None:
    """A view is a look at one moment; refreshing looks again."""
    session = quark.start_run(project="p", storage_dir=tmp_path)
    session.flush()
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        assert view.status == "running"
        session.end_run()
        assert view.status == "running"
        assert view.refresh().status == "completed"


def test_attempts(tmp_path: Path) -> None:
    """A step that two attempts reached shows the later one, and both on request."""
    first = quark.start_run(project="p", storage_dir=tmp_path)
    for step in range(4):
        first.log({"loss": 1.0}, step=step)
    first.end_run("interrupted")
    second = quark.resume_run(run_id=first.run_id, storage_dir=tmp_path)
    for step in range(2, 6):
        second.log({"loss": 2.0}, step=step)
    second.end_run()
    with quark.open(tmp_path) as store:
        view = store.run(first.run_id)
        assert view.series("loss").values.tolist() == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
        assert len(view.series("loss", all_attempts=True)) == 8
        assert view.to_pandas(all_attempts=True)["attempt"].tolist() == [1] * 4 + [2] * 4


def test_a_notebook_shows_the_run_and_escapes_its_text(tmp_path: Path) -> None:
    """Status, metrics with pictures; a name that is HTML stays text."""
    with quark.start_run(project="p", name="<script>alert(1)</script>", tags=["<b>"], storage_dir=tmp_path) as run:
        run.log({"train/loss": 0.5}, step=0)
        run.log({"train/loss": 0.25}, step=1)
    with quark.open(tmp_path) as store:
        html = store.run(run.run_id)._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "&lt;b&gt;" in html
    assert "train/loss" in html and "<svg" in html and "completed" in html


def test_log_messages_have_a_level(tmp_path: Path) -> None:
    """Debug, Info, Warning and Error, each with the severity of its name."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for word in get_args(quark.LogIdentifier):
            run.add_log("m", identifier=word)
    with quark.open(tmp_path) as store:
        logged = store.run(run.run_id).events("user_log")
    assert [(one.payload["identifier"], one.severity) for one in logged] == [
        (word, word.lower()) for word in ("Debug", "Info", "Warning", "Error")
    ]
