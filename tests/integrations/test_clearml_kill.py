"""A trainer that is killed: what its session in ClearML lacks, quark sync brings, once, and with the true end."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.session.sync import sync
from quark_integrations.sinks.clearml import ClearMLSink

from .clearml_server import ClearMLServer
from .clearml_session import UNSET, Session, clearml_environment, sessions

pytest.importorskip("clearml", reason='the ClearML client is needed: pip install "quark-tracker[clearml]"')
pytestmark = [
    pytest.mark.fault, pytest.mark.slow,
]  # fmt: skip
ROOT = Path(__file__).parents[2]

# Where it dies is a place in the program, not a time, so that each moment is really met.
TRAINER = """
import os, sys, time, quark
from quark_integrations.sinks.clearml import ClearMLSink
folder, moment, offline = sys.argv[1:]
sink = ClearMLSink(offline=offline == "offline")
die = lambda *told: os.kill(os.getpid(), 9)
took = 0
def after(method, deadly):
    def call(*told):
        global took
        method(*told)
        took += 1
        if took >= deadly:
            die()
    return call
if moment == "opened":
    sink.open_twin = after(sink.open_twin, 1)
elif moment == "unacknowledged":
    sink.take = after(sink.take, 3)
elif moment == "tables":
    sink._publish = lambda publish=sink._publish: (publish(), die())
elif moment == "ended":
    sink.end_twin = after(sink.end_twin, 1)
run = quark.start_run(project="p", run_id="r", name="n", config={"lr": 0.1}, storage_dir=folder + "/q", trackers=[sink])
if moment == "opened":
    time.sleep(60)
for step in range(2000):
    run.log({"loss": float(step), "acc": step / 7}, step=step)
    if moment == "start" and step == 100:
        die()
    if step % 300 == 0 and moment in ("middle", "unacknowledged"):
        while run.health()["sinks"]["clearml"]["pending"]:
            time.sleep(0.01)
quark.add_tag("t")
if moment == "middle":
    die()
run.finish("interrupted")
time.sleep(60)
"""
MOMENTS = {
    "opened": "failed", "start": "failed", "middle": "failed", "unacknowledged": "failed", "tables": "interrupted",
    "ended": "interrupted",
}  # fmt: skip
STATUS = {"failed": "failed", "interrupted": "stopped"}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ClearML lies outside of tmp_path, and it knows no server."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in clearml_environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def killed(folder: Path, moment: str, where: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINER, str(folder), moment, where], capture_output=True, text=True,
        check=False, cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **clearml_environment(folder), **environment},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def stored(folder: Path) -> tuple[Counter[tuple[str, int, float]], str, list[str]]:
    """The points of the run, its status and the types of its events, as Quark's own store has them."""
    with quark.open(folder / "q", sync=False) as store:
        view = store.run("r")
        points = Counter(
            (key, int(step), float(value))
            for key in view.keys()  # noqa: SIM118  a view is no mapping
            for step, value in zip(view.series(key).steps, view.series(key).values, strict=True)
        )
        return points, view.status, sorted(event.event_type for event in view.events())


def types(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["event_type"] for row in rows)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_session_equals_the_store(tmp_path: Path, moment: str) -> None:
    """Points, events, console and status are those of the store, nothing twice; a second sync changes nothing."""
    killed(tmp_path, moment, "offline")
    assert not sync(tmp_path / "q").problems
    found = Session(tmp_path)
    points, status, events = stored(tmp_path)
    assert status == MOMENTS[moment] and (moment == "opened" or points)
    assert found.counted() == points
    assert types(found.rows("events")) == events and len(found.lines) == len(events)
    assert (found.task["status"], found.task["name"], found.params()) == (STATUS[status], "n", {"lr": "0.1"})
    assert found.packed() == {"task.json", "metrics.jsonl", "log.jsonl"}
    assert found.task["tags"] == ([] if moment in ("opened", "start", "unacknowledged") else ["t"])
    before = {path: path.read_bytes() for path in found.path.rglob("*") if path.is_file()}
    assert sync(tmp_path / "q").delivered == {}
    assert {path: path.read_bytes() for path in found.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_task_on_a_server_equals_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The same against the double of a server: it holds everything, and no line of the console twice."""
    server = ClearMLServer()
    try:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        killed(tmp_path, moment, "online", **server.environment())
        assert not sync(tmp_path / "q").problems
        (task,) = server.tasks.values()
        points, status, events = stored(tmp_path)
        assert status == MOMENTS[moment]
        series = Counter((v, step, value) for m, v, step, value in server.points() if m == v)
        assert series == points and len(server.lines) == len(events)
        assert types(server.rows("events")) == events
        assert (task["status"], task["name"]) == (STATUS[status], "n")
        assert task["hyperparams"]["General"]["lr"]["value"] == "0.1"
    finally:
        server.stop()


def test_a_killed_run_that_is_resumed(tmp_path: Path) -> None:
    """The next attempt sends what the first one had not, then its own, into the same session."""
    killed(tmp_path, "middle", "offline")
    with quark.resume_run(run_id="r", storage_dir=tmp_path / "q", trackers=[ClearMLSink(offline=True)]) as run:
        run.log({"loss": -1.0}, step=2000)
    found, (points, status, events) = Session(tmp_path), stored(tmp_path)
    assert (len(sessions(tmp_path)), status, found.task["status"]) == (1, "completed", "completed")
    assert found.counted() == points and points["loss", 2000, -1.0] == 1
    assert types(found.rows("events")) == events


OF_THE_USER = """
import os, sys, time
from clearml import Task
options = dict(auto_connect_arg_parser=False, auto_connect_frameworks=False, auto_resource_monitoring=False,
               auto_connect_streams=False)
task = Task.init("theirs", "mine", tags=["own"], **options)
task.connect({"lr": 3})
import quark
run = quark.start_run(project="p", run_id="r", config={"lr": 4}, storage_dir="q", trackers=["clearml"])
for step in range(2000):
    run.log({"loss": float(step)}, step=step)
    if step == 500:
        task.get_logger().report_scalar("user", "x", 1.5, 0)
    if step == 900:
        while run.health()["sinks"]["clearml"]["pending"]:
            time.sleep(0.01)
        task.flush(wait_for_uploads=True)
os.kill(os.getpid(), 9)
"""


def test_a_session_of_the_users_whose_trainer_is_killed(tmp_path: Path) -> None:
    """What it lacks comes into the same session, once; its name, parameters, tags and own curve are as they were."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OF_THE_USER], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "CLEARML_OFFLINE_MODE": "1",
             **clearml_environment(tmp_path)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not sync(tmp_path / "q").problems
    found = Session(tmp_path)
    ours = [("loss", "loss", step, float(step)) for step in range(2000)]
    assert sorted(found.points()) == sorted([*ours, ("user", "x", 0, 1.5)])
    assert (found.task["name"], found.params(), found.params("QuarkConfig")) == ("mine", {"lr": "3"}, {"lr": "4"})
    assert found.task["tags"] == ["own"] and len(sessions(tmp_path)) == 1
