"""A stretch of one writer's journal on its way to the sinks: bytes, decoded once and shared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ..records.base import Origin, Record
from ..records.line import Line, decode_lines, decode_loosely, records_of, sequence_of

if TYPE_CHECKING:
    from ..records.metric_columns import MetricColumns

_BROKEN = (ValueError, TypeError, RecursionError, msgspec.MsgspecError)
"""What decoding a line raises that is damaged, nested too deeply, or another program's."""


@dataclass(frozen=True, slots=True)
class RunMark:
    """A step in the life of the run itself, which travels among the records.

    Attributes:
        action: ``start`` (``content`` holds the ProjectRecord as ``project`` and the RunRecord as ``run``, for a run
            that is exported also all ``names``), ``resume`` (``attempt``), ``join`` (``rank``, ``host``), ``tag``
            (``tag``), ``config`` (``values`` of the configuration that were learned after the start, ``step``),
            ``name`` (``of``: metric, artifact or event; ``key``; ``name``: what is recorded under the key from now on
            was logged under this name), ``end`` (``status``, ``reason``, ``ended_at``) or ``discard`` (``kind``: an
            analyzer replaces its earlier records of that kind).
        time_ns: when, in nanoseconds since 1970 UTC.
        content: what belongs to it, as JSON values.
    """

    action: str
    time_ns: int
    content: Mapping[str, Any]


RunMark.__module__ = "quark"


@dataclass(slots=True)
class RecordBatch:
    """The records of one writer with sequence numbers in ``[first, stop)``.

    ``data`` holds whole lines, in sequence order. There may be fewer lines than numbers: a call that was interrupted
    leaves a hole, and ``dropped`` counts records that a full disk quota cost. A receiver that has taken the batch
    holds everything below ``stop``.
    """

    origin: Origin
    first: int
    stop: int
    data: bytes
    dropped: int = 0
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    _lines: list[Line] | None = None
    _records: list[Record] | None = None
    _columns: "MetricColumns | None" = None

    def lines(self) -> list[Line]:
        """The decoded lines; a line that cannot be decoded is put aside in ``rejected`` with its reason."""
        if self._lines is None:
            try:
                self._lines = decode_lines(self.data)
            except _BROKEN:
                self._lines = list(self._decode_one_by_one())
        return self._lines

    def _decode_one_by_one(self) -> Iterator[Line]:
        for raw in self.data.splitlines():
            try:
                yield decode_loosely(raw)
            except _BROKEN as error:
                self.rejected.append((raw, str(error)))

    def records(self) -> list[Record]:
        """The frozen records, wide lines unfolded into their metrics."""
        if self._records is None:
            made: list[Record] = []
            for line in self.lines():
                try:
                    made.extend(records_of(line, self.origin))
                except _BROKEN as error:
                    self.rejected.append((msgspec.json.encode(line), str(error)))
            self._records = made
        return self._records

    def marks(self) -> list[RunMark]:
        """What happened to the run itself within the batch: it started, was tagged, ended, and so on."""
        made: list[RunMark] = []
        for line in self.lines():
            if line.kind == "run" and line.label:
                content = msgspec.json.decode(line.body) if line.body else {}
                made.append(RunMark(line.label, line.time, content if isinstance(content, dict) else {}))
        return made

    def after(self, sequence: int) -> "RecordBatch":
        """The part of the batch from ``sequence`` on; itself when that is all of it."""
        if sequence <= self.first:
            return self
        kept = [raw for raw in self.data.splitlines(keepends=True) if (sequence_of(raw) or 0) >= sequence]
        return RecordBatch(self.origin, sequence, max(sequence, self.stop), b"".join(kept), self.dropped)
