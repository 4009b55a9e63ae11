"""A start goes on whatever the machine and its surroundings do: no disk, no threads, odd paths, odd streams."""

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.session import placement
from quark.session.placement import resolve_storage_dir

NOWHERE = "/proc/nowhere"
"""A directory in which not even root can make anything."""


@pytest.fixture(autouse=True)
def _own_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(placement.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))


def test_without_a_journal_directory_records_wait_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them arrive, more than memory would hold at once, and health says where they wait."""
    monkeypatch.setenv("QUARK_JOURNAL_DIR", NOWHERE)
    monkeypatch.setattr("quark.delivery.journal.MEMORY_LIMIT", 3 << 20)
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path) as run:
        for step in range(60):
            run.log({f"key/{number}": float(step) for number in range(3000)}, step=step)
            if step % 10 == 9:
                assert run.flush(60)
        health = run.health()
    assert "journal_in_memory" in health["faults"]
    assert health["dropped"] == 0
    monkeypatch.delenv("QUARK_JOURNAL_DIR")
    with quark.open(tmp_path) as store:
        view = store.run("r")
        assert (view.status, len(view.series("key/7"))) == ("completed", 60)


def test_where_nothing_can_be_written_the_training_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No storage, no temporary directory: the run starts, logs and ends, and says that its records are lost."""
    monkeypatch.setattr(placement.tempfile, "gettempdir", lambda: NOWHERE)
    run = quark.start_run(project="p", storage_dir=f"{NOWHERE}/x", close_timeout_s=0.2)
    run.log({"loss": 1.0}, step=0)
    assert "journal_in_memory" in run.health()["faults"]
    run.end_run()
    assert "are lost: no directory could be written" in caplog.text


def test_a_directory_that_comes_back_gets_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited in memory is in a journal on the disk as soon as one can be made."""
    journals = tmp_path / "journals"
    journals.write_text("a file in the way")
    monkeypatch.setenv("QUARK_JOURNAL_DIR", str(journals))
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path / "q") as run:
        run.log({"loss": 1.0}, step=0)
        assert run._delivery.place.absent
        journals.unlink()
        assert run._delivery.place.appear(run.journal.origin, {})
        assert run._delivery.place.alive()
        run.log({"loss": 2.0}, step=1)
    with quark.open(tmp_path / "q") as store:
        assert store.run("r").series("loss").values.tolist() == [1.0, 2.0]


def test_without_threads_records_wait_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread the run goes on; what it recorded is there when somebody opens the folder.

    (A limit of threads would hit the tests as well: ``Thread.start`` is replaced.)
    """

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        run = quark.start_run(project="p", run_id="r", storage_dir=tmp_path, close_timeout_s=0.1)
        run.log({"loss": 1.0}, step=0)
        assert not run.flush(0.1)
        assert "threads" in run.health()["faults"]
        run.end_run()
    with quark.open(tmp_path) as store:
        assert store.run("r").series("loss").values.tolist() == [1.0]


def test_threads_that_come_back_deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that could not be started is started by the next flush."""
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no thread")))
        run = quark.start_run(project="p", storage_dir=tmp_path)
    run.log({"loss": 1.0}, step=0)
    assert run.flush(30)
    run.end_run()


def _loop_of_links(tmp_path: Path) -> str:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    return str(tmp_path / "a" / "x")


UNUSABLE: dict[str, Callable[[Path], str]] = {
    "a home of nobody": lambda tmp_path: "~nosuchuser/runs",
    "a loop of links": _loop_of_links,
    "bytes that are no text": lambda tmp_path: str(tmp_path / "caf\udce9"),
    "a file in the way": lambda tmp_path: str(tmp_path / "temporary" / "file" / "x"),
    "a name that is too long": lambda tmp_path: str(tmp_path / ("x" * 300)),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_directory_that_cannot_be_used_gives_way(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run is recorded elsewhere, and a warning says where; reading there is refused with a reason."""
    (tmp_path / "temporary" / "file").write_text("")
    wanted = UNUSABLE[kind](tmp_path)
    with quark.start_run(project="p", run_id="r", storage_dir=wanted) as run:
        run.log({"loss": 1.0}, step=0)
    assert "--storage-dir" in caplog.text
    with quark.open(run.storage_dir) as store:
        assert len(store.run("r").series("loss")) == 1
    with pytest.raises(quark.QuarkError):
        quark.open(wanted)


def test_a_working_directory_that_is_gone_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a storage directory of its own it is of no matter, without one the run gives way."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for given in (tmp_path / "q", None, "relative"):
        with quark.start_run(project="p", storage_dir=given) as run:
            run.log({"loss": 1.0}, step=0)
        assert run.status == "completed"


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/x",
        "gs://b",
        "file:///data",
        "hdfs://n/x",
        "a\0b",
        "s3:/bucket",
        "postgresql:/u:PW@h/db",
        " s3://b",
    ],
)
def test_an_address_is_no_directory(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused instead of becoming a local folder of that name."""
    monkeypatch.chdir(tmp_path)
    for use in (resolve_storage_dir, quark.open, lambda given: quark.start_run(project="p", storage_dir=given)):
        with pytest.raises(quark.SchemaValidationError, match="storage_dir must be a") as caught:
            use(address)
        assert "PW" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


@pytest.mark.parametrize("trackers", [[None], [5], [[]], 5, ["jsonl", None]], ids=repr)
def test_what_cannot_be_told_anything_is_no_tracker(trackers: Any, tmp_path: Path) -> None:
    """It is refused before the run begins; on a run that goes on it is refused and counted."""
    with pytest.raises(quark.WrongTypeError, match="tracker"):
        quark.start_run(project="p", storage_dir=tmp_path, trackers=trackers)
    assert list(tmp_path.glob(".quark/**/*.jsonl")) == []


class _Odd(io.StringIO):
    """A stream as log catchers have it."""

    isatty = None  # type: ignore[assignment]


class _Terminal(io.StringIO):
    """A terminal that goes away after some lines."""

    left = 3

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise ValueError("I/O operation on closed file")
        return len(text)


def _closed() -> io.StringIO:
    made = io.StringIO()
    made.close()
    return made


class _Loader:
    """Batches whose number is not to be had."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        raise self.error

    def __iter__(self) -> Any:
        return iter(range(3))


@pytest.mark.parametrize("progress", [None, True])
@pytest.mark.parametrize(
    "stream", [lambda: None, _closed, _Odd, _Terminal, object], ids=["None", "closed", "odd", "terminal", "object"]
)
def test_a_progress_bar_never_ends_a_training(
    stream: Callable[[], Any], progress: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stderr is, and whatever the loader says of its length, all steps are made."""
    monkeypatch.setenv("QUARK_PROGRESS", "1")
    with quark.start_run(project="p", storage_dir=tmp_path) as run, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream())
        for error in (NotImplementedError("no"), RuntimeError("no"), TypeError("no"), OverflowError("no")):
            steps = [run.log({"big": 10**400}) or batch for batch in run.steps(_Loader(error), progress=progress)]
            assert steps == [0, 1, 2]
