"""The lines that a command printed, as far as they are kept: the first many and the last thousand, without secrets."""

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ..redaction import HIDDEN, KEY_BEGINS, KEY_ENDS, redact_text

LAST = 1000
"""So many of the last lines are always kept: that is where the traceback is."""

_KEY_LINE = re.compile(
    r"[A-Za-z0-9+/]{16}|^\s*[A-Za-z0-9+/=]*\s*$|^\s*(?:Proc-Type|DEK-Info|Comment|Version|Subject): "
)
"""A line between the first and the last of a private key."""


class PrintedLine(NamedTuple):
    """A line, and when it came (ns since 1970)."""

    number: int
    time_ns: int
    stream: str
    text: str


class PrintedLines:
    """Lines on their way to the record. Threads put them in, one takes them out.

    Args:
        most: how many are kept in all, the last ones included.
    """

    def __init__(self, most: int) -> None:
        self._first_left = max(most - LAST, 0)
        self._waiting: deque[PrintedLine] = deque()
        self._last: deque[PrintedLine] = deque(maxlen=min(LAST, most))
        self._lock = threading.Lock()
        self._in_key: set[str] = set()
        self.count = 0
        self.dropped = 0

    def put(self, stream: str, text: str) -> None:
        """A line was printed."""
        with self._lock:
            line = PrintedLine(self.count, time.time_ns(), stream, self._redacted(stream, text))
            self.count += 1
            if self._first_left:
                self._first_left -= 1
                self._waiting.append(line)
            else:
                self.dropped += len(self._last) == self._last.maxlen
                self._last.append(line)

    def take(self) -> Iterator[PrintedLine]:
        """The lines that may be recorded by now."""
        while self._waiting:
            yield self._waiting.popleft()

    def take_last(self) -> Iterator[PrintedLine]:
        """What is left, now that no line will come."""
        yield from self.take()
        while self._last:
            yield self._last.popleft()

    def _redacted(self, stream: str, text: str) -> str:
        """A key that goes over several lines is hidden as a whole, and what is no part of it is shown again."""
        if begins := KEY_BEGINS.search(text):
            self._in_key.add(stream)
        if stream not in self._in_key:
            return redact_text(text)
        if KEY_ENDS.search(text) or not (begins or _KEY_LINE.search(text)):
            self._in_key.discard(stream)
        return HIDDEN if begins or stream in self._in_key or KEY_ENDS.search(text) else redact_text(text)
