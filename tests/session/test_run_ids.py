"""Ids of runs at every door: what cannot be one is refused before anything is made of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import quark
from quark.client.connection import Connection
from quark.client.remote import RemoteStore
from quark.core.batch import RecordBatch
from quark.delivery.place import WRITER_FILE, WriterPlace
from quark.launcher.launcher import Launcher
from quark.records.base import Origin
from quark.session.placement import Placement
from quark.storage import SqlStore

BAD = ["", "..", "../../victim", "exp/lr1", "a\n", "a\0b", "x" * 129, "\udcff"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage directory with something beside it."""
    made = tmp_path / "above" / "runs"
    made.mkdir(parents=True)
    monkeypatch.chdir(made)
    return made


def _from_environment(run_id: str) -> None:
    os.environ["QUARK_RUN_ID"] = run_id
    quark.start_run(project="p")


def _for_another_rank(run_id: str) -> None:
    os.environ.update(RANK="1", WORLD_SIZE="2", QUARK_JOIN_RUN_ID=run_id)
    quark.start_run(project="p")


def _launched(run_id: str) -> None:
    os.environ["QUARK_RUN_ID"] = run_id
    Launcher(["true"])


def _created(run_id: str) -> None:
    with quark.LocalSessionStore(base_url="http://127.0.0.1:9", user_key="k") as store:
        store.create_run(project="p", run_id=run_id)


def _stored(run_id: str) -> None:
    with SqlStore(Path.cwd() / "quark.db") as store:
        store.append(RecordBatch(Origin(run_id, "0-1-a"), 0, 1, b'{"kind":"metric","sequence":0,"time":1}\n'))


def _written(writer_id: str) -> None:
    with SqlStore(Path.cwd() / "quark.db") as store:
        store.append(RecordBatch(Origin("r", writer_id), 0, 1, b'{"kind":"metric","sequence":0,"time":1}\n'))


DOORS: dict[str, Callable[[str], object]] = {
    "start_run": lambda run_id: quark.start_run(project="p", run_id=run_id),
    "resume_run": lambda run_id: quark.resume_run(run_id=run_id),
    "parent_run_id": lambda run_id: quark.start_run(project="p", parent_run_id=run_id),
    "TrainingSession.start_run": lambda run_id: quark.TrainingSession.start_run(project="p", parent_run_id=run_id),
    "TrainingSession.resume_run": lambda run_id: quark.TrainingSession.resume_run(run_id=run_id),
    "QUARK_RUN_ID": _from_environment,
    "QUARK_JOIN_RUN_ID": _for_another_rank,
    "quark run": _launched,
    "LocalSessionStore.create_run": _created,
    "journals": lambda run_id: Placement(Path.cwd()).journals(run_id),
    "run_path": lambda run_id: Placement(Path.cwd()).run_path(run_id),
    "store, run": _stored,
    "store, writer": _written,
}
FROM_VARIABLES = ("QUARK_RUN_ID", "QUARK_JOIN_RUN_ID", "quark run")
CANNOT_BE_SET = ("", "a\0b")


@pytest.mark.parametrize("run_id", BAD, ids=repr)
@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_be_an_id_is_refused(door: str, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory is made of it, inside the storage directory or outside; a variable is named as the cause."""
    if door in FROM_VARIABLES and run_id in CANNOT_BE_SET:
        pytest.skip("no variable can hold this")
    for name in ("QUARK_RUN_ID", "QUARK_JOIN_RUN_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that what the door sets is taken back
    expected = quark.ConfigurationError if door in FROM_VARIABLES else quark.SchemaValidationError
    with pytest.raises(expected, match=r"must be 1 to 128 letters"):
        DOORS[door](run_id)
    made = [path for path in folder.parent.rglob("*") if path.name not in ("runs", ".quark")]
    assert [path for path in made if not path.name.startswith("quark.db")] == []


@pytest.mark.parametrize("run_id", ["..", "a/b", "a\n", "x" * 129, ""], ids=repr)
def test_a_client_asks_for_no_such_run(run_id: str) -> None:
    """Reading what no run can be called answers like a run that is not there, without a request."""
    connection = Connection("http://127.0.0.1:9", user_key="k", tries=1)
    for ask in (RemoteStore(connection).run, RemoteStore(connection).writers, RemoteStore(connection).control):
        with pytest.raises(quark.RunNotFoundError, match="no run has the id"):
            ask(run_id)


def test_a_journal_that_names_no_run_is_left_alone(folder: Path) -> None:
    """A writer.json with an id that no run can have is reported by sync, and holds up no other journal."""
    with quark.start_run(project="p", run_id="good") as run:
        strange = Placement(folder).journals("good") / "0-1-strange"
        strange.mkdir()
        (strange / WRITER_FILE).write_text('{"run_id": "../../victim", "writer_id": "w", "sinks": []}')
        run.log({"loss": 1.0}, step=0)
        assert run.flush(10)
        with pytest.raises(quark.SessionStoreError, match="no valid run_id and writer_id"):
            WriterPlace(strange).origin()
    assert not (folder.parent / "victim").exists()
    with quark.open(folder) as store:
        assert store.run("good").series("loss").values.tolist() == [1.0]


def test_purging_one_run_leaves_those_that_begin_like_it(folder: Path) -> None:
    """The files of a purged run are its own directory, which no other run's id can lie in."""
    for run_id in ("exp", "exp.lr1", "exp-lr1"):
        with quark.start_run(project="p", run_id=run_id) as run:
            quark.ArtifactStore(run).store("model", "weights", {"a": 1})
    with quark.open(folder) as store:
        store.run("exp").delete()
        assert store.purge(older_than_s=0) == ["exp"]
        for run_id in ("exp.lr1", "exp-lr1"):
            view = store.run(run_id)
            assert view.load(view.artifacts()[0]) == {"a": 1}
