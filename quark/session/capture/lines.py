"""Lines of text without their secrets, and of printed lines those that are kept: the first many, the last thousand."""

import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ...redaction import HIDDEN, KEY_BEGINS, KEY_ENDS, Blocks, redact_text

LAST = 1000
"""So many of the last lines are always kept: that is where the traceback is."""

_KEY_LINE = re.compile(
    r"[A-Za-z0-9+/]{16}|^\s*[A-Za-z0-9+/=]*\s*$|^\s*(?:Proc-Type|DEK-Info|Comment|Version|Subject): "
)
"""A line between the first and the last of a private key."""


LONGEST_LINE = 8 << 10
"""Characters of a line of a file that are looked at; what follows is cut off."""

POLITE_LINES = 200
POLITE_PAUSE_S = 0.001
"""After so many lines of a long text the other threads of the program get the interpreter for a moment."""


class LineRedactor:
    """Takes secrets out of a text line by line. A key that goes over several lines is hidden as a whole."""

    def __init__(self) -> None:
        self._in_key = False
        self._blocks = Blocks()

    def redacted(self, text: str) -> str:
        """The next line; what stands between the lines of a key and is no part of it is shown."""
        begins = KEY_BEGINS.search(text)
        self._in_key = self._in_key or bool(begins)
        if not self._in_key:
            return redact_text(self._blocks.without_blocks(text))
        if KEY_ENDS.search(text) or not (begins or _KEY_LINE.search(text)):
            self._in_key = False
        return HIDDEN if begins or self._in_key or KEY_ENDS.search(text) else redact_text(text)


def redacted_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a text without secrets; ones that are very long are cut."""
    redactor = LineRedactor()
    for number, line in enumerate(lines):
        yield shortened(redactor.redacted(line[:LONGEST_LINE]), line)
        be_polite(number)


def shortened(shown: str, line: str) -> str:
    """What is shown of ``line``, with a mark where the line is longer than that which was looked at."""
    return shown if len(line) <= LONGEST_LINE else f"{shown} [cut]"


def be_polite(number: int) -> None:
    """Let the other threads run, once in a while."""
    if number % POLITE_LINES == POLITE_LINES - 1:
        time.sleep(POLITE_PAUSE_S)


class PrintedLine(NamedTuple):
    """A line, and when it came (ns since 1970)."""

    number: int
    time_ns: int
    stream: str
    text: str


def body_of_lines(lines: Sequence[PrintedLine]) -> dict[str, Any]:
    """The event that lines of one stream are recorded as; it has the number of the first."""
    message = "\n".join(line.text for line in lines)
    payload = {"message": message, "identifier": "Info", "stream": lines[0].stream, "line": lines[0].number}
    return {"event_type": "log_line", "severity": "info", "status": None, "payload": payload}


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
        self._redactors: dict[str, LineRedactor] = {}
        self.count = 0
        self.dropped = 0

    def put(self, stream: str, text: str, time_ns: int | None = None) -> None:
        """A line was printed, now if no time is given."""
        with self._lock:
            redactor = self._redactors.setdefault(stream, LineRedactor())
            line = PrintedLine(self.count, time_ns or time.time_ns(), stream, redactor.redacted(text))
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
