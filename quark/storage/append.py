"""Stores a batch in one transaction: lifecycle lines change the run, metrics become points, all else becomes rows."""

import sqlite3
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ..core.batch import RecordBatch
from ..errors import SessionStoreError
from ..records.base import Origin
from ..records.line import WIDE, Line, encode
from .lifecycle import apply, insert_placeholder
from .points import Extras, extras_of, pack_fragment, pack_points

FRAGMENT_POINTS = 16_384
"""Points of one row at most: reading and packing stay in steps of a few milliseconds."""

RUN = "run"
_METRIC_KINDS = frozenset(("metric", WIDE))
_LIMIT = 2**63

KNOWN_RUNS = 256
"""Runs whose keys a store remembers; past it those that have nothing left to pack are asked for again."""

_BROKEN = (
    ValueError, KeyError, TypeError, OverflowError, msgspec.MsgspecError, sqlite3.IntegrityError,
    sqlite3.InterfaceError, sqlite3.ProgrammingError,
)  # fmt: skip
"""What applying a line raises if it is the line's fault and not the database's."""

Rejected = list[tuple[bytes, str]]


@dataclass(slots=True)
class OpenRun:
    """What this process knows of a run that it appends to; dropped after a fault, since it may have been undone."""

    pk: int
    series: dict[str, int] = field(default_factory=dict)
    points: int = 0
    rows: int = 0
    ended: bool = False


class Appender:
    """The writing half of a store. Its methods run inside a transaction that the caller opens."""

    def __init__(self) -> None:
        self.runs: dict[str, OpenRun] = {}

    def append(self, connection: sqlite3.Connection, batch: RecordBatch) -> tuple[int, Rejected]:
        """Store what is new of the batch; returns the writer's new mark, and the lines that cannot be stored.

        Raises:
            SessionStoreError: code ``sequence_gap``, records before the batch are missing.
        """
        origin = batch.origin
        try:
            run = self._run(connection, batch)
            writer_pk, mark = _writer(connection, run.pk, origin)
            if batch.first > mark:
                raise SessionStoreError(
                    f"the store holds the records of writer {origin.writer_id} of run {origin.run_id} below {mark}, "
                    f"and the batch begins at {batch.first}; send the records from {mark} on",
                    code="sequence_gap",
                )
            if batch.stop <= mark:
                return mark, []
            rejected: Rejected = []
            lines = batch.lines()
            if mark > batch.first:
                lines = [line for line in lines if line.sequence >= mark]
            self._store(connection, run, writer_pk, batch, mark, lines, rejected)
            connection.execute(
                "UPDATE writers SET next = ?, dropped = dropped + ? WHERE pk = ?",
                (batch.stop, batch.dropped, writer_pk),
            )
            return batch.stop, rejected
        except BaseException:
            self.forget(origin.run_id)
            raise

    def forget(self, run_id: str) -> None:
        """Ask the database again about a run: what was known of it may have been rolled back."""
        self.runs.pop(run_id, None)

    def _run(self, connection: sqlite3.Connection, batch: RecordBatch) -> OpenRun:
        run_id = batch.origin.run_id
        run = self.runs.get(run_id)
        if run is None:
            found = connection.execute("SELECT pk FROM runs WHERE id = ?", (run_id,)).fetchone()
            lines = batch.lines() if found is None else []
            pk = (
                found[0]
                if found
                else insert_placeholder(connection, batch.origin, lines[0].time if lines else time.time_ns())
            )
            points, rows = connection.execute(
                "SELECT coalesce(sum(count), 0), count(*) FROM fragments WHERE run_pk = ?", (pk,)
            ).fetchone()
            if len(self.runs) >= KNOWN_RUNS:
                self.runs = {known: other for known, other in self.runs.items() if other.rows}
            run = self.runs[run_id] = OpenRun(pk, SeriesNumbers(connection, pk), points, rows)
        return run

    def _store(
        self, connection: sqlite3.Connection, run: OpenRun, writer_pk: int, batch: RecordBatch, first: int,
        lines: list[Line], rejected: Rejected,
    ) -> None:  # fmt: skip
        metrics = [line for line in lines if line.kind in _METRIC_KINDS]
        if metrics:
            points, kept = _points(metrics, run.series, first, batch.stop, rejected)
            extras = extras_of(kept, run.series.__getitem__)
            run.points += len(points)
            run.rows += _insert_fragments(connection, run.pk, writer_pk, points, extras)
        if len(metrics) == len(lines):
            return
        rows = []
        for line in lines:
            if line.kind in _METRIC_KINDS:
                continue
            row = _row(run.pk, writer_pk, line, first, batch.stop, rejected)
            if row is None:
                continue
            rows.append(row)
            if line.kind == RUN:
                _insert_rows(connection, rows)  # before it is applied: a discard takes only what came earlier
                rows = []
                _apply(connection, run, batch.origin, line, rejected)
        _insert_rows(connection, rows)


