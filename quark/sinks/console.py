"""A line every few seconds that says how the training does, and one at once when something goes wrong."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TextIO

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState, StopReason, status_of
from ..core.sink import Sink
from ..errors import ConfigurationError
from ..records.line import WIDE, Line
from .wording import Told, body, duration, plain

_LOUD = ("error", "critical")
_RED, _BOLD, _OFF = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class ConsoleSink(Sink):
    """Prints steps and metrics at most every ``every_s`` seconds; start, end, alerts and errors at once.

    Only rank 0 prints. A terminal gets colours for what is urgent, unless ``NO_COLOR`` is set; all else is plain text.

    Args:
        every_s: seconds between two lines of metrics.
        keys: the metrics to show, in this order; None shows the first six that were recorded.
        stream: where to print; None is ``sys.stdout`` as it is at that moment.

    Raises:
        ConfigurationError: an option that cannot be used.
    """

    name: ClassVar[str] = "console"

    def __init__(
        self, every_s: float = 5.0, keys: Sequence[str] | None = None, stream: TextIO | None = None, *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        if not 0 <= every_s < 1e9:
            raise ConfigurationError(f"every_s must be between 0 and 1e9 seconds, got {every_s!r}")
        if isinstance(keys, str):
            raise ConfigurationError(f"keys must be a list of metric keys, got the text {keys!r}; use [{keys!r}]")
        self.every_s = every_s
        self.keys = None if keys is None else tuple(keys)
        self._stream = stream
        self._monotonic = monotonic
        self._told = Told()
        self._silent = False
        self._printed_at: float | None = None
        self._fresh = False
        self._next: dict[str, int] = {}

    def on_start(self, manifest: RunManifest) -> None:
        """Learn the run's name; other ranks than 0 fall silent."""
        self._silent = manifest.rank != 0
        self._told.run_id, self._told.name, self._told.project = manifest.run_id, manifest.name, manifest.project
        self._told.started_at = manifest.started_at or None

    def write(self, batch: RecordBatch) -> None:
        """Print what is urgent in the batch, then the latest values if it is time."""
        if self._silent or batch.origin.rank != 0:
            return
        first = self._next.get(batch.origin.writer_id, 0)
        for line in batch.lines():
            if line.sequence >= first:
                self._told.feed(line)
                self._show(line)
                self._next[batch.origin.writer_id] = line.sequence + 1
        now = self._monotonic()
        if self._fresh and (self._printed_at is None or now - self._printed_at >= self.every_s):
            self._print(self._progress())
            self._printed_at = now
            self._fresh = False

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """Print the last values and how the run ended, unless its own last line did."""
        if not self._silent and self._told.status is None:
            self._told.status, self._told.reason = status_of(reason), reason
            self._print_end()

    def spec(self) -> None:
        """None: what a dead process left is not news for anybody's terminal."""

    def _show(self, line: Line) -> None:
        if line.kind in ("metric", WIDE):
            self._fresh = True
        elif line.kind == "run" and line.label in ("start", "resume"):
            verb = "started" if line.label == "start" else "goes on"
            self._print(f"run {self._told.title} of {plain(self._told.project)} {verb}")
        elif line.kind == "run" and line.label == "end":
            self._print_end()
        elif line.kind in ("alert", "event"):
            self._show_urgent(line)

    def _show_urgent(self, line: Line) -> None:
        said = body(line)
        severity = plain(said.get("severity", ""), 20)
        if line.kind == "event":
            if severity not in _LOUD:
                return
            payload: Any = said.get("payload")
            text = payload.get("message", "") if isinstance(payload, dict) else ""
        else:
            text = said.get("title", "")
        where = f" at step {line.step}" if line.step is not None else ""
        words = f"{severity}: {plain(line.label or line.kind)}{where}: {plain(text)}".rstrip(": ")
        self._print(words, _RED if severity in _LOUD else _BOLD)

    def _progress(self) -> str:
        told = self._told
        place = [f"{word} {count}" for word, count in (("step", told.step), ("epoch", told.epoch)) if count is not None]
        return "  ".join([*place, *told.latest(self.keys)])

    def _print_end(self) -> None:
        told = self._told
        words = plain(told.status)
        if told.reason and told.reason != told.status:
            words += f" ({plain(told.reason)})"
        if told.elapsed_s is not None:
            words += f" after {duration(told.elapsed_s)}"
        if self._fresh:
            self._print(self._progress())
        self._print(f"run {told.title} {words}", _RED if told.status == "failed" else _BOLD)
        self._fresh = False

    def _print(self, text: str, colour: str = "") -> None:
        """Print a line; a console that is gone, or that cannot show a letter, is nobody's trouble."""
        stream = self._stream if self._stream is not None else sys.stdout
        if stream is None or stream.closed:  # a process without a console has none
            return
        if colour and stream.isatty() and not os.environ.get("NO_COLOR"):
            text = f"{colour}{text}{_OFF}"
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(f"quark: {text}".encode(encoding, "replace").decode(encoding) + "\n")
            stream.flush()
        except (OSError, ValueError):
            self._silent = True
