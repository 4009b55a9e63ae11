"""Opening a storage directory for reading."""

import gc
import logging
from pathlib import Path

import pytest

import quark
from quark import RunNotFoundError, SessionStoreError


def test_a_missing_store_is_said_and_not_made(tmp_path: Path) -> None:
    """Reading never makes a store: the error names the path and what to do."""
    with pytest.raises(SessionStoreError, match=r"quark\.db.*storage_dir") as caught:
        quark.open(tmp_path / "nowhere")
    assert caught.value.code == "store_not_found"
    assert list(tmp_path.iterdir()) == []


def test_the_directory_comes_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument QUARK_STORAGE_DIR says where to look, else the working directory."""
    with quark.start_run(project="p", storage_dir=tmp_path):
        pass
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path))
    with quark.open() as store:
        assert len(list(store.runs())) == 1
    monkeypatch.delenv("QUARK_STORAGE_DIR")
    monkeypatch.chdir(tmp_path)
    with quark.open() as store:
        assert len(list(store.runs())) == 1


def test_what_a_dead_process_left_is_delivered_first(tmp_path: Path, dead_run: str) -> None:
    """A run whose process was killed is there in full, and reads failed with the reason lost."""
    with quark.open(tmp_path) as store:
        view = store.run(dead_run)
        assert (view.status, view.reason) == ("failed", "lost")
        assert view.series("train/loss").steps.tolist() == list(range(100))


def test_leftovers_can_be_left_alone(tmp_path: Path, dead_run: str) -> None:
    """With ``sync=False`` the journals stay as they are."""
    before = sorted(path for path in tmp_path.rglob("*.jsonl"))
    with pytest.raises(SessionStoreError), quark.open(tmp_path, sync=False) as store:
        store.run(dead_run)
    assert sorted(path for path in tmp_path.rglob("*.jsonl")) == before != []


def test_a_sync_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where leftovers cannot be delivered, what is in the store is read all the same."""
    with quark.start_run(project="p", storage_dir=tmp_path):
        pass
    (tmp_path / ".quark" / "journal" / "some-run").mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("quark.session.sync.sync_placement", refuse)
    with caplog.at_level(logging.WARNING, "quark"), quark.open(tmp_path) as store:
        assert len(list(store.runs())) == 1
    assert "could not be delivered" in caplog.text


def test_an_unknown_run_is_named(tmp_path: Path) -> None:
    """The error says what was looked for, where, and how to find out what there is."""
    with quark.start_run(project="p", storage_dir=tmp_path):
        pass
    with quark.open(tmp_path) as store, pytest.raises(RunNotFoundError, match=r"nope.*quark runs"):
        store.run("nope")


def test_a_store_one_step_further_down_is_named(tmp_path: Path) -> None:
    """Who stands in the directory above is told where to look."""
    with quark.start_run(project="p", storage_dir=tmp_path / "quark-runs"):
        pass
    with pytest.raises(SessionStoreError, match=r"runs are there with -d .*quark-runs"):
        quark.open(tmp_path)


@pytest.mark.fault
def test_a_directory_that_cannot_be_written_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An archive that somebody else owns is read from a copy that goes away again; nothing in it changes."""
    with quark.start_run(project="p", storage_dir=tmp_path / "archive") as run:
        run.log({"loss": 1.0}, step=0)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    database = tmp_path / "archive" / ".quark" / "quark.db"
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere, whatever the mode says
    before = database.read_bytes()
    with caplog.at_level(logging.WARNING, "quark"), quark.open(tmp_path / "archive") as store:
        assert store.run(run.run_id).latest() == {"loss": (0, 1.0)}
        assert len(list(scratch.iterdir())) == 1
        view = store.run(run.run_id)
        for change in (view.delete, lambda: store.restore(run.run_id), lambda: store.set_blueprint("p", {})):
            with pytest.raises(SessionStoreError, match=r"cannot be written.*copy the whole directory") as refused:
                change()
            assert refused.value.code == "read_only"
    assert "a copy of it is read" in caplog.text
    assert list(scratch.iterdir()) == [] and database.read_bytes() == before


def test_a_session_that_has_ended_lets_go_of_the_store_that_it_read(tmp_path: Path) -> None:
    """Its records can be read after the end, by a comparison too, and the file is let go of with the session."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"loss": 1.0}, step=0)
    reader = run.reader()
    assert reader.keys(run.run_id) == ["loss"]
    del run
    gc.collect()
    with pytest.raises(quark.errors.ClosedError):
        reader.run("any")
