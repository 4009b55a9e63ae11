"""A run in memory: what a producer or an analyzer writes to and reads from, with no file and no thread."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from ..core.reader import Chart, Page, RecordFilter, Series
from ..errors import RunNotFoundError, SchemaValidationError
from ..records.base import Origin, Record, parse_timestamp
from ..records.foreign import must_propagate
from ..records.grammar import check_key, to_float
from ..records.line import WIDE, Line, body_of, build, decode_line, encode, records_of
from ..records.metric import MetricRecord
from ..records.naming import RecordedNames
from ..records.run import RunRecord
from ..redaction import redact_fields
from .batches import START_NS

R = TypeVar("R", bound=Record)


class MemoryJournal:
    """The lines of one writer in a list; line ``n`` has the number ``n``."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.next = 0
        self.written: list[bytes] = []
        self.dropped = 0

    def put(self, number: int, line: bytes) -> bool:
        """Store a line under ``number``; False if the number is taken by now."""
        if number != self.next:
            return False
        self.next = number + 1
        self.written.append(line)
        return True

    def lines(self) -> list[Line]:
        """All lines, decoded."""
        return [decode_line(line) for line in self.written]


class MemoryRunHandle:
    """A RunHandle that keeps everything in memory and tells what it was told.

    Records take the way that they take in a session: through JSON lines, and back out of them.

    Args:
        run_id: identity of the run.
        strict: raise on bad arguments; otherwise they are kept in ``refused``.
        disabled: say that nothing is recorded, as with QUARK_DISABLE.
        rank: rank of the process that writes.
        run_path: directory of the run's files, for a test that writes any.

    Attributes:
        refused: (what, error) of every bad argument.
        reported: (cause, error) of every fault.
        deferred: (key, value, step, epoch) of every metric that is still on a device.
        attached: the producers that want to be closed with the run.
        flushes: how often ``flush`` was called.
        offers: how often ``offer`` was called.
    """

    def __init__(
        self, run_id: str = "run-1", *, strict: bool = True, disabled: bool = False, rank: int = 0, run_path: str = ""
    ) -> None:
        self.run_id = run_id
        self.run_path = run_path
        self.strict = strict
        self.disabled = disabled
        self.known_keys: set[str] = set()
        self.names = RecordedNames()
        self.journal = MemoryJournal(Origin(run_id, f"{rank}-1-memory", rank))
        self.refused: list[tuple[str, BaseException]] = []
        self.reported: list[tuple[str, BaseException | str | None]] = []
        self.deferred: list[tuple[str, Any, int | None, int | None]] = []
        self.attached: list[Any] = []
        self.flushes = 0
        self.offers = 0
        self._time = START_NS

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """Keep a record of ``cls`` and return it; without a timestamp each is a millisecond after the one before."""
        now = self._now() if timestamp is None else parse_timestamp(timestamp)
        number = self.journal.next
        given = redact_fields(fields, cls.free_text)
        given.update((k, v) for k, v in (("step", step), ("epoch", epoch)) if v is not None)
        record = build(cls, self.journal.origin, number, now, given)
        label = getattr(record, cls.label_field) if cls.label_field else None
        line = Line(cls.kind, number, now, step, epoch, label=label, body=msgspec.Raw(body_of(record)))
        self.journal.put(number, encode(line) + b"\n")
        return record

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Keep a step of the run's own life as a line of the kind ``run``."""
        number = self.journal.next
        line = Line("run", number, self._now(), label=action, body=msgspec.Raw(encode(dict(body))))
        self.journal.put(number, encode(line) + b"\n")

    def log_values(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Keep the finite ones of many metrics as one wide line; the others are refused."""
        finite: dict[str, float] = {}
        for name, value in values.items():
            number = to_float(value)
            if not math.isfinite(number):
                self.refuse(SchemaValidationError(f"metric {name!r} must be finite, got {number}"), what=name)
                continue
            finite[check_key(name)] = number
        self.known_keys.update(finite)
        number = self.journal.next
        self.journal.put(number, encode(Line(WIDE, number, self._now(), step, epoch, values=finite)) + b"\n")

    def defer(self, key: str, value: Any, step: int | None, epoch: int | None, time: int) -> None:
        """Remember a metric that is still on a device."""
        self.deferred.append((key, value, step, epoch))

    def attach(self, producer: Any) -> None:
        """Close ``producer`` with the run."""
        self.attached.append(producer)

    def close(self) -> None:
        """Close what is attached, the last one first."""
        while self.attached:
            self.attached.pop().close()

    def offer(self) -> None:
        """Count the call."""
        self.offers += 1

    def refuse(self, error: BaseException, *, what: str, subject: str | None = None) -> None:
        """Raise the error in strict mode, else keep it."""
        self.refused.append((what, error))
        if self.strict or must_propagate(error):
            raise error

    def report(self, cause: str, error: BaseException | str | None = None) -> None:
        """Keep the fault."""
        self.reported.append((cause, error))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Everything is there already."""
        self.flushes += 1
        return True

    def _now(self) -> int:
        self._time += 1_000_000
        return self._time

    def reader(self) -> "MemoryReader":
        """Reads what was written."""
        return MemoryReader(self)

    def records(self, cls: type[R]) -> list[R]:
        """All records of a class, in the order of writing."""
        return [record for record in self._all() if isinstance(record, cls)]

    def values(self, key: str) -> list[float]:
        """The values of a metric, in the order of writing."""
        return [record.value for record in self.records(MetricRecord) if record.metric_key == key]

    def _all(self) -> Iterator[Record]:
        lines = self.journal.lines()
        discarded = {
            msgspec.json.decode(line.body)["kind"]: line.sequence
            for line in lines
            if line.kind == "run" and line.label == "discard"
        }
        for line in lines:
            if line.sequence >= discarded.get(line.kind, 0):
                yield from records_of(line, self.journal.origin)


class MemoryReader:
    """A RecordReader over one MemoryRunHandle."""

    def __init__(self, handle: MemoryRunHandle) -> None:
        self._handle = handle

    def run(self, run_id: str) -> RunRecord:
        """The run, as if it were running.

        Raises:
            RunNotFoundError: another id than the handle's.
        """
        if run_id != self._handle.run_id:
            raise RunNotFoundError(f"there is no run {run_id!r} here, only {self._handle.run_id!r}")
        moment = "2026-05-07T00:00:00Z"
        return RunRecord(
            id=run_id, project_id="project-1", project_name="digits", status="running", lineage_root_run_id=run_id,
            run_path=self._handle.run_path, strict_mode=self._handle.strict, config={}, environment={},
            started_at=moment, updated_at=moment,
        )  # fmt: skip

    def runs(self, **filters: Any) -> Page:
        """The one run, whatever the filters."""
        return Page([self.run(self._handle.run_id)], None)

    def records(self, run_id: str, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """The records of a kind, in the order of writing; ``after`` is a sequence number."""
        self.run(run_id)
        bounds = where or RecordFilter()
        found = (record for record in self._handle._all() if record.kind == kind and matches(record, bounds))
        stop = None if bounds.limit is None else bounds.offset + bounds.limit
        yield from in_order(found, bounds.sort)[bounds.offset : stop]

    def keys(self, run_id: str) -> list[str]:
        """The metric keys, sorted."""
        return sorted({record.metric_key for record in self._metrics(run_id)})

    def series(self, run_id: str, key: str, *, all_attempts: bool = False) -> Series:
        """A metric as arrays."""
        import numpy as np

        found = [record for record in self._metrics(run_id) if record.metric_key == key]

        def column(values: list[Any], kind: str) -> Any:
            return np.array(values, dtype=kind)

        return Series(
            key,
            column([-1 if record.step is None else record.step for record in found], "int64"),
            column([-1 if record.epoch is None else record.epoch for record in found], "int64"),
            column([record.value for record in found], "float64"),
            column([record.time_ns for record in found], "int64"),
            column([record.sequence for record in found], "int64"),
            column([record.origin.attempt for record in found], "int32"),
            column([record.origin.rank for record in found], "int32"),
        )

    def chart(
        self, run_id: str, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A metric in at most ``buckets`` stretches of equally many points."""
        import numpy as np

        series = self.series(run_id, key)
        low = -1 if step_min is None else step_min
        high = np.iinfo(np.int64).max if step_max is None else step_max
        kept = (series.steps >= low) & (series.steps <= high)
        count = int(kept.sum())
        parts = [part for part in np.array_split(np.arange(count), min(buckets, max(count, 1))) if len(part)]
        steps, values = series.steps[kept], series.values[kept]
        return Chart(
            key,
            np.array([steps[part[0]] for part in parts], dtype="int64"),
            np.array([steps[part[-1]] for part in parts], dtype="int64"),
            np.array([len(part) for part in parts], dtype="int64"),
            np.array([values[part].min() for part in parts]),
            np.array([values[part].max() for part in parts]),
            np.array([values[part].mean() for part in parts]),
            np.array([values[part[-1]] for part in parts]),
        )

    def _metrics(self, run_id: str) -> list[MetricRecord]:
        self.run(run_id)
        return self._handle.records(MetricRecord)


def matches(record: Record, bounds: RecordFilter) -> bool:
    """Whether a record passes a filter; a record without a step or epoch passes no bound on it."""
    if bounds.after is not None and record.sequence <= bounds.after:
        return False
    for name in ("step", "epoch"):
        value = getattr(record, name, None)
        exact, low, high = (getattr(bounds, f"{name}{end}") for end in ("", "_min", "_max"))
        if value is None:
            if (exact, low, high) != (None, None, None):
                return False
        elif (
            (exact is not None and value not in (exact if isinstance(exact, tuple) else (exact,)))
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            return False
    first, last = bounds.times_ns
    if (first is not None and record.time_ns < first) or (last is not None and record.time_ns > last):
        return False
    return all(_agrees(record, name, wanted) for name, wanted in bounds.where.items())


def in_order(records: Iterable[Record], sort: str) -> list[Record]:
    """Records in the order that a filter asks for; without a step or epoch they come before all others."""
    field = {"arrival": "sequence", "timestamp": "time_ns"}.get(sort.removeprefix("-"), sort.removeprefix("-"))

    def place(record: Record) -> tuple[int, int]:
        value = getattr(record, field, None)
        return -(2**64) if value is None else value, record.sequence

    return sorted(records, key=place, reverse=sort.startswith("-"))


def _agrees(record: Record, name: str, wanted: Any) -> bool:
    if name in record.members:
        held = getattr(record, record.members[name])
        return any(one in held for one in (wanted if isinstance(wanted, tuple) else (wanted,)))
    value = getattr(record, name)
    return value in wanted if isinstance(wanted, tuple) else value == wanted
