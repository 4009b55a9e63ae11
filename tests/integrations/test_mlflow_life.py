"""The life of a run in MLflow: whose it is, how it ends, outages, kills, resuming, and delivery afterwards."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.testing import alert_line, make_batch, make_manifest, metric_lines, run_line

pytest.importorskip("mlflow")
import mlflow
from mlflow import MlflowClient

from quark.records.base import Origin
from quark.session.sync import sync
from quark_integrations.sinks.mlflow import MLflowSink
from quark_integrations.sinks.mlflow.address import absolute, address_of, without_secret

from .mlflow_server import MlflowServer, content, points, rows

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("mlflow_quiet"),
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # MLflow's own
]  # fmt: skip
ROOT = str(Path(__file__).parents[2])
TRAINER = """
import os, signal, sys, time
import quark
from quark_integrations.sinks.mlflow import MLflowSink
directory, uri, moment = sys.argv[1:]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
sink = MLflowSink("kills", tracking_uri=uri, tables_every_s=0)
if moment == "made":  # after the run was made in MLflow, before its id was written down
    from quark_integrations.sinks.mirror import Link
    Link.save = lambda self: die()
run = quark.start_run(project="p", storage_dir=directory, config={"lr": 1}, trackers=[sink], close_timeout_s=60)
run.log({"loss": 0.5}, step=0)
if moment == "start":
    die()
if moment == "made":
    time.sleep(60)
for step in range(1, 1500):
    run.log({"loss": 1 / (step + 1), "acc": step}, step=step, epoch=step // 500)
    if step == 1000 and moment in ("middle", "late"):
        waits = run.health()["sinks"]["mlflow"]
        while waits["delivered"] == 0 or (moment == "late" and waits["pending"]):
            time.sleep(0.01)
            waits = run.health()["sinks"]["mlflow"]
        die()
if moment == "end":
    MLflowSink.end_twin = lambda self, status, reason: die()
run.finish("completed")
"""


@pytest.fixture(autouse=True)
def _no_run() -> Iterator[None]:
    """MLflow's own state of the process is as it was."""
    yield
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def database(mlflow_template: Path, tmp_path: Path) -> str:
    """An address without a server."""
    (tmp_path / "m.db").write_bytes(mlflow_template.read_bytes())
    return f"sqlite:///{tmp_path}/m.db"


def series(view: Any, key: str) -> list[tuple[int, float]]:
    """(step, value) as Quark's store has it."""
    found = view.series(key, all_attempts=True)
    return sorted(zip(found.steps.tolist(), found.values.tolist(), strict=True))


def equal_to_the_store(uri: str, directory: Path) -> Any:
    """There is one run in MLflow, which holds what the store holds, each value once; returns it."""
    client = MlflowClient(uri)
    with quark.open(directory) as store:
        (view,) = store.runs()
        found = [
            run
            for experiment in client.search_experiments()
            for run in client.search_runs([experiment.experiment_id], f"tags.`quark.run_id` = '{view.id}'")
        ]
        assert len(found) == 1
        for key in view.keys():  # noqa: SIM118  a view is no mapping
            assert sorted(points(uri, found[0].info.run_id, key)) == series(view, key)
        told = [row["event_type"] for row in rows(uri, found[0].info.run_id, "events", directory)]
        assert sorted(told) == sorted(event.event_type for event in view.events())
        status = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[view.status]
        assert found[0].info.status == status
    return found[0]


# Kills


@pytest.mark.fault
@pytest.mark.parametrize(
    ("moment", "apart"), [("start", "1"), ("made", "0"), ("middle", "0"), ("late", "1"), ("middle", "1"), ("end", "0")]
)
def test_a_killed_trainer_is_made_whole(mlflow_server: MlflowServer, tmp_path: Path, moment: str, apart: str) -> None:
    """Killed at any moment, with the sink in its process or in one of its own, the run is after quark sync one run in
    MLflow, equal to the store's, and FAILED."""
    arguments = [sys.executable, "-c", TRAINER, str(tmp_path), mlflow_server.uri, moment]
    environment = {**os.environ, "PYTHONPATH": ROOT, "QUARK_SINK_PROCESSES": apart}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert sync(tmp_path).problems == []
    made = equal_to_the_store(mlflow_server.uri, tmp_path)
    assert (made.info.status, made.data.params) == ("FINISHED" if moment == "end" else "FAILED", {"lr": "1"})
    assert content(mlflow_server.uri, made.info.run_id, "quark/config.json", tmp_path) == {"lr": 1}
    sync(tmp_path)
    assert equal_to_the_store(mlflow_server.uri, tmp_path).info.end_time == made.info.end_time


@pytest.mark.parametrize("told", [[], ["tell"]], ids=["just ends", "tells"])
def test_a_script_that_just_ends(mlflow_server: MlflowServer, tmp_path: Path, told: list[str]) -> None:
    """It is over before MLflow is imported, and ends no run itself: all of it is there when the process is gone. One
    that asks knows the run over there, and has never imported MLflow."""
    script = (
        "import sys, quark\nfrom quark_integrations.sinks.mlflow import MLflowSink\n"
        "directory, uri = sys.argv[1:3]\n"
        "sink = MLflowSink('ends', tracking_uri=uri)\n"
        "run = quark.start_run(project='p', storage_dir=directory, trackers=[sink], close_timeout_s=60)\n"
        "run.log({'loss': 1.0}, step=0)\n"
        "if len(sys.argv) > 3: run.finish('completed'); print(sink.link.backend_id, 'mlflow' in sys.modules)\n"
    )
    order = [sys.executable, "-c", script, str(tmp_path), mlflow_server.uri, *told]
    done = subprocess.run(
        order, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ROOT}, stdout=subprocess.PIPE, text=True
    )
    made = equal_to_the_store(mlflow_server.uri, tmp_path)
    assert done.stdout == (f"{made.info.run_id} False\n" if told else "")


