"""Signals to a training: its run ends truly, its process ends, and what Quark changed for that is given back."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import quark
from quark.delivery import exits
from quark.session.sync import sync
from tests.children import child_environment

pytestmark = pytest.mark.fault
BEGIN = """
import ctypes, faulthandler, itertools, os, signal, sys, threading, time
import quark
def start():
    run = quark.start_run(project="signals", storage_dir=sys.argv[1])
    run.log({"loss": 1.0})
    return run
def busy():
    print("ready", flush=True)
    sum(itertools.repeat(1, 10**11))  # holds the interpreter
def hung():
    print("ready", flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ctypes.CDLL(None).usleep(60_000_000)  # lets other threads run
def quiet():
    print("ready", flush=True)
    time.sleep(60)
"""

BUSY = {
    # way: (script, return code, status, what is kept)
    "C code that holds the interpreter": ("start(); busy()", -signal.SIGKILL, "interrupted", "ended by SIGKILL"),
    "C code that lets other threads run": ("start(); hung()", -signal.SIGTERM, "interrupted", "received SIGTERM"),
    "C code, after the run has ended": ("start().end_run(); busy()", -signal.SIGTERM, "completed", None),
    "a run of another thread": (
        "t = threading.Thread(target=lambda: (start(), quiet())); t.start(); t.join()", -signal.SIGTERM, "interrupted",
        "ended the process at once"),
    "a run of another thread, in C code": (
        "t = threading.Thread(target=start); t.start(); t.join(); busy()", -signal.SIGTERM, "interrupted",
        "ended the process at once"),
    "a handler set before": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); start(); quiet()", 7, "interrupted", "SystemExit: 7"),
    "a handler set after": (
        "start(); signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); quiet()", 7, "interrupted", "SystemExit: 7"),
    "a handler that lets the loop end": (
        "start(); stop = threading.Event(); signal.signal(signal.SIGTERM, lambda *_: stop.set())\n"
        "print('ready', flush=True); stop.wait(60); time.sleep(0.5)", 0, "interrupted", None),
}  # fmt: skip


SPARED = {
    "Ctrl-C in C code that holds the interpreter": (signal.SIGINT, "start()"),
    "a signal of the program's own": (signal.SIGUSR1, "signal.signal(signal.SIGUSR1, lambda *_: None); start()"),
    "SIGTERM, which the program handles since": (
        signal.SIGTERM, "start(); signal.signal(signal.SIGTERM, lambda *_: None); time.sleep(3)"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("way", SPARED)
def test_a_signal_that_python_would_hold_back_kills_nothing(tmp_path, way):
    """A training that would live through a signal, and look at it later, does so with Quark too."""
    number, script = SPARED[way]
    ends = "except KeyboardInterrupt: pass\nprint('alive', flush=True); os._exit(3)"
    script = (
        f"{script}\ntry:\n print('ready', flush=True); sum(itertools.repeat(1, 4 * 10**8)); time.sleep(0.1)\n{ends}"
    )
    process = subprocess.Popen([sys.executable, "-c", BEGIN + script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(number)
    assert (process.communicate(timeout=100)[0], process.returncode) == ("alive\n", 3)


@pytest.mark.parametrize("way", BUSY)
def test_sigterm_ends_it(tmp_path, way):
    """Wherever the program is, SIGTERM ends it as it would without Quark, and the run has a true status."""
    script, code, status, message = BUSY[way]
    environment = child_environment()
    environment["PYTHONPATH"] = str(Path(quark.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    report = sync(tmp_path)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        kept = [event.payload["message"] for event in view.events() if event.event_type.startswith("runtime_")]
    assert (view.status, report.lost, len(kept)) == (status, [], message is not None)
    assert all(message in text for text in kept)


def state():
    """What belongs to the whole process."""
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    names = sorted(thread.name for thread in threading.enumerate() if thread.name == "quark-signals")
    return (sys.exit, sys.excepthook, threading.excepthook, type(exit).__call__, signal.getsignal(signal.SIGTERM),
            signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGINT), wakeup, names)  # fmt: skip


@pytest.fixture
def fresh():
    """What was there before any run; the suite itself may leave runs open."""
    exits.end_open_runs()
    exits._give_back()
    for patch in exits._patches:
        patch._wrapper = None  # one that others hold in theirs, as wandb does, is left to them
    while "quark-signals" in {thread.name for thread in threading.enumerate()}:  # of the test before; it is ending
        time.sleep(0.01)
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def settled(wanted):
    """The state once the thread of the signals has had time to end."""
    end = time.monotonic() + 10
    while state() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return state()


@pytest.mark.usefixtures("fresh")
def test_everything_is_given_back_when_the_last_run_ends(tmp_path):
    """Functions and handlers of the process are Quark's while any run is open, and what they were before afterwards."""
    before = state()
    first = quark.start_run(project="p", storage_dir=tmp_path)
    second = quark.start_run(project="p", storage_dir=tmp_path)
    during = state()
    assert during[0] is not before[0] and during[4] is not before[4]
    first.end_run()
    assert state() == during
    second.end_run()
    assert settled(before) == before


@pytest.mark.usefixtures("fresh")
def test_what_others_have_put_there_since_stays(tmp_path, monkeypatch):
    """A handler or a wrapper that was set while the run was open is not taken away; ours inside it does nothing."""
    monkeypatch.setattr(sys, "exit", sys.exit)
    run = quark.start_run(project="p", storage_dir=tmp_path)
    ours, handler = sys.exit, lambda *_: None
    wrapper = lambda *status: ours(*status)  # noqa: E731
    monkeypatch.setattr(sys, "exit", wrapper)
    signal.signal(signal.SIGTERM, handler)
    run.end_run()
    assert sys.exit is wrapper and signal.getsignal(signal.SIGTERM) is handler
    with pytest.raises(SystemExit):
        sys.exit(3)
    with quark.start_run(project="p", storage_dir=tmp_path):
        assert sys.exit is wrapper


@pytest.mark.usefixtures("fresh")
def test_a_forked_child_inherits_nothing(tmp_path):
    """In a child everything is as it was before the run; SIGTERM ends it also in C code."""
    before = state()
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"y" if state() == before else b"n")
            sum(iter(int, 1))
            os._exit(0)
        as_before = os.read(reader, 1)
        os.kill(child, signal.SIGTERM)
        assert (os.waitpid(child, 0)[1], as_before) == (signal.SIGTERM, b"y")
    assert run.status == "completed"
    os.close(reader)
    os.close(writer)


