"""Several processes use one store, and some of them die in the middle of it."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quark.storage import SqlStore

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


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that appends ``count`` batches of 21 records and prints the mark after each."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check(path: Path, expected: dict[str, int]) -> None:
    """The file is sound and holds whole batches: as many points and events as the marks say."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with SqlStore(path) as store:
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


def test_processes_write_at_once(path: Path) -> None:
    """Three processes that open, create, write and pack one store at the same time each store everything once."""
    processes = {name: writer(path, name, 40) for name in ("x", "y", "z")}
    for process in processes.values():
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and out.split()[-1] == "840"
    check(path, dict.fromkeys(processes, 840))


@pytest.mark.fault
def test_kill_in_the_middle(path: Path) -> None:
    """A process that is killed at any moment leaves whole batches only, and the next one goes on at its mark."""
    rng = random.Random(5)
    told = 0
    for _ in range(6):
        process = writer(path, "x", 10_000)
        assert process.stdout is not None
        told = max(told, int(process.stdout.readline()))
        time.sleep(rng.uniform(0.0, 0.15))
        process.kill()
        rest = process.stdout.read().split("\n")
        process.stdout.close()
        process.wait()
        told = max([told, *(int(number) for number in rest[:-1] if number)])
        check(path, {"x": told})
