"""Records the rows of another tracker by the code of live recording, at the times and steps of the source."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..core.batch import RecordBatch
from ..errors import QuarkError
from ..producers.events import log_event
from ..producers.wide import LOGGED_TEXT, NonFiniteMetricError, log_values
from ..records.base import Origin, Record
from ..records.foreign import must_propagate
from ..records.grammar import MAX_INT
from ..records.limits import check_size
from ..records.line import Line, body_of, build, encode
from ..records.naming import NAME, RecordedNames
from ..redaction import redact_fields
from .source import Row

COUNTED = ("points", "nonfinite", "misplaced", "texts", "left_out", "renamed")
MOST_LINES = 4096
MOST_BYTES = 1 << 20
"""Lines and bytes of a batch."""


class LineBuffer:
    """The journal of an import: lines that wait to be appended to the store."""

    def __init__(self, origin: Origin, first: int) -> None:
        self.origin = origin
        self.first = self.next = first
        self.lines: list[bytes] = []
        self.size = 0

    def put(self, number: int, line: bytes) -> bool:
        """Keep a line; an import has one thread, so its number is never taken."""
        self.next = number + 1
        self.lines.append(line)
        self.size += len(line)
        return True

    @property
    def is_full(self) -> bool:
        """Whether it is time to take a batch."""
        return len(self.lines) >= MOST_LINES or self.size >= MOST_BYTES

    def take(self) -> RecordBatch:
        """The lines since the last batch."""
        batch = RecordBatch(self.origin, self.first, self.next, b"".join(self.lines))
        self.first, self.lines, self.size = self.next, [], 0
        return batch


class ImportedRun:
    """The handle that the code of live recording writes through.

    Attributes:
        now: the time that records get.
        counts: values by what became of them: ``points``, ``nonfinite``, ``misplaced``, ``texts``, ``left_out``, and
            ``renamed`` names.
    """

    strict = False
    disabled = False

    def __init__(self, origin: Origin, first: int, now: int) -> None:
        self.journal = LineBuffer(origin, first)
        self.known_keys: set[str] = set()
        self.names = RecordedNames()
        self.now = now
        self.counts: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self._is_placed = True

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return self.journal.origin.run_id

    def log_row(self, row: Row) -> None:
        """Record the values of a row as a live run would have."""
        counts, values, before = self.counts, row.values, self._no_points()
        self._is_placed = is_placed(row)
        try:
            log_values(self, values, row.step, row.epoch, self.now)  # pyright: ignore[reportArgumentType]
        except QuarkError:  # one that concerns the row as a whole, such as an event that is too large
            counts["left_out"] += len(values)
            return
        counts["points"] += len(values) - (self._no_points() - before)

    def _no_points(self) -> int:
        """Values so far that are no points of a series."""
        counts = self.counts
        return counts["nonfinite"] + counts["misplaced"] + counts["texts"] + counts["left_out"]

    def emit(
        self, cls: type[Record], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> None:  # fmt: skip
        """Keep a record of ``cls``, at the time of the source."""
        given = redact_fields(fields, cls.free_text)
        given.update((k, v) for k, v in (("step", step), ("epoch", epoch)) if v is not None)
        record = build(cls, self.journal.origin, 0, self.now, given)
        label = getattr(record, cls.label_field) if cls.label_field else None
        if label == LOGGED_TEXT:
            self.counts["texts"] += len(record.payload)
        number, body = self.journal.next, msgspec.Raw(body_of(record))
        self.journal.put(number, _line(Line(cls.kind, number, self.now, step, epoch, label=label, body=body)))

    def event(self, event_type: str, payload: Mapping[str, Any], severity: str = "info") -> None:
        """Keep an event, at the time of the source."""
        log_event(self, event_type, severity=severity, payload=payload)  # pyright: ignore[reportArgumentType]

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Keep a step of the run's own life."""
        self.counts["renamed"] += action == NAME and body["name"] != body["key"]
        number = self.journal.next
        self.journal.put(number, _line(Line("run", number, self.now, label=action, body=msgspec.Raw(encode(body)))))

    def refuse(self, error: BaseException, *, what: str, subject: str | None = None) -> None:
        """Count a value that is no point of a series."""
        if must_propagate(error):
            raise error
        if isinstance(error, NonFiniteMetricError):
            self.counts["nonfinite"] += 1
        else:
            self.counts["left_out" if self._is_placed else "misplaced"] += 1


def is_placed(row: Row) -> bool:
    """Whether a series can have points at the step and epoch of a row."""
    given = [number for number in (row.step, row.epoch) if number is not None]
    return bool(given) and all(type(number) is int and 0 <= number <= MAX_INT for number in given)


def _line(line: Line) -> bytes:
    return check_size(encode(line)) + b"\n"