@pytest.mark.usefixtures("fresh")
def test_an_event_loop_keeps_its_wakeup_descriptor(tmp_path):
    """Where something else has the interpreter's wakeup descriptor, it keeps it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    try:
        with quark.start_run(project="p", storage_dir=tmp_path):
            assert state()[7] == writer
        assert state()[7] == writer
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


class Slow(quark.Sink):
    """Is in a write when the run ends."""

    name = "slow"

    def __init__(self):
        self.writing = threading.Event()

    def write(self, batch):
        self.writing.set()
        time.sleep(60)


@pytest.mark.usefixtures("fresh")
def test_an_interrupt_during_a_normal_end_reaches_the_program(tmp_path):
    """A Ctrl-C while a run is closed ends the waiting and the program's loop over runs; the run is completed."""
    runs = []
    sink = Slow()

    def interrupt():
        sink.writing.wait(30)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        for _ in range(3):
            with quark.start_run(project="p", storage_dir=tmp_path, trackers=[sink], close_timeout_s=60) as run:
                runs.append(run)
                threading.Thread(target=interrupt).start()
    assert [run.status for run in runs] == ["completed"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Interrupting(quark.TrackerBase):
    """Is interrupted while it is told of the end."""

    def on_stop(self, final_state, reason):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("how", ["with", "end_run", "exception"])
@pytest.mark.usefixtures("fresh")
def test_an_interrupt_in_the_middle_of_an_end_loses_no_end(tmp_path, how):
    """Wherever in an end a Ctrl-C comes, the run gets its whole end, and the program its KeyboardInterrupt."""
    run = quark.start_run(project="p", storage_dir=tmp_path, trackers=[Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        if how == "end_run":
            run.end_run()
        else:
            with run:
                if how == "exception":
                    raise ValueError("no")
    sync(tmp_path)
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).status == ("failed" if how == "exception" else "completed")
    assert quark.current_run() is None