class SeriesNumbers(dict[str, int]):
    """The row numbers of a run's series by key; a key that is new gets its row when it is first asked for."""

    __slots__ = ("_connection", "_run_pk")

    def __init__(self, connection: sqlite3.Connection, run_pk: int) -> None:
        super().__init__()
        self._connection = connection
        self._run_pk = run_pk

    def __missing__(self, key: str) -> int:
        if not isinstance(key, str):
            raise TypeError("a metric line must have a key")
        arguments = (self._run_pk, key)
        found = self._connection.execute(
            "INSERT INTO series (run_pk, key, count) VALUES (?, ?, 0) ON CONFLICT DO NOTHING RETURNING pk", arguments
        ).fetchone()
        if found is None:
            query = "SELECT pk FROM series WHERE run_pk = ? AND key = ?"
            found = self._connection.execute(query, arguments).fetchone()
        self[key] = found[0]
        return found[0]


def _writer(connection: sqlite3.Connection, run_pk: int, origin: Origin) -> tuple[int, int]:
    found = connection.execute(
        "SELECT pk, next FROM writers WHERE run_pk = ? AND id = ?", (run_pk, origin.writer_id)
    ).fetchone()
    if found is not None:
        return found
    return connection.execute(
        "INSERT INTO writers (run_pk, id, rank, attempt, next, dropped) VALUES (?, ?, ?, ?, 0, 0) RETURNING pk, 0",
        (run_pk, origin.writer_id, origin.rank, origin.attempt),
    ).fetchone()


def _points(
    lines: list[Line], series: dict[str, int], first: int, stop: int, rejected: Rejected
) -> tuple[np.ndarray, list[Line]]:
    """The points of the lines that can be stored, and those lines."""
    try:
        points = pack_points(lines, series.__getitem__)
        numbers = points["sequence"]
        if not len(points) or (
            numbers[0] >= first
            and numbers[-1] < stop
            and (numbers[1:] >= numbers[:-1]).all()
            and points["step"].min() >= -1
            and points["epoch"].min() >= -1
        ):
            return points, lines
    except (struct.error, TypeError, AttributeError, OverflowError):
        pass  # one of them is at fault: find it
    kept = [line for line in lines if _may_stay(line, first, stop, series, rejected)]
    kept.sort(key=lambda line: line.sequence)
    return pack_points(kept, series.__getitem__), kept


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
    return None


def _insert_fragments(
    connection: sqlite3.Connection, run_pk: int, writer_pk: int, points: np.ndarray, extras: Extras
) -> int:
    """Store points; returns the number of rows."""
    rows = 0
    for start in range(0, len(points), FRAGMENT_POINTS):
        piece = points[start : start + FRAGMENT_POINTS]
        first, last = int(piece["sequence"][0]), int(piece["sequence"][-1])
        here = [extra for extra in extras if first <= extra[1] <= last] if extras else []
        connection.execute(
            "INSERT INTO fragments (run_pk, writer_pk, first_sequence, last_sequence, count, points, extras)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run_pk, writer_pk, first, last, len(piece), pack_fragment(piece), encode(here).decode() if here else None),
        )
        rows += 1
    return rows


def _row(
    run_pk: int, writer_pk: int, line: Line, first: int, stop: int, rejected: Rejected
) -> tuple[object, ...] | None:
    reason = _fault(line, first, stop)
    if reason is None:
        try:
            body = bytes(line.body).decode() or "{}"
            return run_pk, writer_pk, line.sequence, line.kind, line.time, line.step, line.epoch, line.label, body
        except UnicodeDecodeError as error:
            reason = str(error)
    rejected.append((encode(line), reason))
    return None


def _insert_rows(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT INTO records (run_pk, writer_pk, sequence, kind, time_ns, step, epoch, label, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def _apply(connection: sqlite3.Connection, run: OpenRun, origin: Origin, line: Line, rejected: Rejected) -> None:
    connection.execute("SAVEPOINT line")
    try:
        apply(connection, run.pk, origin, line)
        connection.execute("RELEASE line")
    except _BROKEN as error:
        connection.execute("ROLLBACK TO line")
        connection.execute("RELEASE line")
        rejected.append((encode(line), f"{type(error).__name__}: {error}"))
        return
    run.ended = {"end": True, "resume": False, "start": False}.get(line.label or "", run.ended)
