"""Reading a journal that another process left, damaged or not."""

import tracemalloc
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quark.delivery.disk import Disk
from quark.delivery.journal import Journal
from quark.delivery.quota import enforce_quota
from quark.delivery.tail import READ_SIZE, BatchCache, Tail
from quark.records.base import Origin
from quark.records.line import Line, encode

ORIGIN = Origin("run", "0-1-test")
SEGMENT = "00000000.jsonl"


def metric(number: int) -> bytes:
    return encode(Line("metric", number, 17, number, None, "a", 0.5)) + b"\n"


def event(number: int) -> bytes:
    return encode(Line("event", number, 17, label="x")) + b"\n"


def read_all(tail: Tail) -> list[int]:
    found = []
    while (batch := tail.read()) is not None:
        found.extend(line.sequence for line in batch.lines())
    return found


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 20 * 70), padding=st.integers(0, 9000))
def test_a_journal_cut_anywhere_gives_its_whole_lines(tmp_path, cut, padding):
    """Whatever byte the process died at, every whole line is read and the torn one is not."""
    content = b"".join(metric(n) for n in range(20))
    (tmp_path / SEGMENT).write_bytes(content[:cut] + b"\0" * padding)
    assert read_all(Tail(tmp_path, ORIGIN)) == list(range(content[:cut].count(b"\n")))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(start=st.integers(0, 1400), length=st.integers(1, 600))
def test_a_lost_page_costs_only_the_lines_that_it_held(tmp_path, start, length):
    """A stretch that reads as zeros (a power loss) takes its own lines and no others, and no false line appears."""
    lines = [metric(n) for n in range(30)]
    content = bytearray(b"".join(lines))
    start = min(start, len(content) - 1)
    content[start : start + length] = b"\0" * len(content[start : start + length])
    (tmp_path / SEGMENT).write_bytes(bytes(content))
    intact, place = [], 0
    for number, line in enumerate(lines):
        if content[place : place + len(line)] == line:
            intact.append(number)
        place += len(line)
    found = read_all(Tail(tmp_path, ORIGIN))
    assert found == [n for n in intact if n in found]
    assert len(found) >= len(intact) - 1


def test_garbage_is_set_aside_and_the_rest_goes_on(tmp_path):
    """A line that is none of ours is rejected with a reason; lines before and behind it are read."""
    (tmp_path / SEGMENT).write_bytes(metric(0) + b"what is this\n" + metric(1) + b'{"kind":"x"}\n' + metric(2))
    tail = Tail(tmp_path, ORIGIN)
    batch = tail.read()
    assert batch is not None
    found = [line.sequence for line in batch.lines()]
    while (more := tail.read()) is not None:
        found += [line.sequence for line in more.lines()]
        batch.rejected.extend(more.rejected)
    assert found == [0, 1, 2]
    assert len(batch.rejected) == 2


