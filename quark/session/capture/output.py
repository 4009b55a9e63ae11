"""The lines that the program prints, recorded with the run that it prints them in.

``write`` of ``sys.stdout`` and ``sys.stderr`` is wrapped. The streams stay what they are: a terminal is still one, and
encoding, file descriptor and buffering are untouched. Only what goes through Python's streams is seen, not what C
extensions and child processes print. To see that too, the file descriptors would lead to a pipe, which hides the
terminal from the program, loses lines if the process is killed, and stops a program that prints while it holds the
interpreter's lock. ``quark run`` does it from outside of the process.
"""

import functools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import QuarkError
from ...producers.events import log_event
from ...records.foreign import clean_text
from ...records.line import Line, encode
from ...settings import setting
from ..current import innermost_run
from .lines import LONGEST_LINE, PrintedLine, PrintedLines, body_of_lines

if TYPE_CHECKING:
    from ..session import TrainingSession

MOST_WAITING = 8192
"""Writes that wait for the journal's thread, which comes by four times a second; ``print`` makes two of a line."""

MOST_IN_EVENT = 100
"""Lines of one event. A line has 8 KiB at most, so that the event stays below what a record may have."""

LONGEST_WRITE = 64 << 10
"""Characters of one write that are looked at."""

CLOSE_S = 1.0


class PrintedOutput:
    """What is printed in one run: taken by the thread that prints, recorded by the journal's thread."""

    def __init__(self, session: "TrainingSession") -> None:
        self._session = session
        self._waiting: deque[tuple[str, str, int, int]] = deque()
        self._lines = PrintedLines(setting("QUARK_LOG_LINES"))
        self._begun: dict[str, _Begun] = {}
        self._missed = 0
        self._closed = False
        self._writing = threading.Lock()

    def put(self, stream: str, text: str) -> None:
        """A piece of text was printed, which may be less or more than a line."""
        if self._closed:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._missed += text.count("\n")
            return
        if len(text) > LONGEST_WRITE:
            self._missed += text.count("\n", LONGEST_WRITE)
            text = text[:LONGEST_WRITE] + "\n"
        self._waiting.append((stream, text, time.time_ns(), threading.get_ident()))

    def write(self) -> None:
        """Record the lines that are complete."""
        if self._waiting and self._writing.acquire(blocking=False):
            try:
                self._take()
                self._record(self._lines.take())
            finally:
                self._writing.release()

    def close(self) -> None:
        """The run ends: record what is left, and let go of the streams."""
        _let_go(self._session)
        if self._closed or not self._writing.acquire(timeout=CLOSE_S):
            return
        try:
            self._closed = True
            self._take()
            for stream, begun in self._begun.items():
                self._put_line(stream, begun.text(), time.time_ns())
            self._record(self._lines.take_last())
            dropped = self._lines.dropped + self._missed
            if dropped:
                log_event(self._session, "log_lines_dropped", severity="warning", payload={"count": dropped})
        finally:
            self._writing.release()

    def abandon(self) -> None:
        """This is a forked child: what it prints belongs to no run."""
        self._closed = True
        _let_go(self._session)

    def _take(self) -> None:
        own = {thread.ident for thread in threading.enumerate() if _is_quarks(thread.name)}
        for _ in range(len(self._waiting)):
            stream, text, time_ns, thread = self._waiting.popleft()
            if thread in own:  # the console sink, or a warning about this record: recording it would warn again
                continue
            begun = self._begun.setdefault(stream, _Begun())
            begun.append(text)
            if "\n" in text:
                for line in begun.complete_lines():
                    self._put_line(stream, line, time_ns)

    def _put_line(self, stream: str, line: str, time_ns: int) -> None:
        """A progress bar writes over its line again and again: what it showed last is kept."""
        shown = line.removesuffix("\r").rpartition("\r")[2][:LONGEST_LINE]
        if shown.strip():
            self._lines.put(stream, clean_text(shown), time_ns)

    def _record(self, lines: Iterable[PrintedLine]) -> None:
        """One event for lines of a stream that came together: a thousand a second are a few events."""
        together: list[PrintedLine] = []
        for line in lines:
            if together and (line.stream != together[0].stream or len(together) >= MOST_IN_EVENT):
                self._append(together)
                together = []
            together.append(line)
        if together:
            self._append(together)

    def _append(self, lines: list[PrintedLine]) -> None:
        step, at = self._session.current_step, lines[0].time_ns
        raw = msgspec.Raw(encode(body_of_lines(lines)))
        try:
            self._session.journal.append(
                lambda n: encode(Line("event", n, at, step, label="log_line", body=raw)) + b"\n"
            )
        except QuarkError:  # the run has ended in this moment
            return


