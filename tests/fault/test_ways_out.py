"""Every way out of a process: what it recorded is there once, and status and reason are true."""

import os
import random
import signal
import time

import pytest

from .harness import account, end, kill_at_random, start_child

pytestmark = pytest.mark.fault
KILLS = int(os.environ.get("QUARK_TEST_KILLS", "20"))

WAYS = [
    # mode, options, return code, status, reason
    ("normal", (), 0, "completed", "completed"),
    ("with-normal", (), 0, "completed", "completed"),
    ("end", ("failed",), 0, "failed", "error"),
    ("end", ("interrupted",), 0, "interrupted", "interrupted"),
    ("exception", (), 1, "failed", "error"),
    ("with-exception", (), 1, "failed", "error"),
    ("sys-exit", (), 5, "interrupted", "interrupted"),
    ("with-sys-exit", (), 0, "interrupted", "interrupted"),
    ("steps-break", (), 0, "completed", "stopped"),
    ("os-exit", (), 3, "failed", "lost"),
    ("segfault", (), -signal.SIGSEGV, "failed", "lost"),
    ("abort", (), -signal.SIGABRT, "failed", "lost"),
    ("daemon-at-exit", (), 0, "completed", "completed"),
]


@pytest.mark.parametrize(("mode", "options", "code", "status", "reason"), WAYS)
def test_an_end_of_its_own(tmp_path, mode, options, code, status, reason):
    """However a process ends by itself: nothing lost, nothing twice, and the truth about why."""
    process, page = start_child(tmp_path, mode, *options)
    returned, _, err = end(process)
    report, run, sums = account(tmp_path, page)
    assert returned == code, err
    assert sums == {"acknowledged": 800, "found": 800, "lost": 0, "twice": 0}
    assert (run.status, run.reason) == (status, reason)
    assert (report.lost == [run.id]) == (reason == "lost")
    assert ("Traceback" in err) == (mode in ("exception", "with-exception"))


SIGNALS = [
    ("wait", signal.SIGTERM, -signal.SIGTERM, "interrupted"),
    ("with-wait", signal.SIGTERM, -signal.SIGTERM, "interrupted"),
    ("wait", signal.SIGHUP, -signal.SIGHUP, "interrupted"),
    ("wait", signal.SIGINT, -signal.SIGINT, "interrupted"),
    ("with-wait", signal.SIGINT, -signal.SIGINT, "interrupted"),
    ("user-handler", signal.SIGTERM, 7, "interrupted"),
    ("wait", signal.SIGKILL, -signal.SIGKILL, "failed"),
]


@pytest.mark.parametrize(("mode", "number", "code", "status"), SIGNALS)
def test_an_end_by_a_signal(tmp_path, mode, number, code, status):
    """Preemption, a lost terminal, Ctrl-C and kill -9: nothing lost, status and reason true, the return code kept."""
    process, page = start_child(tmp_path, mode)
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(number)
    returned, _, err = end(process)
    taken = time.monotonic() - began
    _, run, sums = account(tmp_path, page)
    assert returned == code, err
    assert sums == {"acknowledged": 800, "found": 800, "lost": 0, "twice": 0}
    assert (run.status, run.reason) == (status, "lost" if status == "failed" else "interrupted")
    assert taken < 12


def test_a_second_interrupt_ends_at_once(tmp_path):
    """While a hung sink holds up the end, a second Ctrl-C ends the process; nothing is lost, the status is true."""
    process, page = start_child(tmp_path, "hung-sink")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    end(process)
    _, run, sums = account(tmp_path, page)
    assert time.monotonic() - began < 10
    assert sums == {"acknowledged": 800, "found": 800, "lost": 0, "twice": 0}
    assert (run.status, run.reason) == ("interrupted", "interrupted")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["tight", "paced", "jsonl"])
def test_kill_9_at_a_random_moment(tmp_path, mode):
    """Four threads record, the process is killed at a random moment: no acknowledged record is lost or doubled."""
    rng = random.Random(mode)
    totals = {"acknowledged": 0, "lost": 0, "twice": 0}
    for trial in range(KILLS):
        process, page = start_child(tmp_path / str(trial), mode)
        kill_at_random(process, page, rng)
        process.communicate()
        _, run, sums = account(tmp_path / str(trial), page)
        assert (run.status, run.reason) == ("failed", "lost")
        for key in totals:
            totals[key] += sums[key]
    assert totals["acknowledged"] > KILLS * 4
    assert (totals["lost"], totals["twice"]) == (0, 0)
