"""Files that vanish or are replaced while a run records: the run is whole in the file that is there."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import quark
from quark.delivery.disk import Disk
from quark.delivery.place import WriterPlace
from quark.records.base import Origin


def delete_database(directory: Path) -> None:
    """``rm .quark/quark.db*``."""
    for file in (directory / ".quark").glob("quark.db*"):
        file.unlink()


def delete_everything(directory: Path) -> None:
    """``rm -r .quark``."""
    shutil.rmtree(directory / ".quark")


def replace_database(directory: Path) -> None:
    """A copy of another store is put in its place."""
    other = directory.parent / "other"
    with quark.start_run(project="other", storage_dir=other, run_id="other"):
        pass
    delete_database(directory)
    shutil.copyfile(other / ".quark" / "quark.db", directory / ".quark" / "quark.db")


@pytest.mark.parametrize("vanish", [delete_database, delete_everything, replace_database], ids=lambda f: f.__name__)
@pytest.mark.parametrize("when", ["before more is recorded", "just before the end"])
def test_the_run_is_whole_afterwards(tmp_path: Path, vanish: Callable[[Path], None], when: str) -> None:
    """Every record is in the store once, the run is completed there, and health says what happened."""
    place = tmp_path / "runs"
    with quark.start_run(project="p", storage_dir=place, tags=["t"], close_timeout_s=60) as run:
        for step in range(50):
            run.log({"a": float(step)}, step=step)
        run.flush()
        vanish(place)
        if when == "before more is recorded":
            time.sleep(0.6)
            for step in range(50, 100):
                run.log({"a": float(step)}, step=step)
    count = 100 if when == "before more is recorded" else 50
    assert run.health()["sinks"]["store"]["pending"] == 0
    assert "sink_store" in run.health()["faults"]
    with quark.open(place) as store:
        view = store.run(run.run_id)
        assert (view.status, view.project, view.tags) == ("completed", "p", ("t",))
        assert view.series("a").values.tolist() == [float(step) for step in range(count)]
    assert not list((place / ".quark" / "journal").glob("*/*"))


def test_a_place_is_absent_until_it_is_there(tmp_path: Path) -> None:
    """While one thread tries to make the journal's directory, another that describes the run does not write there."""
    absent = []

    class NoDirectories(Disk):
        """No directory can be made; that of a file system which is not mounted yet cannot be had in a test."""

        def make_directory(self, path: Path) -> None:
            absent.append(place.absent)
            raise OSError

    place = WriterPlace(tmp_path / "writer", NoDirectories())
    place.absent = True
    assert not place.appear(Origin("run", "writer"), {})
    assert absent == [True]


def test_a_store_is_closed_also_where_its_directory_is_gone(tmp_path: Path) -> None:
    """A thread that lets go of a store ends, and so does a run that has read in its own."""
    quark.start_run(project="p", storage_dir=tmp_path / "runs").end_run()
    store = quark.open(tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs")
    store.close()


def test_a_journal_that_is_delivered_goes_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its removal may take longer than a second, on a slow disk as this one; nothing failed then."""
    remove = WriterPlace.remove

    def slowly(place: WriterPlace) -> None:
        remove(place)
        time.sleep(1.5)

    monkeypatch.setattr(WriterPlace, "remove", slowly)
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"a": 1.0})
    assert run.health()["faults"] == {}