def test_a_journal_of_line_breaks_costs_little(tmp_path):
    """Megabytes of empty lines are stepped over as a whole, and a great many damaged ones are set aside as one."""
    damaged = b"x\n" * (READ_SIZE // 4)
    empty = b"\n" * READ_SIZE
    (tmp_path / SEGMENT).write_bytes(metric(0) + empty + metric(1) + damaged + b"\r" + metric(2) + empty + metric(3))
    tail, found, rejected = Tail(tmp_path, ORIGIN), [], []
    tracemalloc.start()
    try:
        while (batch := tail.read()) is not None:
            found += [line.sequence for line in batch.lines()]
            rejected += batch.rejected
            del batch
        assert tracemalloc.get_traced_memory()[1] < 6 * READ_SIZE  # a list of all lines would be eight times their size
    finally:
        tracemalloc.stop()
    assert found == [0, 1, 2, 3]
    assert len(rejected) <= 4 and b"".join(raw for raw, _ in rejected).count(b"x") == READ_SIZE // 4


def test_a_hole_of_a_living_writer_is_waited_for_and_then_stepped_over(tmp_path):
    """A number still on its way holds its followers back for a second; then, or if the writer is dead, they pass."""
    (tmp_path / SEGMENT).write_bytes(metric(0) + b"\0" * 66 + metric(2) + b"\0" * 4096)
    now = [0.0]
    tail = Tail(tmp_path, ORIGIN, alive=lambda: True, monotonic=lambda: now[0])
    assert read_all(tail) == [0]
    now[0] = 0.9
    assert read_all(tail) == []
    now[0] = 2.0
    assert read_all(tail) == [2]
    assert tail.holes == 1
    assert read_all(Tail(tmp_path, ORIGIN)) == [0, 2]


def test_holes_are_counted_once(tmp_path):
    """Numbers that are missing within a batch and before it count, also when the reader goes back and reads again."""
    (tmp_path / SEGMENT).write_bytes(metric(2) + metric(3) + metric(6) + metric(7))
    tail = Tail(tmp_path, ORIGIN)
    assert (read_all(tail), tail.holes) == ([2, 3, 6, 7], 4)
    tail.back_to(0)
    assert (read_all(tail), tail.holes) == ([2, 3, 6, 7], 4)
    later = Tail(tmp_path, ORIGIN, first=3)
    assert (read_all(later), later.holes) == ([3, 6, 7], 2)


def test_a_reader_begins_at_its_cursor(tmp_path):
    """A sink that holds the numbers below its cursor gets the rest and nothing twice, wherever the cursor lies."""
    journal = Journal(tmp_path, ORIGIN)
    for _ in range(5000):
        journal.append(metric)
    journal.close()
    for first in (0, 1, 2499, 4999, 5000):
        assert read_all(Tail(tmp_path, ORIGIN, first=first)) == list(range(first, 5000))


def test_readers_share_decoded_batches(tmp_path):
    """Several sinks of one process decode a batch once."""
    journal = Journal(tmp_path, ORIGIN)
    for _ in range(10):
        journal.append(metric)
    cache = BatchCache()
    one = Tail(tmp_path, ORIGIN, journal=journal, cache=cache).read()
    two = Tail(tmp_path, ORIGIN, journal=journal, cache=cache).read()
    assert one is two
    journal.close()


def test_the_quota_takes_delivered_segments_first_then_metrics_and_says_so(tmp_path):
    """Past the quota delivered segments go; then undelivered metrics, never events, and the count is kept in band."""
    disk = Disk()
    number = 0
    for segment in range(6):
        lines = []
        for _ in range(50):
            lines.append(event(number) if number % 10 == 0 else metric(number))
            number += 1
        (tmp_path / f"{segment:08d}.jsonl").write_bytes(b"".join(lines))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    reports: list[str] = []
    enforce_quota(tmp_path, size // 2, 50, disk, lambda cause, message: reports.append(message))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert "00000000.jsonl" not in names
    assert "00000001.kept.jsonl" in names
    tail = Tail(tmp_path, ORIGIN, first=50)
    found = []
    while (batch := tail.read()) is not None:
        found.extend(batch.lines())
    events = [line.sequence for line in found if line.kind == "event"]
    dropped = [line for line in found if line.kind == "dropped"]
    assert events == list(range(50, 300, 10))
    assert len([line for line in found if line.kind == "metric"]) + 45 * len(dropped) == 250 - 25
    assert "45 metrics" in reports[0]


def test_a_reader_in_the_middle_of_a_segment_survives_its_rewriting(tmp_path):
    """When the quota rewrites the segment that a slow sink reads, the sink goes on without loss of what was kept."""
    for segment in range(4):
        lines = [event(n) if n % 5 == 0 else metric(n) for n in range(segment * 50, segment * 50 + 50)]
        (tmp_path / f"{segment:08d}.jsonl").write_bytes(b"".join(lines))
    tail = Tail(tmp_path, ORIGIN)
    first = tail.read(limit=700)
    assert first is not None
    enforce_quota(tmp_path, 1, 0, Disk(), lambda cause, message: None)
    found = []
    while (batch := tail.read()) is not None:
        found.extend(line for line in batch.lines() if line.kind == "event")
    assert [line.sequence for line in found] == [n for n in range(0, 200, 5) if n >= first.stop]


def test_an_empty_directory_has_nothing_to_say(tmp_path: Path):
    """A journal without a segment reads as empty."""
    assert Tail(tmp_path / "missing", ORIGIN).read() is None


def test_a_segment_that_vanishes_beside_the_quota_is_no_fault(tmp_path):
    """The end of a run removes the segment that was kept ready while the keeper looks at the sizes."""

    class Vanishing(Disk):
        def size(self, path):
            if path.name == "00000001.jsonl":
                path.unlink()
            return super().size(path)

    for number in range(2):
        (tmp_path / f"0000000{number}.jsonl").write_bytes(b"")
    enforce_quota(tmp_path, 1, 0, Vanishing(), lambda cause, message: None)
    assert [path.name for path in tmp_path.iterdir()] == ["00000000.jsonl"]