# Whose run it is


def test_an_open_run_is_joined(database: str, tmp_path: Path) -> None:
    """What the user has opened gets everything and stays open, with its name, its tags and its parameters."""
    mlflow.set_tracking_uri(database)
    with mlflow.start_run(run_name="mine", tags={"mlflow.source.git.commit": "mine", "own": "1"}) as active:
        mlflow.log_param("lr", "his")
        sink = MLflowSink()
        with quark.start_run(project="p", name="other", config={"lr": 1, "b": 2}, storage_dir=tmp_path,
                             trackers=[sink], close_timeout_s=60) as run:  # fmt: skip
            run.log({"loss": 0.5}, step=0)
        made = MlflowClient().get_run(active.info.run_id)
        assert (sink.link.owned, made.info.status, made.info.run_name) == (False, "RUNNING", "mine")
        assert made.data.params == {"lr": "his", "b": "2"}
        assert (made.data.tags["mlflow.source.git.commit"], made.data.tags["own"]) == ("mine", "1")
        assert made.data.tags["quark.params_changed"] == "lr" and "mlflow.note.content" not in made.data.tags
        assert made.data.metrics == {"loss": 0.5}
        active_run = mlflow.active_run()
        assert active_run is not None and active_run.info.run_id == active.info.run_id
    assert MLflowSink(tracking_uri="sqlite:////elsewhere.db").address.run_id is None


