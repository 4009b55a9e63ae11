"""`quark import mlflow`: a file store, a SQLite database and a tracking server that MLflow itself wrote."""

import math
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.reading import RunView
from quark_integrations.importing.mlflow_runs import parameter

from ..integrations.mlflow_server import MlflowServer, mlflow_quiet, mlflow_server, mlflow_template  # noqa: F401
from .conftest import CORPUS, STEPS, Import, whole

pytest.importorskip("mlflow")
from mlflow import MlflowClient

pytestmark = [
    pytest.mark.usefixtures("mlflow_quiet"),
    pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy"),  # of MLflow's own queries
]

START_MS = 1_700_000_000_000


def write(uri: str, experiment: str = "vision") -> str:
    """A finished run with the corpus, and a failed one below it, by MLflow's client; the id of the first."""
    client = MlflowClient(uri)
    where = client.create_experiment(experiment)
    tags = {"mlflow.note.content": "a note", "stage": "dev", "mlflow.user": "ann"}
    run_id = client.create_run(where, start_time=START_MS, run_name="first", tags=tags).info.run_id
    for name, value in {"lr": 0.1, "depth": 3, "deep": True, "name": "net", "version": "1.0.0"}.items():
        client.log_param(run_id, name, value)
    add(uri, run_id, range(len(CORPUS)))
    client.log_metric(run_id, "below zero", 0.5, timestamp=START_MS + 100, step=-2)
    client.set_terminated(run_id, end_time=START_MS + 60_000)
    child = client.create_run(where, start_time=START_MS + 1, tags={"mlflow.parentRunId": run_id}).info.run_id
    client.set_terminated(child, "FAILED", end_time=START_MS + 2)
    gone = client.create_run(where).info.run_id
    client.delete_run(gone)
    return run_id


def add(uri: str, run_id: str, places: range) -> None:
    """Log some of the corpus, a millisecond a point."""
    client = MlflowClient(uri)
    for place in places:
        step, value = STEPS[place % len(STEPS)], CORPUS[place % len(CORPUS)]
        client.log_metric(run_id, "loss/train", value, timestamp=START_MS + place, step=step)


def held(uri: str, run_id: str) -> list[tuple[int, int, bytes]]:
    """Time, step and bits of each point, as MLflow gives it back."""
    history = MlflowClient(uri).get_metric_history(run_id, "loss/train")
    return sorted((one.timestamp * 10**6, one.step, struct.pack("<d", one.value)) for one in history)


def recorded(run: RunView) -> list[tuple[int, int, bytes]]:
    """The same of the imported run, values that are not finite among them."""
    found: list[tuple[int, int, bytes]] = []
    series = run.series("loss/train")
    for part in (series, series.nonfinite):
        columns = zip(part.timestamps.tolist(), part.steps.tolist(), part.values.tolist(), strict=True)
        found += [(time_ns, step, struct.pack("<d", value)) for time_ns, step, value in columns]
    return sorted(found)


def check_first(run: RunView) -> None:
    """What holds of the run ``first`` wherever it was read from."""
    assert (run.record.project_name, run.name, run.status, run.record.tags) == (
        "vision", "first", "completed", ("stage=dev",),
    )  # fmt: skip
    assert run.config == {"lr": 0.1, "depth": 3, "deep": True, "name": "net", "version": "1.0.0"}
    assert (run.record.started_at, run.record.ended_at) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")
    assert run.notes() == ("a note",)
    assert run.record.environment["mlflow"]["user"] == "ann"
    (misplaced,) = run.events(event_type="metric_misplaced")
    assert (misplaced.payload["step"], misplaced.payload["values"]) == (-2, {"below zero": 0.5})


@pytest.fixture
def runs(imports: Import, stored: Callable[..., RunView]) -> Callable[[object], dict[str, RunView]]:
    """Imports a source; the runs by name."""

    def call(source: object) -> dict[str, RunView]:
        done = imports("mlflow", source)
        return {str(imported.name): stored(whole([(imported, checked)])) for imported, checked in done}

    return call


@pytest.fixture
def file_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A file store with the runs of ``write``, and the id of the first."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = tmp_path / "mlruns"
    return place, write(place.as_uri())


@pytest.fixture
def database(tmp_path: Path, mlflow_template: Path) -> tuple[Path, str]:  # noqa: F811
    """A database with the runs of ``write``, and the id of the first."""
    path = Path(shutil.copy(mlflow_template, tmp_path / "mlflow.db"))
    return path, write(f"sqlite:///{path}")


