"""Stores a batch in one transaction: lifecycle lines change the run, metrics become points, all else becomes rows."""

import struct
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from ..core.batch import RecordBatch
from ..errors import SchemaValidationError, SessionStoreError
from ..records.base import Origin
from ..records.identifiers import check_id
from ..records.limits import MAX_LABEL
from ..records.line import WIDE, Line, encode, sequence_of
from .belonging import Reach, admit
from .database import Connection
from .extremes import note_points
from .ids import public_id
from .incoming import FEW, PLAIN, Extras, are_sound, count_of, ends_of, extras_of, pack_points
from .keys import SeriesNumbers
from .lifecycle import apply, check_small, insert_placeholder, merge_config

if TYPE_CHECKING:
    from ..records.metric_columns import MetricColumns

PASS_POINTS = 262_144
"""Points that one pass packs, and that a run may leave unpacked: a reader looks through all of them, about 12 MB."""

OPEN_ROWS = 1024
"""Appends of a run after which its points are packed, however few they are."""

RUN = "run"
_METRIC_KINDS = frozenset(("metric", WIDE))
_LIMIT = 2**63

KNOWN_RUNS = 256
"""Runs whose keys a store remembers; past it those that have nothing left to pack are asked for again."""

_BROKEN = (ValueError, KeyError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What applying a line raises if it is the line's fault, beside the driver's complaints."""

Rejected = list[tuple[bytes, str]]


class RefusedLineError(SchemaValidationError):
    """A line cannot be stored, so nothing of its batch is; ``line`` is the line, ``sequence`` its number."""

    def __init__(self, line: bytes, reason: str) -> None:
        super().__init__(f"the line cannot be stored: {reason}; mend it or leave it out")
        self.line = line
        self.sequence = sequence_of(line) or 0


@dataclass(slots=True)
class OpenRun:
    """What this process knows of a run that it appends to: only what is committed, so every thread may rely on it."""

    pk: int
    series: dict[str, int] = field(default_factory=dict)
    points: int = 0
    rows: int = 0
    ended: bool = False

    @property
    def waits(self) -> bool:
        """Whether it has points that will be packed; those of a run that ended with a few stay as they are."""
        return self.rows > 0 and (self.points >= FEW or not self.ended)

    @property
    def is_due(self) -> bool:
        """Whether it is worth packing now."""
        return self.points >= PASS_POINTS or self.rows >= OPEN_ROWS or (self.ended and self.waits)


@dataclass(slots=True)
class Appended:
    """What a transaction did; it becomes known to others by ``Appender.remember``, after the commit."""

    run_id: str
    mark: int
    run_pk: int
    series: SeriesNumbers
    rejected: Rejected = field(default_factory=list)
    points: int = 0
    rows: int = 0
    ended: bool | None = None
    found: tuple[int, int] | None = None


class Appender:
    """The writing half of a store. ``append`` runs inside a transaction that the caller opens, in any thread."""

    def __init__(self) -> None:
        self.runs: dict[str, OpenRun] = {}
        self._lock = threading.Lock()

    def append(
        self, connection: Connection, batch: RecordBatch, *, strict: bool = False, reach: Reach | None = None
    ) -> Appended:
        """Store what is new of the batch.

        Raises:
            SessionStoreError: code ``sequence_gap``, records before the batch are missing; ``forbidden``, they belong
                to no run within ``reach``.
            RefusedLineError: ``strict``, and a line cannot be stored.
            SchemaValidationError: the id of the run or of the writer breaks the grammar of ids, or its rank or attempt
                is too large.
        """
        origin = batch.origin
        check_id(origin.run_id)
        check_id(origin.writer_id, "writer_id")
        check_small(origin.rank, "rank")
        check_small(origin.attempt, "attempt")
        row_id, run_pk = origin.run_id, None
        if reach is not None:
            row = admit(connection, batch, reach)
            row_id, run_pk = row.id, row.pk
        else:
            run_pk = connection.lock_run(row_id) or self._new_run(connection, batch)
        known = self.runs.get(row_id)
        if known is not None and known.pk != run_pk:
            known = None  # it was deleted and came again
        work = Appended(row_id, 0, run_pk, SeriesNumbers(connection, run_pk, known.series if known else {}))
        if known is None:
            work.found = _unpacked(connection, run_pk)
        # A statement of its own behind the lock: one that also waits for the lock would see the mark of before.
        writer_pk, mark = _writer(connection, run_pk, origin)
        if batch.first > mark:
            raise SessionStoreError(
                f"the records of this writer below {mark} are stored, and the batch begins at {batch.first}; "
                f"send the records from {mark} on",
                code="sequence_gap",
            )
        work.mark = max(mark, batch.stop)
        if batch.stop > mark:
            lines = batch.lines()
            if mark > batch.first:
                lines = [line for line in lines if line.sequence >= mark]
            _store(connection, work, writer_pk, batch, mark, lines, strict=strict)
            if strict and work.rejected:
                raise min((RefusedLineError(*refused) for refused in work.rejected), key=lambda error: error.sequence)
            connection.execute(
                "UPDATE writers SET next = ?, dropped = dropped + ?, changed_at = ? WHERE pk = ?",
                (batch.stop, batch.dropped, time.time_ns(), writer_pk),
            )
        return work

    def remember(self, work: Appended) -> None:
        """Know what a transaction did, now that it is committed."""
        with self._lock:
            run = self.runs.get(work.run_id)
            if run is None or run.pk != work.run_pk:
                if len(self.runs) >= KNOWN_RUNS:
                    self.runs = {known: other for known, other in self.runs.items() if other.waits}
                run = self.runs[work.run_id] = OpenRun(work.run_pk)
                run.points, run.rows = work.found or (0, 0)
            run.series.update(work.series.new)
            run.points += work.points
            run.rows += work.rows
            if work.ended is not None:
                run.ended = work.ended

    def packed(self, run_id: str, points: int, rows: int) -> OpenRun | None:
        """Know that so many points and rows of a run were packed, and that none are left if it says none were."""
        with self._lock:
            run = self.runs.get(run_id)
            if run is not None:
                run.points, run.rows = (max(run.points - points, 0), max(run.rows - rows, 0)) if rows else (0, 0)
            return run

    def forget(self, run_id: str) -> None:
        """Ask the database again about the runs with an id."""
        with self._lock:
            self.runs = {known: run for known, run in self.runs.items() if public_id(known) != run_id}

    def _new_run(self, connection: Connection, batch: RecordBatch) -> int:
        insert_placeholder(connection, batch.origin.run_id, batch)
        run_pk = connection.lock_run(batch.origin.run_id)  # perhaps the one that another process has just made
        if run_pk is None:
            raise SessionStoreError(
                f"the run {batch.origin.run_id} was deleted while its records came; send them again", code="busy"
            )
        return run_pk


def _store(
    connection: Connection, work: Appended, writer_pk: int, batch: RecordBatch, first: int, lines: list[Line], *,
    strict: bool,
) -> None:  # fmt: skip
    rejected = work.rejected
    columns = batch._columns if len(lines) == len(batch.lines()) else None
    metrics = lines if columns is not None else [line for line in lines if line.kind in _METRIC_KINDS]
    if columns is None and FEW <= len(metrics) == len(lines):
        columns = _columns_of(metrics)
    if metrics:
        work.series.expect(metrics)
        points, kept = _points(metrics, columns, work.series, first, batch.stop, rejected)
        extras = extras_of(kept, work.series.__getitem__) if columns is None else []
        work.points += count_of(points)
        work.rows += _insert_fragments(connection, work.run_pk, writer_pk, points, extras)
        note_points(connection, points)
    if len(metrics) == len(lines):
        return
    rows = []
    updates = []
    for line in lines:
        if line.kind in _METRIC_KINDS:
            continue
        row = _row(work.run_pk, writer_pk, line, first, batch.stop, rejected)
        if row is None:
            continue
        rows.append(row)
        if line.kind == RUN:
            _insert_rows(connection, rows)  # before it is applied: a discard takes only what came earlier
            rows = []
            _apply(connection, work, batch.origin, line)
            if strict and rejected:
                return
            if line.label == "config":
                updates.append(line)
    _insert_rows(connection, rows)
    if updates:
        _merge(connection, work, updates)


def _merge(connection: Connection, work: Appended, updates: list[Line]) -> None:
    """Bring the configuration of the run up to date, once for all updates of a batch."""
    try:
        merge_config(connection, work.run_pk, min(line.time for line in updates))
    except (SchemaValidationError, RecursionError) as error:
        refused = {encode(line) for line in updates}.difference(line for line, _ in work.rejected)
        work.rejected += [(line, str(error)) for line in sorted(refused, key=lambda line: sequence_of(line) or 0)]


def _unpacked(connection: Connection, run_pk: int) -> tuple[int, int]:
    """Points and rows of a run that are not packed into chunks."""
    query = "SELECT coalesce(sum(count), 0), count(*) FROM fragments WHERE run_pk = ?"
    points, rows = connection.execute(query, (run_pk,)).fetchone()
    return int(points), rows


def _writer(connection: Connection, run_pk: int, origin: Origin) -> tuple[int, int]:
    found = connection.execute(
        "SELECT pk, next FROM writers WHERE run_pk = ? AND id = ?", (run_pk, origin.writer_id)
    ).fetchone()
    if found is not None:
        return found
    return connection.execute(
        "INSERT INTO writers (run_pk, id, rank, attempt, next, dropped) VALUES (?, ?, ?, ?, 0, 0) RETURNING pk, 0",
        (run_pk, origin.writer_id, origin.rank, origin.attempt),
    ).fetchone()


def _columns_of(lines: list[Line]) -> "MetricColumns | None":
    from ..records.metric_columns import metric_columns

    return metric_columns(lines)


def _points(
    lines: list[Line], columns: "MetricColumns | None", series: dict[str, int], first: int, stop: int,
    rejected: Rejected,
) -> tuple[bytes, list[Line]]:  # fmt: skip
    """The points of the lines that can be stored, packed, and those lines."""
    try:
        points = _packed(lines, columns, series)
        if are_sound(lines, first, stop) if count_of(points) < FEW else _are_sound(points, first, stop):
            return points, lines
    except (struct.error, TypeError, AttributeError, OverflowError):
        pass  # one of them is at fault: find it
    kept = [line for line in lines if _may_stay(line, first, stop, series, rejected)]
    kept.sort(key=lambda line: line.sequence)
    return pack_points(kept, series.__getitem__), kept


def _packed(lines: list[Line], columns: "MetricColumns | None", series: dict[str, int]) -> bytes:
    if columns is None:
        return pack_points(lines, series.__getitem__)
    from .points import pack_columns

    return pack_columns(columns, series.__getitem__)


def _are_sound(points: bytes, first: int, stop: int) -> bool:
    from .points import are_sound

    return are_sound(points, first, stop)


def _may_stay(line: Line, first: int, stop: int, series: dict[str, int], rejected: Rejected) -> bool:
    reason = _fault(line, first, stop)
    if reason is None:
        try:
            pack_points((line,), lambda key: series[key])
        except (struct.error, TypeError, AttributeError, OverflowError) as error:
            reason = str(error)
    if reason is not None:
        rejected.append((encode(line), reason))
    return reason is None


def _fault(line: Line, first: int, stop: int) -> str | None:
    """Why a line's envelope cannot be stored; None if it can."""
    if not first <= line.sequence < stop:
        return f"its sequence {line.sequence} lies outside its batch, [{first}, {stop})"
    if not -_LIMIT <= line.time < _LIMIT:
        return f"its time {line.time} is out of range"
    for name, number in (("step", line.step), ("epoch", line.epoch)):
        if number is not None and not 0 <= number < _LIMIT:
            return f"its {name} {number} is out of range"
    for name, text in (("kind", line.kind), ("label", line.label)):
        if text is not None and len(text) > MAX_LABEL:
            return f"its {name} has {len(text)} characters, at most {MAX_LABEL} are allowed"
    return None


def _insert_fragments(connection: Connection, run_pk: int, writer_pk: int, points: bytes, extras: Extras) -> int:
    """Store packed points; returns the number of rows."""
    rows = []
    for first, last, count, data in _fragments(points):
        here = [extra for extra in extras if first <= extra[1] <= last] if extras else []
        text = encode(here).decode() if here else None
        rows.append((run_pk, writer_pk, first, last, count, data, text))
    if rows:
        columns = "run_pk, writer_pk, first_sequence, last_sequence, count, points, extras"
        connection.insert("fragments", columns, rows)
    return len(rows)


def _fragments(points: bytes) -> Iterable[tuple[int, int, int, bytes]]:
    """First and last sequence number, count and data of each row that packed points become."""
    count = count_of(points)
    if count >= FEW:
        from .points import fragments_of

        return fragments_of(points)
    return [(*ends_of(points), count, PLAIN + points)] if count else []


def _row(
    run_pk: int, writer_pk: int, line: Line, first: int, stop: int, rejected: Rejected
) -> tuple[object, ...] | None:
    reason = _fault(line, first, stop)
    if reason is None:
        try:
            body = bytes(line.body)
            if b"\\u" in body:
                body = encode(msgspec.json.decode(body))  # refuses half of a pair, which no database could search
            text = body.decode() or "{}"
            return run_pk, writer_pk, line.sequence, line.kind, line.time, line.step, line.epoch, line.label, text
        except (UnicodeDecodeError, msgspec.DecodeError, OverflowError, RecursionError) as error:
            reason = str(error)
    rejected.append((encode(line), reason))
    return None


def _insert_rows(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        columns = "run_pk, writer_pk, sequence, kind, time_ns, step, epoch, label, body"
        connection.insert("records", columns, rows)


def _apply(connection: Connection, work: Appended, origin: Origin, line: Line) -> None:
    connection.execute("SAVEPOINT line")
    try:
        apply(connection, work.run_pk, origin, line)
        connection.execute("RELEASE line")
    except (*_BROKEN, *connection.line_faults) as error:
        connection.execute("ROLLBACK TO line")
        connection.execute("RELEASE line")
        work.rejected.append((encode(line), f"{type(error).__name__}: {error}"))
        return
    work.ended = {"end": True, "exit": True, "resume": False, "start": False}.get(line.label or "", work.ended)