class _Begun:
    """The line of a stream that has begun, as the pieces that it was printed in."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0

    def append(self, text: str) -> None:
        """A piece was printed. A progress bar writes over one line for ever: what it has written over is let go."""
        self._pieces.append(text)
        self._length += len(text)
        if self._length > 2 * LONGEST_LINE and "\n" not in text:
            whole = self.text()
            _, carriage_return, tail = whole.rpartition("\r")
            self._set(tail if carriage_return and tail else whole[-LONGEST_LINE:])

    def text(self) -> str:
        """What has been printed of it."""
        return "".join(self._pieces)

    def complete_lines(self) -> list[str]:
        """The lines that have ended by now; what follows them is the next line's beginning."""
        *lines, rest = self.text().split("\n")
        self._set(rest)
        return lines

    def _set(self, text: str) -> None:
        self._pieces, self._length = [text], len(text)


class _Tap:
    """The ``write`` of one stream, wrapped."""

    def __init__(self, name: str, stream: Any) -> None:
        self.stream = stream
        self._had_own = "write" in getattr(stream, "__dict__", {})
        self._original = stream.write
        self._wrapper = _wrapped(name, self._original)
        stream.write = self._wrapper

    def remove(self) -> bool:
        """Give ``write`` back, unless somebody has wrapped it again: then ours stays inside of theirs, and idle."""
        if self.stream.write is not self._wrapper:
            return False
        if self._had_own:
            self.stream.write = self._original
        else:
            del self.stream.write
        return True


_outputs: "dict[TrainingSession, PrintedOutput]" = {}
_latest: PrintedOutput | None = None
_taps: list[_Tap] = []
_changing = threading.RLock()


def open_output(session: "TrainingSession") -> PrintedOutput | None:
    """Record what is printed from now on; None where ``quark run`` records the lines of this run already."""
    global _latest
    if os.environ.get("QUARK_RUN_FILE") and session.run_id == setting("QUARK_RUN_ID"):
        return None
    output = PrintedOutput(session)
    with _changing:
        _outputs[session] = _latest = output
        for name in ("stdout", "stderr"):
            _tap(name, getattr(sys, name, None))
    return output


def _tap(name: str, stream: Any) -> None:
    if stream is None or any(tap.stream is stream for tap in _taps):
        return
    try:
        _taps.append(_Tap(name, stream))
    except (AttributeError, TypeError):  # an object of somebody's that cannot be changed
        return


def _let_go(session: "TrainingSession") -> None:
    """A run takes no more lines; with the last one the streams are given back."""
    global _latest
    with _changing:
        _outputs.pop(session, None)
        _latest = next(reversed(_outputs.values()), None)
        if not _outputs:
            _taps[:] = [tap for tap in _taps if not tap.remove()]


def _wrapped(name: str, original: Any) -> Any:
    @functools.wraps(original)
    def write(*given: Any, **named: Any) -> Any:
        result = original(*given, **named)
        if _latest is not None:
            _note(name, given)
        return result

    return write


def _note(name: str, given: tuple[Any, ...]) -> None:
    """Give a text to the run that it was printed in: the current one of the thread, else the one opened last."""
    try:
        run = innermost_run()
        output = _latest if run is None else _outputs.get(run, _latest)
        if output is not None and given and isinstance(given[0], str):
            output.put(name, given[0])
    except Exception:  # noqa: BLE001  whatever it is, the program wanted to print and has printed
        return


def _is_quarks(thread_name: str) -> bool:
    """Whether a thread is one of ours that runs nobody's code; the workers of a tracked loop run the user's."""
    return thread_name.startswith("quark-") and not thread_name.startswith("quark-loop-")


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)