def test_files(file_store: tuple[Path, str], runs: Any, imports: Import) -> None:
    """Every bit of the corpus, infinities too; children know their parent; deleted runs are not imported."""
    place, run_id = file_store
    found = runs(place)
    first = found.pop("first")
    check_first(first)
    assert recorded(first) == held(place.as_uri(), run_id)
    assert sum(not math.isfinite(struct.unpack("<d", bits)[0]) for _, _, bits in recorded(first)) == 3
    (child,) = found.values()
    assert (child.record.parent_run_id, child.status) == (first.id, "failed")
    assert [imported.added for imported, _ in imports("mlflow", place.as_uri())] == [0, 0]


def test_a_file_store_that_goes_on(file_store: tuple[Path, str], imports: Import) -> None:
    """A torn line is left out until it is whole; what the run logs later is added; links are not followed."""
    place, run_id = file_store
    (metric,) = place.glob(f"*/{run_id}/metrics/loss/train")
    text = metric.read_text()
    metric.write_text(f"{text}{START_MS + 500} 0.5")
    (place / "secret").write_text("1 2 3\n")
    (metric.parent / "stolen").symlink_to(place / "secret")
    done = {imported.name: imported for imported, _ in imports("mlflow", place)}
    assert any("torn" in remark for remark in done["first"].remarks)
    metric.write_text(f"{text}{START_MS + 500} 0.5 20\n{START_MS + 501} 0.25 21\n")
    again = {imported.name: whole([(imported, checked)]) for imported, checked in imports("mlflow", place)}
    assert again["first"].counts["points"] == done["first"].counts["points"] + 2


def test_a_database(database: tuple[Path, str], runs: Any, imports: Import) -> None:
    """What SQLite keeps, to the last bit, read without a change to the file; an import later adds what is new."""
    path, run_id = database
    uri = f"sqlite:///{path}"
    before = path.read_bytes()
    found = runs(path)
    assert path.read_bytes() == before
    check_first(found["first"])
    assert recorded(found["first"]) == held(uri, run_id)
    add(uri, run_id, range(20, 25))
    first = next(whole([one]) for one in imports("mlflow", uri) if one[0].name == "first")
    assert first.added > 0 and any("in place of infinities" in remark for remark in first.remarks)
    assert [imported.added for imported, _ in imports("mlflow", path)] == [0, 0]


@pytest.mark.slow
@pytest.mark.timeout(300)  # a server of MLflow starts for a minute where the machine is busy
def test_a_server(mlflow_server: MlflowServer, runs: Any, imports: Import) -> None:  # noqa: F811
    """By MLflow's own client over HTTP."""
    run_id = write(mlflow_server.uri, "vision")
    found = runs(mlflow_server.uri)
    check_first(found["first"])
    assert recorded(found["first"]) == held(mlflow_server.uri, run_id)
    assert [imported.added for imported, _ in imports("mlflow", mlflow_server.uri)] == [0, 0]


@pytest.mark.parametrize(
    ("content", "words"), [(b"text", "no SQLite database"), (b"SQLite format 3\0" + b"x" * 100, "cannot be read")]
)
def test_what_is_no_database_is_refused(content: bytes, words: str, tmp_path: Path, imports: Import) -> None:
    """The error says what to name."""
    (tmp_path / "m.db").write_bytes(content)
    with pytest.raises(quark.SchemaValidationError, match=words):
        imports("mlflow", tmp_path / "m.db")


def test_other_sources_are_refused(tmp_path: Path, imports: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of another program, another scheme, an empty directory, a server that is not there."""
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (a)").connection.close()
    for source, words in (
        (tmp_path / "other.db", "no such table"), ("postgresql://u:p@h/db", "mlflow server"), (tmp_path, "mlruns"),
    ):  # fmt: skip
        with pytest.raises(quark.SchemaValidationError, match=words):
            imports("mlflow", source)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(quark.SessionStoreError, match="tracking server"):
        imports("mlflow", "http://127.0.0.1:9")
    assert os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.1", 0.1), ("1e-05", 1e-05), ("True", True), ("03", "03"), ("1e5", "1e5"), ("nan", "nan"), ("", "")],
)
def test_parameters_are_numbers_where_exactly_that_was_written(text: str, value: object) -> None:
    """MLflow keeps text: what a number would not give back stays text."""
    assert parameter(text) == value and type(parameter(text)) is type(value)
