"""The journal: numbers without gaps, whole lines, and a way out when the disk takes nothing."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from quark.delivery import journal as journal_module
from quark.delivery.disk import Disk
from quark.delivery.journal import SEGMENT_SIZES, Journal, LockedJournal, journal_class
from quark.delivery.tail import Tail
from quark.errors import ClosedError
from quark.records.base import Origin
from quark.records.line import Line, encode, sequence_of

ORIGIN = Origin("run", "0-1-test")


def line(number: int, value: float = 0.5, key: str = "a") -> bytes:
    return encode(Line("metric", number, 17, number, None, key, value)) + b"\n"


def everything(directory: Path, journal: Journal | None = None) -> list[Line]:
    tail = Tail(directory, ORIGIN, journal=journal)
    found = []
    while (batch := tail.read()) is not None:
        found.extend(batch.lines())
    return found


@pytest.fixture
def fast_switching():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("cls", [Journal, LockedJournal])
def test_threads_share_numbers_without_gap_or_loss(tmp_path, cls, fast_switching):
    """Four threads switched as often as possible: every number once, in file order, each thread in its order."""
    journal = cls(tmp_path, ORIGIN)

    def work(name: str) -> None:
        for i in range(3000):
            journal.append(lambda n, value=float(i): line(n, value, name))

    threads = [threading.Thread(target=work, args=(f"t{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.prepare()
        journal.retire()
        time.sleep(0.001)
    journal.close()
    found = everything(tmp_path)
    assert [found_line.sequence for found_line in found] == list(range(12_000))
    for k in range(4):
        assert [x.value for x in found if x.metric_key == f"t{k}"] == [float(i) for i in range(3000)]


@pytest.mark.parametrize("traced", [1, 2])
def test_threads_that_are_traced_later_take_no_number_twice(tmp_path, traced, fast_switching):
    """A debugger that is attached to some of the threads, in the middle of a run, costs no record of any of them."""
    journal = journal_class()(tmp_path, ORIGIN)

    def trace(frame, event, argument):
        return trace

    def work(number: int) -> None:
        before = sys.gettrace()
        for i in range(1500):
            if i == 100 and number < traced:
                sys.settrace(trace)
            journal.append(lambda n, value=float(i): line(n, value, f"t{number}"))
        sys.settrace(before)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    found = everything(tmp_path)
    assert [found_line.sequence for found_line in found] == list(range(6000))
    for number in range(4):
        assert [x.value for x in found if x.metric_key == f"t{number}"] == [float(i) for i in range(1500)]


BOMBARDED = """
import ctypes, sys, threading, time
from pathlib import Path
from quark.delivery.journal import Journal
from quark.records.base import Origin
from quark.records.line import Line, encode
sys.setswitchinterval(1e-6)
journal = Journal(Path(sys.argv[1]), Origin("run", "0-1-test"))
acknowledged, stop = [], threading.Event()

def record():
    while not stop.is_set():
        try:
            while not stop.is_set():
                acknowledged.append(journal.append(lambda n: encode(Line("metric", n, 17, n, None, "a", 0.5)) + b"\\n"))
        except KeyError:
            pass

def work():
    while not stop.is_set():
        try:  # twice, for an exception may also hit the handler of the one before
            try:
                record()
            except KeyError:
                pass
        except KeyError:
            pass

threading.excepthook = lambda arguments: None
thread = threading.Thread(target=work)
thread.start()
for _ in range(300):
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyError))
    time.sleep(0.0005)
