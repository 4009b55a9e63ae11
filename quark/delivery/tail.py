"""The reading side of a journal: whole lines in the order of their numbers, from any process, live or left behind."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from ..core.batch import RecordBatch
from ..records.base import Origin
from ..records.line import sequence_of
from .disk import Disk
from .journal import Journal, kept_name, segment_name

READ_SIZE = 1 << 20
"""Bytes a batch aims at: about ten thousand metrics, a few milliseconds of decoding."""

HOLE_GRACE_S = 1.0
"""How long a number that is missing may still be on its way from another thread."""

MOST_DAMAGED = 1000
"""Lines of a damaged stretch that are set aside one by one."""

LONGEST_HEAD = 4096
"""Bytes of a line in which its number stands: a kind has 512 characters at most."""

_HEAD = b'{"kind":"'
_SEGMENT = re.compile(r"(\d{8})(?:\.kept)?\.jsonl\Z")


class BatchCache:
    """The last batches of a journal by first number, so that several sinks decode them once."""

    def __init__(self, size: int = 4) -> None:
        self.size = size
        self._batches: OrderedDict[int, tuple[RecordBatch, int, int]] = OrderedDict()

    def get(self, first: int) -> tuple[RecordBatch, int, int] | None:
        """The batch from ``first`` on, with the segment and the offset behind it."""
        return self._batches.get(first)

    def put(self, batch: RecordBatch, segment: int, offset: int) -> None:
        """Keep a batch; the oldest goes."""
        self._batches[batch.first] = (batch, segment, offset)
        while len(self._batches) > self.size:
            try:
                self._batches.popitem(last=False)
            except KeyError:  # another worker was faster
                return


class Tail:
    """A reader's place in one journal. ``next`` is the number of the next record that it gives out.

    ``holes`` counts the numbers that it stepped over: records that were cut off, dropped or damaged.

    Args:
        directory: the journal's directory.
        origin: whose records these are.
        first: the number to begin with; what lies below is skipped.
        journal: the live journal of this process, for its segments that exist in memory only.
        alive: whether the writer may still fill a hole; a dead writer's holes are stepped over at once.
    """

    def __init__(
        self, directory: Path, origin: Origin, *, first: int = 0, disk: Disk | None = None,
        journal: Journal | None = None, cache: BatchCache | None = None, alive: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.origin = origin
        self.next = first
        self.holes = 0
        self._counted = first
        self._disk = disk or Disk()
        self._journal = journal
        self._cache = cache or BatchCache(1)
        self._alive = alive
        self._monotonic = monotonic
        self._segment = 0
        self._offset = 0
        self._in_kept = False
        self._waiting_since: float | None = None

    @property
    def written(self) -> int | None:
        """How many records there are by now, where that is certain: in the process that writes them."""
        return None if self._journal is None else self._journal.next

    def read(self, limit: int = READ_SIZE) -> RecordBatch | None:
        """The next batch of about ``limit`` bytes, or None when there is nothing new.

        Where lines are damaged and no new one is among them, the batch is of no number and has only ``rejected``. It is
        not shared: the cache finds a batch by its first number, which is that of the next one too.
        """
        cached = self._cache.get(self.next)
        if cached is not None:
            batch, self._segment, self._offset = cached
            self.next = batch.stop
            self._count_holes(batch)
            return batch
        while True:
            data, skipped = self._read_lines(limit)
            if not data:
                if not self._step_to_next_segment():
                    return None
                continue
            batch = self._batch(data)
            if batch is not None:
                self._offset += skipped + len(data)
                self._waiting_since = None
                if batch.stop > self.next:
                    return self._give(batch)
                if batch.rejected:
                    return RecordBatch(self.origin, self.next, self.next, b"", rejected=batch.rejected)
                continue
            return None

    def back_to(self, number: int) -> None:
        """Give out again what lies from ``number`` on, as far as the quota has left it."""
        self.next = number
        self._segment, self._offset, self._in_kept = 0, 0, False
        self._waiting_since = None

    def _give(self, batch: RecordBatch) -> RecordBatch:
        batch = batch.after(self.next)
        batch.first = self.next
        self.next = batch.stop
        self._count_holes(batch)
        self._cache.put(batch, self._segment, self._offset)
        return batch

    def _count_holes(self, batch: RecordBatch) -> None:
        """Numbers without a line, each once, however often the reader goes back."""
        if batch.stop > self._counted:
            fresh = batch.after(self._counted)
            self.holes += max(0, fresh.stop - fresh.first - fresh.data.count(b"\n"))
            self._counted = batch.stop

    def _read_lines(self, limit: int) -> tuple[bytes, int]:
        """Whole lines from the place on, and how many bytes of an unfilled hole lie before them."""
        data = self._read_at(self._segment, self._offset, limit)
        start = 0
        while start < len(data) and data[start] == 0:
            start = len(data) - len(data[start:].lstrip(b"\0"))
        hole = data.find(b"\0", start)
        whole = data.rfind(b"\n", start, hole if hole >= 0 else len(data)) + 1
        if whole > start:
            return data[start:whole], start
        if hole < 0 and start < len(data) and len(data) == limit:
            return self._read_lines(limit * 8)
        if hole > start and (rest := data[hole:].lstrip(b"\0")):
            return self._past_torn_line(data, len(data) - len(rest))
        return b"", 0

    def _past_torn_line(self, data: bytes, start: int) -> tuple[bytes, int]:
        """A line with a hole inside was cut off by a crash and never acknowledged; lines may follow it."""
        newline = data.find(b"\n", start)
        whole = data.rfind(b"\n") + 1
        if newline < 0 or whole <= newline + 1 or b"\0" in data[newline + 1 : whole]:
            return b"", 0
        return data[newline + 1 : whole], newline + 1

    def _read_at(self, segment: int, offset: int, limit: int) -> bytes:
        if self._journal is not None:
            if segment == self._journal.current.number:
                limit = min(limit, self._journal.pos - offset)
            if (held := self._journal.memory.get(segment)) is not None:
                return bytes(held.buffer[offset : offset + limit])
            if limit <= 0:
                return b""
        try:
            return self._disk.read(self.directory / segment_name(segment), offset, limit)
        except FileNotFoundError:
            current = None if self._journal is None else self._journal.current
            held = current.buffer if current is not None and segment == current.number else None
            if held is not None:
                return bytes(held[offset : offset + limit])  # the file was deleted, its pages are still here
            return self._read_kept(segment, limit)

    def _read_kept(self, segment: int, limit: int) -> bytes:
        """What the quota left of a segment is a new file: it is read from its start, known numbers are skipped."""
        if segment == self._segment and not self._in_kept:
            self._offset, self._in_kept = 0, True
        try:
            offset = self._offset if segment == self._segment else 0
            return self._disk.read(self.directory / kept_name(segment), offset, limit)
        except FileNotFoundError:
            return b""

    def _batch(self, data: bytes) -> RecordBatch | None:
        """The lines as a batch; None while a number before them may still come."""
        lines_start = sequence_of(data)
        end = data.rfind(b"\n", 0, len(data) - 1) + 1
        last = sequence_of(data[end:])
        if lines_start is None or last is None:
            return self._salvage(data)
        if lines_start > self.next and not self._give_up_on_hole():
            return None
        return RecordBatch(self.origin, min(lines_start, self.next), last + 1, data)

    def _give_up_on_hole(self) -> bool:
        if not self._alive():
            return True
        if self._waiting_since is None:
            self._waiting_since = self._monotonic()
        return self._monotonic() - self._waiting_since >= HOLE_GRACE_S

    def _salvage(self, data: bytes) -> RecordBatch:
        """Lines among which some are damaged: the good ones stay, the others are set aside with their reason."""
        good: list[bytes] = []
        rejected: list[tuple[bytes, str]] = []
        at = 0
        while at < len(data):
            start, end = _next_line(data, at)
            rejected += [
                (raw, "this is no line of a journal; the file was damaged") for raw in _damaged(data[at:start])
            ]
            if start < end:
                good.append(data[start:end])
            at = end
        last = sequence_of(good[-1]) if good else None
        stop = last + 1 if last is not None else self.next
        return RecordBatch(self.origin, min(self.next, stop), stop, b"".join(good), rejected=rejected)

    def _step_to_next_segment(self) -> bool:
        """Go to the next segment that holds a line, if there is one; a prepared, empty one does not count."""
        for number in self._numbers():
            if number > self._segment and self._read_at(number, 0, 1).strip(b"\0"):
                if not self._leave(number):
                    return False
                self._segment, self._offset, self._in_kept = number, 0, False
                return True
        return False

    def _leave(self, number: int) -> bool:
        """Whether the rest of this segment is done; a line that is still being stored is waited for."""
        first = sequence_of(self._read_at(number, 0, 200))
        return first is None or first <= self.next or self._give_up_on_hole()

    def _numbers(self) -> list[int]:
        found = {int(match.group(1)) for name in self._disk.names(self.directory) if (match := _SEGMENT.match(name))}
        if self._journal is not None:
            found.update(self._journal.memory)
        return sorted(found)


def _next_line(data: bytes, at: int) -> tuple[int, int]:
    """Where the next whole line of a journal begins and ends; twice the end of the data if there is none."""
    while (at := data.find(_HEAD, at)) >= 0:
        if (at == 0 or data[at - 1] in b"\n\r") and sequence_of(data[at : at + LONGEST_HEAD]) is not None:
            end = data.find(b"\n", at) + 1
            return at, end or len(data)
        at += len(_HEAD)
    return len(data), len(data)


def _damaged(data: bytes) -> list[bytes]:
    """The lines of a damaged stretch that say anything; where there are a great many it stays in one piece."""
    if data.count(b"\n") > MOST_DAMAGED:
        stripped = data.strip()
        return [stripped] if stripped else []
    return [raw for raw in data.splitlines(keepends=True) if raw.strip()]
