"""The journal of one writer: a log call stores its line into mapped memory, and no process death takes it back."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ClosedError
from ..records.base import Origin
from ..records.line import sequence_of
from .disk import PAGE, Disk

logger = logging.getLogger("quark")
_trace_function = sys.gettrace

SEGMENT_SIZES = (256 << 10, 1 << 20, 4 << 20, 8 << 20)
"""Sizes of the first segments; the last one repeats. A short run costs little, a fast one rolls seldom."""

MEMORY_LIMIT = 64 << 20
"""Bytes that may wait in memory while the disk takes nothing."""


RETRY_S = 0.5
"""Pause between attempts to make a segment while nothing takes one: an attempt costs more than a log call may."""


def segment_name(number: int) -> str:
    """The file of a segment; names sort in order."""
    return f"{number:08d}.jsonl"


def kept_name(number: int) -> str:
    """The file of what the quota left of a segment."""
    return f"{number:08d}.kept.jsonl"


class Segment:
    """A stretch of the journal: a mapped file, or memory while the disk takes nothing."""

    __slots__ = ("buffer", "end", "number", "path", "size")

    def __init__(self, number: int, path: Path | None, buffer: Any, size: int) -> None:
        self.number = number
        self.path = path
        self.buffer = buffer
        self.size = size
        self.end: int | None = None


class Journal:
    """The writing side. ``next`` is the sequence number that the next record takes.

    A caller encodes its line with ``next`` in it and calls ``put``; on False another thread took the number, and the
    caller encodes again. In ``put``, from the comparison to the store there is no call, and CPython gives the GIL to
    another thread (or runs a signal handler) only at calls and loops: number and place are claimed together, without
    a lock that a preempted thread could hold. It does not hold in a thread with a trace function (a debugger), which
    is called between any two lines: the first ``put`` of such a thread guards the journal, before its own claim begins,
    and from then on every claim is made under the lock. Without a GIL ``LockedJournal`` takes the journal's place.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_disk",
        "_full_until",
        "_guarded",
        "_lock",
        "_monotonic",
        "_numbers",
        "_report",
        "_rescuing",
        "_retired",
        "_room",
        "_spare",
        "_warned",
        "buffer",
        "current",
        "directory",
        "dropped",
        "foreign",
        "limit",
        "memory",
        "next",
        "on_roll",
        "origin",
        "pos",
    )  # fmt: skip

    def __init__(
        self, directory: Path, origin: Origin, *, disk: Disk | None = None,
        report: Callable[[str, str], None] = lambda cause, message: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.origin = origin
        self.next = 0
        self.dropped = 0
        self.memory: dict[int, Segment] = {}
        self.foreign = False
        self.on_roll: Callable[[], None] = _nothing
        self._disk = disk or Disk()
        self._report = report
        self._monotonic = monotonic
        self._full_until = 0.0
        self._closed = False
        self._guarded = False
        self._room = -1
        self._warned = False
        self._lock = threading.RLock()
        self._rescuing = threading.Lock()
        self._numbers = 0
        self._spare: Segment | None = None
        self._retired: list[Segment] = []
        self._enter(self._make(0))

    def put(self, number: int, line: bytes) -> bool:
        """Store a line that ends with a newline under ``number``; False if the number is taken by now."""
        if _trace_function() is not None:
            self.guard()
        size = len(line)
        buffer = self.buffer
        pos = self.pos
        end = pos + size
        if number == self.next and end <= self.limit:
            self.next = number + 1
            self.pos = end
            buffer[pos:end] = line
            return True
        return self._put_slowly(number, line)

    def append(self, encode: Callable[[int], bytes]) -> int:
        """Store ``encode(number)`` and return the number that it got."""
        while True:
            number = self.next
            if self.put(number, encode(number)):
                return number

    def guard(self) -> None:
        """Make every claim from now on under the lock: threads may be switched between any two lines of ``put``."""
        if self._guarded or self.foreign:
            return
        with self._lock:
            if not self._guarded:
                self._guarded = True
                self._room, self.limit = self.limit, -1

    def _put_slowly(self, number: int, line: bytes) -> bool:
        """Off the common path: a full segment, a taken number, a guarded, a closed or a forked journal."""
        if self.foreign:
            self._warn_in_child()
            return True
        size = len(line)
        with self._lock:
            if self._closed:
                raise ClosedError("this run has ended and takes no more records; start or resume a run first")
            if number != self.next:
                return False
            room = self._room if self._guarded else self.limit
            if self._guarded and self.pos + size <= room:
                self.buffer[self.pos : self.pos + size] = line
                self.pos += size
                self.next = number + 1
                return True
            if self.pos + size > room and not self._roll(size) and number == self.next:
                self.next = number + 1
                self.dropped += 1
                return True
        return False

    def _warn_in_child(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "quark: process %d was forked from the one that records run %s and records nothing itself; log in the "
                "parent, or start a run of its own here with quark.start_run(parent_run_id=%r)",
                os.getpid(), self.origin.run_id, self.origin.run_id,
            )  # fmt: skip

    def _roll(self, size: int) -> bool:
        """Go on in a fresh segment with room for ``size`` bytes; False when nothing takes records any more."""
        if self._monotonic() < self._full_until:
            return False
        fresh, self._spare = self._spare, None
        if fresh is not None and fresh.size < size:
            self._discard(fresh)
            fresh = None
        fresh = fresh or self._make(size)
        if fresh is None:
            self._full_until = self._monotonic() + RETRY_S
            return False
        old = self._enter(fresh)
        if old is not None:
            self._retired.append(old)
        self.on_roll()
        return True

    def _enter(self, fresh: Segment | None) -> Segment | None:
        if fresh is None:
            fresh = Segment(-1, None, b"", 0)
        old = getattr(self, "current", None)
        size = fresh.size
        limit = -1 if self._guarded else size
        buffer = fresh.buffer
        # No call from here on: other threads see the old segment or the new one, never half of each.
        if old is not None:
            old.end = self.pos
        self.current = fresh
        self.buffer = buffer
        self.pos = 0
        self._room = size
        self.limit = limit
        return old

    def _make(self, at_least: int) -> Segment | None:
        """A new segment on the disk, else in memory within the limit, else None."""
        with self._lock:
            number = self._numbers
            self._numbers += 1
        size = max(SEGMENT_SIZES[min(number, len(SEGMENT_SIZES) - 1)], -(-at_least // PAGE) * PAGE)
        path = self.directory / segment_name(number)
        try:
            return Segment(number, path, self._disk.create_segment(path, size), size)
        except OSError as error:
            return self._make_in_memory(number, max(1 << 20, -(-at_least // PAGE) * PAGE), error)

    def _make_in_memory(self, number: int, size: int, error: OSError) -> Segment | None:
        if sum(segment.size for segment in self.memory.values()) + size > MEMORY_LIMIT:
            self._report(
                "journal_full", f"records are dropped: no segment could be made in {self.directory} ({error}) and "
                f"{MEMORY_LIMIT >> 20} MiB wait in memory; free space there",
            )  # fmt: skip
            return None
        self._report(
            "journal_in_memory",
            f"no segment could be made in {self.directory} ({error}); records are kept in memory and would be lost "
            "with the process; free space there",
        )
        try:
            buffer = self._disk.memory_segment(size)
        except (OSError, MemoryError) as problem:
            message = f"records are dropped: neither the disk ({error}) nor the memory ({problem}) has room"
            self._report("journal_full", message)
            return None
        segment = Segment(number, None, buffer, size)
        self.memory[number] = segment
        return segment

    def prepare(self) -> None:
        """Have the next segment ready, away from the training thread."""
        if _is_debugged():
            self.guard()
        if self._spare is not None or self._closed or self.foreign:
            return
        fresh = self._make(0)
        if fresh is None:
            return
        with self._lock:
            current = self.current.number
            if self._spare is None and fresh.number > current and not self._closed:
                self._spare = fresh
                return
        self._discard(fresh)

    def retire(self) -> list[Segment]:
        """Let go of full segments: unmap them, cut their files to what they hold; the segments that are done."""
        with self._lock:
            retired, self._retired = self._retired, []
        for segment in retired:
            if segment.path is not None and segment.end is not None:
                self._keep_content(segment)
                segment.buffer = None
                self._quietly(partial(self._disk.truncate, segment.path, segment.end))
        return retired

    def _keep_content(self, segment: Segment) -> None:
        """Write a segment down again whose file was deleted while it was being filled."""
        if segment.path is None or self._disk.exists(segment.path) or self._disk.exists(self._kept(segment)):
            return
        try:
            self._disk.replace(segment.path, bytes(segment.buffer[: segment.end]))
        except OSError as error:
            self._report("journal_files", f"a segment that was deleted could not be written again ({error})")

    def _kept(self, segment: Segment) -> Path:
        return self.directory / kept_name(segment.number)

    def start_afresh(self) -> None:
        """Go on in a new segment, in a directory that was made again; the old one's content is written there too."""
        with self._lock:
            spare, self._spare = self._spare, None
            self._full_until = 0.0
            if not self._closed:
                self._roll(0)
        if spare is not None:
            self._discard(spare)
        self.retire()

    def rescue(self) -> None:
        """Bring full segments that wait in memory to the disk, now that it may take them again."""
        with self._rescuing:
            for number, segment in sorted(self.memory.items()):
                if segment.end is None:
                    continue
                try:
                    self._disk.replace(self.directory / segment_name(number), bytes(segment.buffer[: segment.end]))
                except OSError:
                    return
                del self.memory[number]

    def in_memory(self) -> int:
        """How many records only memory holds, which the end of the process takes with it."""
        with self._rescuing:
            held = (bytes(segment.buffer[: segment.end]) for segment in self.memory.values() if segment.end)
            return sum(data.count(b"\n") for data in held)

    def forget(self, delivered: int) -> None:
        """Let go of full segments in memory whose numbers all lie below ``delivered``."""
        with self._rescuing:
            for number, segment in sorted(self.memory.items()):
                if segment.end is None:
                    return
                written = bytes(segment.buffer[: segment.end])
                last = sequence_of(written[written.rfind(b"\n", 0, len(written) - 1) + 1 :])
                if last is not None and last >= delivered:
                    return
                del self.memory[number]

    @property
    def closed(self) -> bool:
        """Whether the run has ended: nothing more is taken."""
        return self._closed

    def close(self) -> None:
        """Take no more records; what is there stays for the readers."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.limit = self._room = -1
            self.current.end = self.pos
            self._retired.append(self.current)
            spare, self._spare = self._spare, None
        if spare is not None:
            self._discard(spare)
        self.retire()
        self.rescue()

    def disown(self) -> None:
        """In a forked child: store nothing from now on. Only flags are set, for this runs inside the fork."""
        self.foreign = True
        self.limit = -1

    def _discard(self, segment: Segment) -> None:
        self.memory.pop(segment.number, None)
        if segment.path is not None:
            self._quietly(partial(self._disk.remove, segment.path))

    def _quietly(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self._report("journal_files", f"a segment file could not be tidied up ({error})")


class LockedJournal(Journal):
    """The journal for interpreters that may switch threads between any two instructions."""

    __slots__ = ()

    def put(self, number: int, line: bytes) -> bool:
        """Store a line under ``number``, under a lock; False if the number is taken by now."""
        with self._lock:
            return Journal.put(self, number, line)


def journal_class() -> type[Journal]:
    """Journal where the GIL makes its claim atomic, LockedJournal elsewhere."""
    with_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return Journal if with_gil and sys.implementation.name == "cpython" else LockedJournal


def _is_debugged() -> bool:
    """Whether a debugger watches through ``sys.monitoring`` (Python 3.12), which no thread's trace function tells."""
    monitoring = getattr(sys, "monitoring", None)
    return monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None


def _nothing() -> None:
    pass