time.sleep(0.05)
stop.set()
thread.join(10)
print(" ".join(map(str, acknowledged)))
"""


def test_exceptions_thrown_into_a_thread_cost_no_acknowledged_record(tmp_path):
    """A thread bombarded with asynchronous exceptions loses nothing that put had returned for."""
    result = subprocess.run(
        [sys.executable, "-c", BOMBARDED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    acknowledged = set(map(int, result.stdout.split()))
    assert len(acknowledged) > 300
    assert acknowledged <= {found.sequence for found in everything(tmp_path)}


def test_segments_grow_and_full_ones_are_cut_to_their_content(tmp_path):
    """A long run rolls through segments of growing size; a full segment's file holds no empty tail."""
    journal = Journal(tmp_path, ORIGIN)
    while journal.current.number < 2:
        journal.append(lambda n: line(n))
        if journal.next % 100 == 0:
            journal.prepare()
    journal.retire()
    sizes = [len((tmp_path / f"{n:08d}.jsonl").read_bytes().rstrip(b"\0")) for n in (0, 1)]
    assert [os.path.getsize(tmp_path / f"{n:08d}.jsonl") for n in (0, 1)] == sizes
    assert SEGMENT_SIZES[0] - 200 < sizes[0] <= SEGMENT_SIZES[0]


def test_a_line_larger_than_a_segment_gets_one_of_its_own(tmp_path):
    """A 5 MB payload is stored whole, between its neighbours."""
    journal = Journal(tmp_path, ORIGIN)
    journal.append(lambda n: line(n))
    big = "x" * 5_000_000
    journal.append(lambda n: encode(Line("event", n, 17, label=big)) + b"\n")
    journal.append(lambda n: line(n))
    journal.close()
    found = everything(tmp_path)
    assert [x.sequence for x in found] == [0, 1, 2]
    assert found[1].label == big


def test_a_closed_journal_says_so(tmp_path):
    """A record after the end is refused with a ClosedError, and closing twice is fine."""
    journal = Journal(tmp_path, ORIGIN)
    journal.append(lambda n: line(n))
    journal.close()
    journal.close()
    with pytest.raises(ClosedError, match="ended"):
        journal.append(lambda n: line(n))
    assert len(everything(tmp_path)) == 1


def test_a_forked_child_changes_no_byte_of_the_parents_journal(tmp_path):
    """After a fork the child's calls return and store nothing."""
    journal = Journal(tmp_path, ORIGIN)
    journal.append(lambda n: line(n))
    before = (tmp_path / "00000000.jsonl").read_bytes()
    child = os.fork()
    if child == 0:
        journal.disown()
        for _ in range(100):
            journal.put(journal.next, line(journal.next))
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "00000000.jsonl").read_bytes() == before
    journal.close()


class FullDisk(Disk):
    """A disk that refuses new segments while ``full`` is set."""

    full = False

    def create_segment(self, path, size):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create_segment(path, size)

    def replace(self, path, content):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().replace(path, content)


def test_a_full_disk_keeps_records_in_memory_and_brings_them_back(tmp_path):
    """While no segment can be made records wait in memory, readable at once; when space is back they reach the disk."""
    disk = FullDisk()
    reports = []
    journal = Journal(tmp_path, ORIGIN, disk=disk, report=lambda cause, message: reports.append(cause))
    disk.full = True
    while len(journal.memory) < 2:
        journal.append(lambda n: line(n))
    count = journal.next
    assert [x.sequence for x in everything(tmp_path, journal)] == list(range(count))
    assert "journal_in_memory" in reports
    disk.full = False
    journal.close()
    assert not journal.memory
    assert [x.sequence for x in everything(tmp_path)] == list(range(count))


def test_memory_is_bounded_and_what_is_dropped_is_counted(tmp_path, monkeypatch):
    """With a full disk and the memory used up, records are dropped, counted, and the caller goes on at once."""
    monkeypatch.setattr(journal_module, "MEMORY_LIMIT", 2 << 20)
    disk = FullDisk()
    now = [0.0]
    journal = Journal(tmp_path, ORIGIN, disk=disk, monotonic=lambda: now[0])
    disk.full = True
    while journal.dropped < 500:
        journal.append(lambda n: line(n))
    kept = everything(tmp_path, journal)
    assert len(kept) + journal.dropped == journal.next
    disk.full = False
    now[0] = 10.0
    journal.append(lambda n: line(n))
    assert everything(tmp_path, journal)[-1].sequence == journal.next - 1
    journal.close()


def test_the_head_of_a_line_tells_its_number():
    """The number is read from the head without decoding the line."""
    assert sequence_of(line(41)) == 41
    assert sequence_of(b"garbage") is None
