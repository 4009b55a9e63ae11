"""Sinks in processes of their own: nothing lost or twice whoever is killed, and no process that outlives its use."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.delivery import apart
from quark.delivery.apart import Apart, goes_apart
from quark.delivery.place import WriterPlace
from quark.records.base import Origin
from quark.session.sync import sync
from quark.testing import make_batch, make_manifest, metric_lines

from .apart_sink import FileSink, noted, written

pytestmark = pytest.mark.timeout(240)
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library that the sink imports lies on the path of this process."""
    (tmp_path / "made_up_client.py").write_text("NAME = 'made up'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("made_up_client", None)
    for process in apart._left:
        process.kill()
        process.wait()
    apart._left.clear()


def until(holds: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 120
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain until {what}")
        time.sleep(0.01)


def lives(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def hosts(folder: Path) -> set[int]:
    """The processes that wrote to the file."""
    return {int(line.split()[0]) for line in noted(folder)}


def sequences(folder: Path) -> list[int]:
    return [number for _, number in written(folder)]


def made(tmp_path: Path) -> tuple[Apart, WriterPlace, Any]:
    """A sink apart, outside of a run, with a batch for it."""
    batch = make_batch(Origin("r", "w"), metric_lines(5))
    place = WriterPlace(tmp_path / "journal" / "r" / batch.origin.writer_id)
    place.create(batch.origin, {})
    return Apart(FileSink(str(tmp_path)), place), place, batch


def trained(tmp_path: Path, **options: Any) -> quark.TrainingSession:
    return quark.start_run(project="p", config={"lr": 0.1}, storage_dir=tmp_path / "q", trackers=[
        FileSink(str(tmp_path), "the key")], **options)  # fmt: skip


def test_the_client_is_not_in_the_process_of_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything arrives over there, secrets too; what is logged there is logged here, and the end is one for both."""
    with trained(tmp_path, close_timeout_s=60) as run:
        for step in range(50):
            run.log({"loss": 1.0}, step=step)
    (host,) = hosts(tmp_path)
    assert host != os.getpid() and not lives(host) and "made_up_client" not in sys.modules
    numbers = sequences(tmp_path)
    assert numbers == sorted(set(numbers)) and len(numbers) > 50
    told = [line.split(" ", 1)[1] for line in noted(tmp_path)]
    assert told[0] == f"start {run.run_id} the key" and told[-2:] == ["stop completed None", "close"]
    assert "made up hears of {'lr': 0.1}" in caplog.text
    printed = capfd.readouterr()
    assert "printed by the client" in printed.err and not printed.out
    assert run.health()["sinks"]["file"]["state"] == "closed"


@pytest.mark.parametrize("why", ["imported", "setting", "replaced", "without a package", "without options"])
def test_what_stays_in_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """A client that the program itself has imported may be set up by it; a sink that cannot be made again stays too."""
    sink = FileSink(str(tmp_path))
    assert goes_apart(sink)
    if why == "imported":
        import made_up_client  # type: ignore[import-not-found]  # noqa: F401
    elif why == "setting":
        monkeypatch.setenv("QUARK_SINK_PROCESSES", "0")
    elif why == "replaced":
        sink.write = lambda batch: None
    elif why == "without a package":
        monkeypatch.setattr(FileSink, "package", "")
    else:
        monkeypatch.setattr(FileSink, "spec", lambda self: None)
    assert not goes_apart(sink)


def test_a_run_stays_whole_on_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off, the same sink takes the same records here."""
    monkeypatch.setenv("QUARK_SINK_PROCESSES", "0")
    with trained(tmp_path, close_timeout_s=60) as run:
        run.log({"loss": 1.0}, step=0)
    assert hosts(tmp_path) == {os.getpid()} and sequences(tmp_path)


def test_what_the_sink_raises_is_raised_here(tmp_path: Path) -> None:
    """By its own name, with the pause that it asks for; the fault of a destination stays an OSError; all is retried."""
    sink, place, batch = made(tmp_path)
    try:
        sink.on_start(make_manifest(batch.origin))
        assert {int(sink._sink.heard)} == hosts(tmp_path)  # type: ignore[attr-defined]
        (tmp_path / "fail").write_text("value")
        with pytest.raises(Exception, match="the destination is ill") as raised:
            sink.write(batch)
        assert (type(raised.value).__name__, raised.value.retry_after_s) == ("RefusedError", 0.07)  # type: ignore[attr-defined]
        assert not isinstance(raised.value, OSError)
        (tmp_path / "fail").write_text("os")
        with pytest.raises(OSError, match="the destination is ill"):
            sink.write(batch)
        (tmp_path / "fail").unlink()
        sink.write(batch)
        assert len(sequences(tmp_path)) == 5 and len(hosts(tmp_path)) == 1
    finally:
        sink.close()
        place.release()


def test_what_the_sink_sets_aside_is_set_aside_here(tmp_path: Path) -> None:
    """A batch comes back with what was rejected over there."""
    sink, place, _ = made(tmp_path)
    try:
        batch = make_batch(Origin("r", "w"), metric_lines(2, ["poison"]))
        sink.on_start(make_manifest(batch.origin))
        sink.write(batch)
        assert batch.rejected == [(b"poison", "not eaten here")] * 2
    finally:
        sink.close()
        place.release()


@pytest.mark.fault
def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """The records go on from where the destination stands: none lost, none twice."""
    with trained(tmp_path, close_timeout_s=100) as run:
        run.log({"loss": 1.0}, step=0)
        until(lambda: written(tmp_path), "the first process has written")
        (first,) = hosts(tmp_path)
        os.kill(first, signal.SIGKILL)
        for step in range(1, 50):
            run.log({"loss": 1.0}, step=step)
        until(lambda: len(hosts(tmp_path)) == 2, "a second one writes")
    numbers = sequences(tmp_path)
    assert numbers == sorted(set(numbers)) and len(numbers) > 50
    assert "is gone (exit code -9)" in str(run.health()["sinks"]["file"]["last_error"])


@pytest.mark.fault
def test_signals_are_for_the_training(tmp_path: Path) -> None:
    """Ctrl-C, and the signal of a scheduler that goes to every process of a job, end no delivery."""
    with trained(tmp_path, close_timeout_s=100) as run:
        run.log({"loss": 1.0}, step=0)
        until(lambda: written(tmp_path), "the process has written")
        (host,) = hosts(tmp_path)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(host, number)
        run.log({"loss": 1.0}, step=1)
    assert hosts(tmp_path) == {host} and noted(tmp_path)[-1] == f"{host} close"
    assert os.getpgid(0) != host  # it had a session of its own


TRAINER = """
import os, sys, time
sys.path[:0] = [sys.argv[1]]
import quark
from tests.delivery.apart_sink import FileSink
folder, way = sys.argv[1:]
run = quark.start_run(project="p", run_id="r", storage_dir=folder + "/q", trackers=[FileSink(folder)],
                      close_timeout_s=0.5)
run.log({"loss": 1.0}, step=0)
if way == "forked" and os.fork() == 0:
    time.sleep(300)  # as a worker that loads data, with a copy of every pipe
while not os.path.exists(folder + "/out") or "hangs" not in open(folder + "/out").read():
    time.sleep(0.01)
print(os.getpid(), flush=True)
for step in range(1, 500):
    run.log({"loss": 1.0}, step=step)
if way != "ended":
    os.kill(os.getpid(), 9)
run.finish("completed")
"""


def trainer(tmp_path: Path, way: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", TRAINER, str(tmp_path), way], stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT}, check=False, timeout=200,
    )  # fmt: skip


@pytest.mark.fault
def test_a_killed_training_takes_the_process_along(tmp_path: Path) -> None:
    """A call that hangs dies with it; what it had not taken, quark sync brings, once."""
    (tmp_path / "hang").write_text("300")
    assert trainer(tmp_path, "killed").returncode == -signal.SIGKILL
    (host,) = hosts(tmp_path)
    until(lambda: not lives(host), "the process has ended")
    (tmp_path / "hang").unlink()
    assert not written(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("quark.session.sync.sink_from_spec", lambda name, options: FileSink(**options))
        assert sync(tmp_path / "q").problems == []
    *numbers, _, _ = sequences(tmp_path)  # the last two are those of the end, which the sync wrote
    assert numbers == sorted(set(numbers)) and len(numbers) > 500
    assert [line.split(" ", 1)[1] for line in noted(tmp_path)][-2:] == ["stop lost None", "close"]


@pytest.mark.fault
def test_a_forked_worker_does_not_keep_it_alive(tmp_path: Path) -> None:
    """A child of the training that outlives it holds copies of the pipes; the process asks for its parent instead."""
    (tmp_path / "hang").write_text("300")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", TRAINER, str(tmp_path), "forked"], stdout=subprocess.PIPE, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ROOT}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline()
        assert process.wait(100) == -signal.SIGKILL
        until(lambda: not any(lives(host) for host in hosts(tmp_path)), "the process has ended")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.fault
def test_a_training_that_ends_leaves_the_call_its_time(tmp_path: Path) -> None:
    """The run does not wait past its timeout; the process finishes what it is at, closes the sink, and is gone; until
    then nobody else delivers the rest."""
    (tmp_path / "hang").write_text("6")
    assert trainer(tmp_path, "ended").returncode == 0
    (host,) = hosts(tmp_path)
    assert lives(host) and not written(tmp_path)
    (place,) = [WriterPlace(path) for path in (tmp_path / "q/.quark/journal/r").iterdir()]
    assert place.is_served() and not place.alive()
    until(lambda: not lives(host), "the process has ended")
    assert not place.is_served() and written(tmp_path) and noted(tmp_path)[-1] == f"{host} close"


@pytest.mark.parametrize("why", ["no program", "ends at once", "not to be made"])
def test_no_process_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    """The sink works here, and one warning says why."""
    if why == "not to be made":
        monkeypatch.setattr(FileSink, "secret_spec", lambda self: {"unknown": 1})
    else:
        monkeypatch.setattr(sys, "executable", "/bin/true" if why == "ends at once" else str(tmp_path / "python"))
    with caplog.at_level(logging.WARNING, "quark"), trained(tmp_path, close_timeout_s=60) as run:
        run.log({"loss": 1.0}, step=0)
    assert hosts(tmp_path) == {os.getpid()} and sequences(tmp_path)
    assert caplog.text.count("the sink 'file' works on a thread of this process") == 1


@pytest.mark.fault
def test_a_process_that_cannot_be_started_again_is_tried_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink that was at work over there knows no run here: it is not called here, and goes on when it can be."""
    sink, place, batch = made(tmp_path)
    try:
        sink.on_start(make_manifest(batch.origin))
        (first,) = hosts(tmp_path)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ConnectionError, match="is gone"):
            sink.write(batch)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(tmp_path / "python"))
            with pytest.raises(ConnectionError, match="could not be made again"):
                sink.write(batch)
        sink.write(batch)
        assert len(sequences(tmp_path)) == 5 and len(hosts(tmp_path) - {os.getpid()}) == 2
    finally:
        sink.close()
        place.release()


def test_an_earlier_process_is_waited_for(tmp_path: Path) -> None:
    """A resumed run does not set a second process to the same destination while one of its last attempt works."""
    sink, place, batch = made(tmp_path)
    earlier = WriterPlace(place.directory.parent / "w-earlier")
    earlier.create(batch.origin, {})
    earlier.hosts.acquire()
    try:
        with pytest.raises(ConnectionError, match="an earlier attempt"):
            sink.on_start(make_manifest(batch.origin))
        earlier.release()
        sink.on_start(make_manifest(batch.origin))
    finally:
        sink.close()
        place.release()
