"""Runs that live in a service: the same code, the same answers, and nothing lost while it is away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import quark
from quark import ArtifactStore, EventLogger, MetricsLogger

from .conftest import Service


def test_a_run_in_a_service_reads_like_one_in_a_folder(service: Service, tmp_path: Path) -> None:
    """Metrics, events, artifacts, config, tags and the end are there, through the session's own readers too."""
    service.start()
    with quark.start_run(project="p", name="n", config={"lr": 0.1}, tags=["a"]) as run, MetricsLogger(run) as metrics:
        for step in range(3000):
            metrics.log("train/loss", 1 / (step + 1), step=step)
        run.log({"a": 1.0, "b": 2.0}, step=5)
        EventLogger(run).log("saved", step=3, payload={"path": "x"})
        ArtifactStore(run).store("snapshot", "weights", {"w": [1, 2, 3]}, step=2)
        run.add_tag("b")
        assert len(metrics.read(metric_key="train/loss", step_min=10, step_max=19)) == 10
    assert not (Path(run.storage_dir) / ".quark" / "quark.db").exists()
    with quark.connect(service.url, user_key=service.key) as store:
        (view,) = store.runs(project="p")
        assert (view.id, view.status, view.reason, view.config, view.tags) == (
            run.run_id, "completed", "completed", {"lr": 0.1}, ("a", "b"),
        )  # fmt: skip
        series = view.series("train/loss")
        assert np.array_equal(series.steps, np.arange(3000)) and series.values[9] == 0.1
        assert view.keys() == ["a", "b", "train/loss"] and view.counts()["metric"] == 3002
        assert [event.event_type for event in view.events()][1:2] == ["saved"]
        (artifact,) = view.artifacts()
        assert view.load(artifact) == {"w": [1, 2, 3]}
        assert len(view.chart("train/loss", buckets=10).count) == 10
        assert len(list(view.records("metric"))) == 3002


def test_a_run_in_a_service_is_analyzed_when_it_ends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service holds is read back and judged; while it is away the run ends in its time, without a verdict."""
    monkeypatch.setattr("quark.session.closing.LEAST_S", 60.0)
    monkeypatch.setattr("quark.session.closing.MOST_S", 60.0)
    away = quark.start_run(project="p", close_timeout_s=0.3, analyze=True)
    for step in range(100):
        away.log({"train/loss": 1.0}, step=step)
    away.finish("completed")
    assert away.verdict is None
    service.start()
    with quark.start_run(project="p", analyze=True, close_timeout_s=120) as run:
        for step in range(100):
            run.log({"Train Loss": 0.9**step if step < 90 else float("nan")}, step=step)
    with quark.connect(service.url, user_key=service.key) as store:
        view = store.run(run.run_id)
        assert view.verdict() == run.verdict
        assert run.verdict is not None and run.verdict.severity == "critical"
        assert [alert.rule_id for alert in view.alerts()] == ["nonfinite_values"]


def test_a_run_starts_and_ends_without_its_service(service: Service, tmp_path: Path) -> None:
    """With the service down a run starts at once and ends within its time; sync delivers when the service is there."""
    start = time.perf_counter()
    run = quark.start_run(project="p", storage_dir=tmp_path / "runs", close_timeout_s=0.3)
    assert time.perf_counter() - start < 5
    for step in range(100):
        run.log({"loss": step}, step=step)
    run.finish("completed")
    service.start()
    from quark.session.sync import sync

    report = sync(tmp_path / "runs")
    assert report.problems == [] and report.delivered[run.run_id] >= 100
    with quark.connect(storage_dir=tmp_path / "runs") as store:
        view = store.run(run.run_id)
        assert (view.status, len(view.series("loss"))) == ("completed", 100)
    assert sync(tmp_path / "runs").delivered == {}


def test_a_service_that_dies_is_caught_up_with(service: Service, tmp_path: Path) -> None:
    """Killed in the middle and started again, it holds every record once and in order."""
    service.start()
    with quark.start_run(project="p", close_timeout_s=30) as run:
        for step in range(2000):
            run.log({"loss": step}, step=step)
            if step == 500:
                run.flush()
                service.stop(signal.SIGKILL)
            if step == 1500:
                service.start()
    with quark.connect() as store:
        series = store.run(run.run_id).series("loss")
    assert np.array_equal(series.steps, np.arange(2000))


KILLED = """
import os, signal, sys
import quark
run = quark.start_run(project="p", storage_dir=sys.argv[1], run_id="killed")
for step in range(1000):
    run.log({"loss": step}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_is_delivered_and_closed(service: Service, tmp_path: Path) -> None:
    """What a dead process left goes to the service that it was meant for, and the run reads lost."""
    service.start()
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, env=os.environ)
    from quark.session.sync import sync

    assert sync(tmp_path).lost == ["killed"]
    with quark.connect(storage_dir=tmp_path) as store:
        view = store.run("killed")
        assert (view.status, view.reason, len(view.series("loss"))) == ("failed", "lost", 1000)


