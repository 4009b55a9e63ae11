"""Several processes use one store, and some of them die in the middle of it."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quark.storage import SqlStore

from ..postgres import own_server

WRITER = """
import sys
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line

path, writer, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
origin = Origin("run-1", writer)
store = SqlStore(path)
number = store.position("run-1", writer)
for _ in range(count):
    step = number // 21
    lines = [*metric_lines(10, ("a", "b"), first_step=10 * step), event_line(f"e{step}", step=step)]
    number = store.append(make_batch(origin, lines, number))
    print(number, flush=True)
    if step % 7 == 0:
        store.seal("run-1")
store.close()
"""


def writer(place: Path | str, name: str, count: int) -> subprocess.Popen[str]:
    """A process that appends ``count`` batches of 21 records and prints the mark after each."""
    command = [sys.executable, "-c", WRITER, str(place), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check(place: Path | str, expected: dict[str, int]) -> None:
    """The store is sound and holds whole batches: as many points and events as the marks say."""
    if isinstance(place, Path):
        connection = sqlite3.connect(place)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
    with SqlStore(place) as store:
        marks = {origin.writer_id: mark for origin, mark in store.writers("run-1")}
        assert marks.keys() == expected.keys()
        assert all(marks[name] % 21 == 0 and marks[name] >= told for name, told in expected.items())
        batches = sum(marks.values()) // 21
        assert store.count("run-1") == {"metric": 20 * batches, "event": batches}
        for key in ("a", "b"):
            series = store.series("run-1", key)
            assert sorted(series.steps.tolist()) == sorted(
                step for mark in marks.values() for step in range(10 * (mark // 21))
            )
        events = [(record.origin.writer_id, record.sequence) for record in store.records("run-1", "event")]
        assert len(set(events)) == batches


def test_processes_write_at_once(place: Path | str) -> None:
    """Three processes that open, create, write and pack one store at the same time each store everything once."""
    processes = {name: writer(place, name, 40) for name in ("x", "y", "z")}
    for process in processes.values():
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and out.split()[-1] == "840"
    check(place, dict.fromkeys(processes, 840))


SAME = """
import sys
from quark import SessionStoreError
from quark.records.base import Origin
from quark.storage import SqlStore
from quark.testing import event_line, make_batch, metric_lines

place, count, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
origin = Origin("run-1", "x")
store = SqlStore(place)
for step in range(0, count, every):
    lines = [
        line for one in range(step, min(step + every, count))
        for line in (*metric_lines(10, ("a", "b"), first_step=10 * one), event_line(f"e{one}", step=one))
    ]
    assert store.append(make_batch(origin, lines, 21 * step)) >= 21 * step + len(lines)
    if step % 7 == 0:
        store.seal("run-1")
store.close()
"""


def test_processes_that_are_sent_the_same(place: Path | str) -> None:
    """A sender that gave up on one replica tells another one the same, cut in other pieces: it is stored once."""
    processes = [subprocess.Popen([sys.executable, "-c", SAME, str(place), "60", str(every)]) for every in (1, 2, 3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    check(place, {"x": 1260})


@pytest.mark.fault
def test_kill_in_the_middle(place: Path | str) -> None:
    """A process that is killed at any moment leaves whole batches only, and the next one goes on at its mark."""
    rng = random.Random(5)
    told = 0
    for _ in range(6):
        process = writer(place, "x", 10_000)
        assert process.stdout is not None
        told = max(told, int(process.stdout.readline()))
        time.sleep(rng.uniform(0.0, 0.15))
        process.kill()
        rest = process.stdout.read().split("\n")
        process.stdout.close()
        process.wait()
        told = max([told, *(int(number) for number in rest[:-1] if number)])
        check(place, {"x": told})


STUBBORN = """
import sys, time
from quark import SessionStoreError
from quark.records.base import Origin
from quark.storage import SqlStore
from quark.testing import event_line, make_batch, metric_lines

place, writer = sys.argv[1:]
origin, store, number, told = Origin("run-1", writer), None, 0, 0
while number < 21 * 150:
    step = number // 21
    lines = [*metric_lines(10, ("a", "b"), first_step=10 * step), event_line(f"e{step}", step=step)]
    try:
        store = store or SqlStore(place)
        told = number = store.append(make_batch(origin, lines, number))
        if step % 7 == 0:
            store.seal("run-1")
        print(number, flush=True)
    except SessionStoreError as error:
        if error.code == "sequence_gap" or told == 0:
            number = told = store.position("run-1", writer) if store else 0
        time.sleep(0.05)
store.close()
"""


@pytest.mark.fault
def test_senders_and_their_server_die() -> None:
    """Senders that resend what was not answered, killed and started again, over a server that crashes: all, once."""
    rng = random.Random(7)
    server = own_server()
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for round_ in range(200):
            for name in ("x", "y"):
                process = running.get(name)
                if process is None or process.poll() not in (None, 0):
                    running[name] = subprocess.Popen(
                        [sys.executable, "-c", STUBBORN, server.url, name], stdout=subprocess.DEVNULL, text=True
                    )
            if all(process.poll() == 0 for process in running.values()):
                break
            time.sleep(rng.uniform(0.3, 0.9))
            if round_ < 4:
                running[rng.choice("xy")].kill()
            if round_ in (1, 3):
                server.stop(signal.SIGQUIT if round_ == 1 else signal.SIGINT)
                time.sleep(0.2)
                server.start()
        assert [process.poll() for process in running.values()] == [0, 0]
        check(server.url, {"x": 3150, "y": 3150})
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        server.remove()
