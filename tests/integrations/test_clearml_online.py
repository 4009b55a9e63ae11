"""A run's twin on a ClearML server: the real client's requests, a double of the server (see ``clearml_server``)."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import quark
from quark.records.base import Origin
from quark.session.sync import sync
from quark.testing import SinkContract, event_line, make_batch, make_manifest, metric_lines
from quark_integrations.sinks.clearml import ClearMLSink

from .clearml_server import ClearMLServer
from .clearml_session import UNSET, Session, clearml_environment

pytest.importorskip("clearml", reason='the ClearML client is needed: pip install "quark-tracker[clearml]"')
ROOT = Path(__file__).parents[2]
ORIGIN = Origin("run-1", "w")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClearMLServer]:
    """A server that clearml's environment names."""
    made = ClearMLServer()
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**clearml_environment(tmp_path), **made.environment()}.items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()


class TestContract(SinkContract):
    """The contract of every sink, against the double of a server."""

    kinds: ClassVar[frozenset[str] | None] = frozenset({"metric"})

    @pytest.fixture(autouse=True)
    def _server(self, server: ClearMLServer) -> None:
        self.server = server

    def make_sink(self, tmp_path: Path) -> ClearMLSink:
        return ClearMLSink()

    def read_back(self, sink: Any) -> Iterable[Any]:
        order = sorted(self.server.events.values(), key=lambda event: event.get("iter", 0))
        for event in order:
            if event["type"] == "training_stats_scalar" and event["variant"] != "epoch":
                title, series = event["metric"].removeprefix("rank_1/").removeprefix("rank_1"), event["variant"]
                key = series if title in (series, "") else f"{title}/{series}"
                yield "metric", key, event["iter"], event["value"]

    def broken(self, sink: Any) -> Any:
        return refusing(self.server)


class refusing:
    """Every request is answered with 500 meanwhile."""

    def __init__(self, server: ClearMLServer, status: int = 500) -> None:
        self.server, self.status = server, status

    def __enter__(self) -> None:
        self.server.refuse = self.status

    def __exit__(self, *told: object) -> None:
        self.server.refuse = None