def test_a_killed_run_of_two_with_one_id(service: Service, tmp_path: Path) -> None:
    """What is delivered and closed is the run of the project that died, not the one of another project with its id."""
    service.start()
    with quark.LocalSessionStore(tmp_path) as store:
        store.create_run(project="another", run_id="killed")
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, env=os.environ)
    from quark.session.sync import sync

    assert sync(tmp_path).lost == ["killed"]
    with quark.connect(storage_dir=tmp_path) as found:
        assert {view.project: view.status for view in found.runs()} == {"another": "running", "p": "failed"}


def test_a_run_is_resumed_from_the_service(service: Service, tmp_path: Path) -> None:
    """An interrupted run goes on as a second attempt; a completed one cannot."""
    service.start()
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="r") as run:
        run.log({"loss": 1.0}, step=0)
        run.finish("interrupted")
    with quark.resume_run(run_id="r", storage_dir=tmp_path) as run:
        run.log({"loss": 2.0}, step=1)
    with quark.connect(storage_dir=tmp_path) as store:
        view = store.run("r")
        assert (view.status, view.record.resume_count) == ("completed", 1)
        assert view.series("loss").values.tolist() == [1.0, 2.0]
    with pytest.raises(quark.InvalidRunStateError):
        quark.resume_run(run_id="r", storage_dir=tmp_path)
    with pytest.raises(quark.RunNotFoundError):
        quark.resume_run(run_id="nobody", storage_dir=tmp_path)


def test_a_service_stops_in_order(service: Service) -> None:
    """SIGTERM ends it with success."""
    service.start()
    assert service.stop() in (0, -signal.SIGTERM)


def test_a_process_that_died_while_it_tried_its_directory_out_is_in_nobodys_way(tmp_path: Path) -> None:
    """The file that it left among the journals stops no sync, and goes with the journals."""
    run = quark.start_run(project="p", storage_dir=tmp_path, run_id="r")
    journals = tmp_path / ".quark" / "journal" / "r"
    (journals / ".probe-1").write_bytes(b"")
    from quark.session.sync import sync

    assert sync(tmp_path).alive == ["r"]
    run.finish("completed")
    assert not journals.exists()


def test_a_service_that_has_moved(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records meant for another address wait and say so; `--url` delivers them, with the key, where the user says."""
    from quark.session.sync import sync

    right = os.environ["QUARK_PERSISTENCE_URL"]
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", "http://127.0.0.1:9")
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="moved", close_timeout_s=0.1) as run:
        run.log({"loss": 1.0}, step=0)
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", right)
    service.start()
    report = sync(tmp_path)
    assert report.delivered == {} and "http://127.0.0.1:9" in report.waiting[0] and "--url" in report.waiting[0]
    report = sync(tmp_path, url=right)
    assert report.problems == report.waiting == [] and report.delivered["moved"] > 0
    with quark.connect(storage_dir=tmp_path) as store:
        assert store.run("moved").series("loss").values.tolist() == [1.0]