def test_nothing_is_imported_or_asked_when_a_sink_is_made(tmp_path: Path) -> None:
    """Making one costs the training thread no import of MLflow, and no connection."""
    script = (
        "import socket, sys\n"
        "socket.socket.connect = lambda *_: sys.exit('connected')\n"
        "from quark_integrations.sinks.mlflow import MLflowSink\n"
        "MLflowSink('e', tracking_uri='http://127.0.0.1:9')\n"
        "sys.exit(any(name.partition('.')[0] == 'mlflow' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.returncode == 0


def test_the_address_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Argument, what was set in MLflow, the environment, MLflow's default; absolute, and without its password."""
    assert address_of(None, None).uri == f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    assert address_of(None, None).uri == (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000/x")
    assert address_of(None, None).uri == "http://me:secret@host:5000/x"
    spec = MLflowSink().spec()
    assert "secret" not in json.dumps(spec)
    assert MLflowSink(**spec).address.uri == "http://me:secret@host:5000/x"
    assert MLflowSink(tracking_uri="databricks").address.uri == "databricks"
    mlflow.set_tracking_uri("http://set:1")
    assert address_of(None, "r") == ("http://set:1", "r")
    assert (absolute("sqlite:////a/b.db"), without_secret("http://h:1")) == ("sqlite:////a/b.db", "http://h:1")


# Resuming, replaying


def test_a_resumed_run_goes_on_in_its_own(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """The second attempt continues the MLflow run; a changed configuration does not fail."""
    given: dict[str, Any] = {"storage_dir": tmp_path, "close_timeout_s": 60}
    first = MLflowSink("resumed", tracking_uri=mlflow_server.uri)
    with quark.start_run(project="p", run_id="resumed", config={"lr": 1}, trackers=[first], **given) as run:
        run.log({"loss": 1.0}, step=0)
        run.finish("interrupted")
    assert MlflowClient(mlflow_server.uri).get_run(str(first.link.backend_id)).info.status == "KILLED"
    second = MLflowSink("resumed", tracking_uri=mlflow_server.uri)
    with quark.resume_run(run_id="resumed", trackers=[second], **given) as run:
        run.log({"loss": 2.0}, step=1)
    made = equal_to_the_store(mlflow_server.uri, tmp_path)
    assert (made.info.run_id, made.info.status) == (first.link.backend_id, "FINISHED")


def test_an_export_is_the_run_itself(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """quark export gives a stored run to MLflow; doing it twice changes nothing; --since leaves out what was before."""
    with quark.start_run(project="exported", run_id="exported", storage_dir=tmp_path, config={"a": 1}) as run:
        for step in range(50):
            run.log({"loss": 1 / (step + 1)}, step=step)
    export = [
        sys.executable, "-c", "from quark.cli import main; main()", "export", "exported",
        "--storage-dir", str(tmp_path), "--to", "mlflow", "--set", f"tracking_uri={mlflow_server.uri}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": ROOT}
    for _ in range(2):
        done = subprocess.run(export, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made = equal_to_the_store(mlflow_server.uri, tmp_path)
        assert made.data.params == {"a": "1"}
    since = [*export, "--since", "40", "--set", "experiment_name=late"]
    assert subprocess.run(since, cwd=tmp_path, env=environment, check=False, capture_output=True).returncode == 0
    client = MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name("late")
    assert experiment is not None
    (late,) = client.search_runs([experiment.experiment_id])
    assert sorted(step for step, _ in points(mlflow_server.uri, late.info.run_id, "loss")) == list(range(40, 50))


def test_replaced_alerts_are_not_shown(database: str, tmp_path: Path) -> None:
    """When an analysis replaces its alerts the table, the count and the worst one are those of the new ones."""
    origin = Origin("refused", "w")
    sink = MLflowSink("alerts", tracking_uri=database)
    sink.on_start(make_manifest(origin, run_path=str(tmp_path / "r")))
    sink.write(make_batch(origin, [alert_line("old", "critical", step=1), *metric_lines(1)]))
    discard = run_line("discard", {"kind": "alert"})
    sink.write(make_batch(origin, [discard, alert_line("new", "warning", step=1)], first=2))
    sink.on_stop(None, "completed")
    run_id = str(sink.link.backend_id)
    assert [row["rule_id"] for row in rows(database, run_id, "alerts", tmp_path)] == ["new"]
    tags = MlflowClient(database).get_run(run_id).data.tags
    assert (tags["quark.alerts"], tags["quark.worst_alert"]) == ("1", "warning")


def test_what_is_refused_costs_nothing_else(database: str, tmp_path: Path) -> None:
    """One value that MLflow refuses is named with the reason, and all others arrive."""
    origin = Origin("refused-too", "w")
    sink = MLflowSink("refused", tracking_uri=database)
    sink.on_start(make_manifest(origin, run_path=str(tmp_path / "r")))
    sink.write(make_batch(origin, metric_lines(1)))
    run_id = str(sink.link.backend_id)
    given = [(f"k{number}", 1.0, 1, number) for number in range(1500)]
    ((refused, reason),) = sink.backend.log_points([*given[:700], ("a//b", 1.0, 1, 0), *given[700:]])
    assert (refused.key, "a//b" in reason) == ("a//b", True)
    assert len(MlflowClient(database).get_run(run_id).data.metrics) == 1501


def test_a_file_that_is_refused_is_named(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """A file that the server will never take is not sent for ever."""
    origin = Origin("files", "w")
    sink = MLflowSink("files", tracking_uri=mlflow_server.uri)
    sink.on_start(make_manifest(origin, run_path=str(tmp_path / "r")))
    sink.write(make_batch(origin, metric_lines(1)))
    (tmp_path / "file").write_text("x")
    assert sink.backend.upload(str(tmp_path / "file"), "%2e%2e/up") is not None
    assert sink.backend.upload(str(tmp_path / "file"), "down") is None


# Outages


@pytest.mark.fault
def test_a_server_that_is_away(mlflow_template: Path, tmp_path: Path) -> None:
    """Down at the start, up, down again, up: the run starts at once, loses nothing and catches up by itself."""
    server = MlflowServer(tmp_path / "server", mlflow_template)
    sink = MLflowSink("away", tracking_uri=server.uri)
    try:
        with quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[sink], close_timeout_s=100) as run:
            for outage in range(2):
                for step in range(100):
                    run.log({"loss": step}, step=outage * 100 + step)
                _until_more(run, _errors(run))
                server.start()
                assert run.flush(60)
                server.stop()
            run.log({"loss": -1}, step=200)
            server.start()
        equal_to_the_store(server.uri, tmp_path / "q")
    finally:
        server.stop()


def _errors(run: Any) -> int:
    return run.health()["sinks"]["mlflow"]["errors"]


def _until_more(run: Any, seen: int) -> None:
    _until(lambda: _errors(run) > seen)


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.fault
def test_a_server_that_hangs_holds_nobody(tmp_path: Path) -> None:
    """It takes connections and never answers: the process ends within its time, and the records wait."""
    script = (
        "import sys, time\nimport quark\nfrom quark_integrations.sinks.mlflow import MLflowSink\n"
        "directory, uri = sys.argv[1:]\n"
        "with quark.start_run(project='p', storage_dir=directory, trackers=[MLflowSink(tracking_uri=uri)],"
        " close_timeout_s=4) as run:\n"
        "    run.log({'loss': 1.0}, step=0)\n"
    )
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), uri], cwd=tmp_path, timeout=25, check=False,
            env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True,
        )  # fmt: skip
    assert done.returncode == 0
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (view.status, view.series("loss").values.tolist()) == ("completed", [1.0])
    assert list((tmp_path / ".quark" / "journal").iterdir())


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path, caplog: Any
) -> None:
    """One warning with the pip line, or an error at once in strict mode; what waits is delivered after installing."""
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "mlflow", None)
        with pytest.raises(quark.MissingDependencyError, match=r'pip install "quark-tracker\[mlflow\]"'):
            MLflowSink(strict_mode=True)
        with quark.start_run(project="p", storage_dir=tmp_path, close_timeout_s=2,
                             trackers=[MLflowSink("later", tracking_uri=database)]) as run:  # fmt: skip
            run.log({"loss": 1.0}, step=0)
            _until(lambda: _errors(run) >= 2)
    told = [record.getMessage() for record in caplog.records if "pip install" in record.getMessage()]
    assert len(told) == 1 and 'pip install "quark-tracker[mlflow]"' in told[0]
    assert sync(tmp_path).problems == []
    assert equal_to_the_store(database, tmp_path).info.status == "FINISHED"