def test_a_run_is_a_task(server: ClearMLServer, tmp_path: Path) -> None:
    """Project, name, tags, parameters, curves, console, tables and the end are on the server."""
    with quark.start_run(
        project="p/größe", name="läuft", config={"lr": 0.1, "net": {"depth": 3}}, tags=["a"],
        storage_dir=tmp_path / "q", trackers=["clearml"],
    ) as run:  # fmt: skip
        for step in range(300):
            run.log({"train/loss": 1 / (step + 1)}, step=step, epoch=step // 100)
        quark.add_tag("late")
    (task,) = server.tasks.values()
    assert (task["name"], server.projects) == ("läuft", {"p/größe": task["project"]})
    assert (task["tags"], task["status"]) == (["a", "late"], "completed")
    params = {name: item["value"] for name, item in task["hyperparams"]["General"].items()}
    assert params == {"lr": "0.1", "net/depth": "3"}
    assert json.loads(task["configuration"]["quark/config"]["value"]) == {"lr": 0.1, "net": {"depth": 3}}
    loss = [("train", "loss", step, 1 / (step + 1)) for step in range(300)]
    epochs = [("quark", "epoch", step, step // 100) for step in (0, 100, 200)]
    assert server.points() == sorted([*loss, *epochs])
    assert [row["event_type"] for row in server.rows("events")] == ["run_started", "run_ended"]
    assert any("run_started" in line["msg"] for line in server.lines)
    assert server.once()


def test_a_server_that_fails_costs_nothing(server: ClearMLServer, tmp_path: Path) -> None:
    """While it refuses, the records wait; afterwards all are there, each once."""
    with refusing(server, 503):
        run = quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[ClearMLSink()])
        for step in range(50):
            run.log({"x": float(step)}, step=step)
        deadline = time.monotonic() + 30
        while not run.health()["sinks"]["clearml"]["errors"] and time.monotonic() < deadline:
            time.sleep(0.02)
    assert run.flush(60)
    run.finish("completed")
    assert server.points() == [("x", "x", step, float(step)) for step in range(50)]
    assert len(server.tasks) == 1


def test_lines_that_came_are_not_sent_again(server: ClearMLServer, tmp_path: Path) -> None:
    """A process sent a batch and died before it noted that down: the next one sends it, the console has it once."""
    first = ClearMLSink()
    first.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    first.write(make_batch(ORIGIN, metric_lines(5)))
    noted = first.link.path.read_bytes()
    batch = make_batch(ORIGIN, [*metric_lines(5, first_step=5), event_line("saved"), event_line("told")], 5)
    first.write(batch)
    first.close()
    first.link.path.write_bytes(noted)
    again = ClearMLSink()
    again.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    again.write(batch)
    again.on_stop(None, "error")
    again.close()
    assert [step for *_, step, _ in server.points()] == list(range(10))
    assert ["saved" in line["msg"] for line in server.lines] == [True, False]
    (task,) = server.tasks.values()
    assert (task["status"], task["status_reason"]) == ("failed", "error")


def test_a_task_whose_id_was_not_noted_is_found(server: ClearMLServer, tmp_path: Path) -> None:
    """A process that died between the making of the task and the note of its id leaves no second task."""
    for _ in range(2):
        sink = ClearMLSink()
        sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
        sink.write(make_batch(ORIGIN, metric_lines(3)))
        sink.close()
        sink.link.path.unlink()
    assert len(server.tasks) == 1


def test_a_task_of_somebody_else_is_not_written_to(server: ClearMLServer, tmp_path: Path) -> None:
    """A link that leads to a task without this run's mark is dropped, and the run mirrored from its beginning."""
    sink = ClearMLSink()
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    foreign = server.answer("tasks.create", {"name": "foreign", "project": "p", "type": "training"})["id"]
    sink.link.backend_id, sink.link.positions = foreign, {ORIGIN.writer_id: 2}
    batch = make_batch(ORIGIN, metric_lines(3))
    with pytest.raises(LookupError, match="mirrored from its beginning"):
        sink.write(batch)
    assert sink.position(ORIGIN.writer_id) == 0
    sink.write(batch)
    sink.close()
    assert len(server.points()) == 3 and server.points(foreign) == []
    assert server.tasks[foreign]["status"] == "created"


def test_a_resumed_run_goes_on_and_a_child_has_its_parent(server: ClearMLServer, tmp_path: Path) -> None:
    """The second attempt has the same task id; a child's task names the parent's task."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path / "q", trackers=[ClearMLSink()]) as run:
        run.log({"x": 1.0}, step=9)
        run.finish("interrupted")
    (task,) = server.tasks.values()
    assert task["status"] == "stopped"
    with quark.resume_run(run_id="r", storage_dir=tmp_path / "q", trackers=[ClearMLSink()]) as run:
        run.log({"x": 2.0}, step=3)
    assert (len(server.tasks), task["status"]) == (1, "completed")
    assert server.points() == [("x", "x", 3, 2.0), ("x", "x", 9, 1.0)]
    with quark.start_run(project="p", parent_run_id="r", storage_dir=tmp_path / "q", trackers=[ClearMLSink()]) as run:
        run.log({"x": 1.0}, step=0)
    assert [one.get("parent") for one in server.tasks.values()] == [None, task["id"]]


def test_files_are_uploaded_as_they_are(server: ClearMLServer, tmp_path: Path) -> None:
    """An artifact's bytes are on the file server, and the task names them; a second one of the name stays beside."""
    with quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[ClearMLSink()]) as run:
        for text in ("one", "two"):
            quark.ArtifactStore(run).store("report", "note", text, step=1)
    (task,) = server.tasks.values()
    uris = {key: item["uri"].removeprefix(f"{server.address}/") for key, item in task["artifacts"].items()}
    assert {key: server.files[uri] for key, uri in uris.items()} == {"note": b"one", "note#2": b"two"}


def test_a_trainer_does_not_wait_for_a_server_that_hangs(server: ClearMLServer, tmp_path: Path) -> None:
    """Start, log and the end return while no request is answered."""
    server.awake.clear()
    run = quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[ClearMLSink()], close_timeout_s=0.2)
    for step in range(100):
        run.log({"x": float(step)}, step=step)
    run.finish("completed")
    assert run.health()["sinks"]["clearml"]["delivered"] == 0
    server.awake.set()
    assert not server.events


PLAIN = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
USER = """
import sys
from clearml import Task
mode, folder = sys.argv[1:]
options = dict(auto_connect_arg_parser=False, auto_connect_frameworks=False, auto_resource_monitoring=False,
               auto_connect_streams=False)
task = Task.init("theirs", "mine", tags=["own"], **options)
task.connect({"lr": 3})
import quark
with quark.start_run(project="p", name="other", config={"lr": 4, "n": {"a": 1}}, tags=["t"], storage_dir=folder,
                     trackers=["clearml"], close_timeout_s=60) as run:
    for step in range(20):
        run.log({"train/loss": float(step)}, step=step)
    quark.ArtifactStore(run).store("report", "note", "hello")
    task.get_logger().report_scalar("user", "x", 1.5, 0)
assert Task.current_task() is task and str(task.status) in ("in_progress", "created"), task.status
task.get_logger().report_scalar("user", "after", 2.5, 1)
task.close()
"""


