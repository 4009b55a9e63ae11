"""A deleted run is hidden and can be had back; a purged one is gone with everything of it."""

from pathlib import Path

import pytest

import quark
from quark import ArtifactStore
from quark.reading import Store
from quark.storage import SqlStore
from quark.testing.batches import event_line, make_batch, metric_lines, start_line
from quark.testing.opened import ORIGIN, OTHER, RUN, batch_of, end_mark


@pytest.fixture(params=["folder", "service"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs live in a folder, or in a service whose key may do everything."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "runs"))
    if request.param == "service":
        service = request.getfixturevalue("service")
        monkeypatch.setenv("QUARK_USER_KEY", service.new_key(["admin"]))
    return request.param


def opened(where: str) -> Store:
    """The store in which the runs are."""
    return quark.connect() if where == "service" else quark.open()


def test_delete_restore_purge(where: str, tmp_path: Path) -> None:
    """Hidden from lists, from reading and from its project; back with all it had; then gone, its files too."""
    for name in ("r", "kept"):
        with quark.start_run(project=name, run_id=name) as run:
            run.log({"loss": 1.0}, step=0)
            ArtifactStore(run).store("snapshot", "weights", {"w": 1}, step=2)
            run.flush()
            with opened(where) as store, pytest.raises(quark.InvalidRunStateError, match="running"):
                store.run(name).delete()
    with opened(where) as store:
        view = store.run("r")
        view.delete()
        assert [run.id for run in store.runs()] == ["kept"]
        assert [project.name for project in store.projects()] == ["kept"]
        for look in (lambda: store.run("r"), view.keys, view.delete, lambda: view.series("loss"), view.events):
            with pytest.raises(quark.RunNotFoundError):
                look()
        assert store.purge() == []
        restored = store.restore("r")
        assert (restored.status, restored.series("loss").values.tolist()) == ("completed", [1.0])
        restored.delete()
        assert store.purge(older_than_s=0) == ["r"]
        with pytest.raises(quark.RunNotFoundError):
            store.restore("r")
        assert len(store.run("kept").series("loss")) == 1
    if where == "folder":
        assert [path.name for path in (tmp_path / "runs" / ".quark" / "runs").iterdir()] == ["kept"]


def test_a_further_attempt_brings_a_run_back(where: str) -> None:
    """A deleted run that is recorded anew under its id is not hidden any more."""
    with quark.start_run(project="p", run_id="r") as run:
        run.finish("interrupted")
    with opened(where) as store:
        store.run("r").delete()
        with quark.start_run(project="p", run_id="r") as run:
            run.flush()
            assert store.run("r").id == "r"


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_nothing_is_left_behind(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """No row of a purged run stays in any table, packed points included; the other run keeps every row of its own."""
    where = tmp_path / "quark.db" if place == "sqlite" else request.getfixturevalue("postgres_url")
    with SqlStore(where) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        store.append(batch_of([*metric_lines(5000), event_line("a"), end_mark("completed", "completed")]))
        store.append(make_batch(OTHER, metric_lines(10)))
        store.seal(RUN)
        store.delete_run(RUN)
        assert store.purge(0) == [RUN]
        with store._database.snapshot() as connection:
            for table in ("run_tags", "writers", "records", "series", "fragments", "chunks", "chunk_data", "controls"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table
            assert "lr" not in str(connection.execute("SELECT * FROM runs").fetchall())
        store.append(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(3)]))
        assert len(store.series(RUN, "train/loss")) == 3