def _user(folder: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USER, "x", folder / "q"], capture_output=True, text=True, check=False,
        cwd=folder, env={**PLAIN, **clearml_environment(folder), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


THEIRS = {
    *(("train", "loss", step, float(step)) for step in range(20)),
    ("user", "x", 0, 1.5),
    ("user", "after", 1, 2.5),
}


@pytest.mark.slow
def test_the_users_task_is_joined(server: ClearMLServer, tmp_path: Path) -> None:
    """It gets everything, is open afterwards, and keeps its name, its parameters and its own curves."""
    _user(tmp_path, **server.environment())
    (task,) = server.tasks.values()
    assert set(server.points()) == THEIRS and len(server.points()) == len(THEIRS)
    assert task["name"] == "mine" and {"own", "t"} <= set(task["tags"])
    values = {
        section: {name: item["value"] for name, item in items.items()} for section, items in task["hyperparams"].items()
    }
    assert (values["General"], values["QuarkConfig"]) == ({"lr": "3"}, {"lr": "4", "n/a": "1"})
    assert server.rows("events")


@pytest.mark.slow
def test_the_users_offline_task_is_joined(tmp_path: Path) -> None:
    """The same in the session that he has open; neither side's lines disturb the other's."""
    _user(tmp_path, CLEARML_OFFLINE_MODE="1")
    found = Session(tmp_path)
    assert sorted(found.points()) == sorted(THEIRS)
    assert (found.task["name"], found.params(), found.params("QuarkConfig")["lr"]) == ("mine", {"lr": "3"}, "4")
    assert [artifact["key"] for artifact in found.task["execution"]["artifacts"]] == ["note"]
    assert found.rows("events") and any("run_started" in line for line in found.lines)


@pytest.mark.slow
def test_clearml_imports_our_session(server: ClearMLServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ``Task.import_offline_session`` takes the folder and the zip, and the server then holds all of it."""
    with quark.start_run(
        project="p", name="n", config={"lr": 0.1}, tags=["t"], storage_dir=tmp_path / "q",
        trackers=[ClearMLSink(offline=True)],
    ) as run:  # fmt: skip
        for step in range(30):
            run.log({"train/loss": float(step)}, step=step)
        quark.ArtifactStore(run).store("report", "note", "hello")
    folder = Session(tmp_path).path
    code = f"from clearml import Task; print(Task.import_offline_session({str(folder) + '.zip'!r}))"
    environment = {**PLAIN, **clearml_environment(tmp_path), **server.environment()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (task,) = server.tasks.values()
    assert [point for point in server.points() if point[0] == "train"] == [
        ("train", "loss", step, float(step)) for step in range(30)
    ]
    assert (task["name"], task["tags"], task["hyperparams"]["General"]["lr"]["value"]) == ("n", ["t"], "0.1")
    assert server.rows("events") and any("run_started" in line["msg"] for line in server.lines)
    (artifact,) = task["execution"]["artifacts"]
    assert (artifact["key"], list(server.files.values())) == ("note", [b"hello"])


def test_an_offline_run_is_exported_online(
    server: ClearMLServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that was mirrored offline goes to the server when that is said, with its true end; unsaid it stays."""
    from typer.testing import CliRunner

    from quark.cli.entry import app

    with quark.start_run(
        project="p", run_id="r", storage_dir=tmp_path / "q", trackers=[ClearMLSink(offline=True)]
    ) as run:
        run.log({"x": 1.0}, step=0)
        run.finish("error")
    order = ["export", "r", "--storage-dir", str(tmp_path / "q"), "--to", "clearml"]
    assert CliRunner().invoke(app, order).exit_code == 0
    assert not server.tasks
    for _ in range(2):
        assert CliRunner().invoke(app, [*order, "--set", "offline=false"]).exit_code == 0
    (task,) = server.tasks.values()
    assert (task["status"], server.points()) == ("failed", [("x", "x", 0, 1.0)])
    assert server.once()
    assert "clearml-init" not in caplog.text and logging.getLogger("quark.clearml").propagate is False


def test_what_a_dead_server_left_is_synchronised(server: ClearMLServer, tmp_path: Path) -> None:
    """What waited when the run ended is delivered by ``quark sync``, with the end."""
    with refusing(server):
        run = quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[ClearMLSink()], close_timeout_s=0.5)
        run.log({"x": 1.0}, step=0)
        run.finish("interrupted")
    assert sync(tmp_path / "q").problems == []
    (task,) = server.tasks.values()
    assert (task["status"], server.points()) == ("stopped", [("x", "x", 0, 1.0)])
