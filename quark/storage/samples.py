"""Reads metrics as records, writer by writer in the order of their numbers, a window of numbers at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from ..core.reader import RecordFilter
from ..errors import SchemaValidationError
from ..records.base import Origin
from ..records.line import metric_record
from ..records.metric import MetricRecord
from .budget import PageBudget, bytes_of
from .chunk import Extra, columns_of
from .columns import unpack_integers
from .points import POINT, unpack_fragments
from .schema import chunk_data, chunks, fragments, series, writers

WINDOWS = (1024, 65_536)
"""Sequence numbers that are looked through at once, growing from the first to the second."""

FIELDS = ("metric_key", "namespace", "metric_name", "writer_id", "rank", "attempt")
"""What ``where`` takes for metrics."""

_SERIES_BITS = 40
_SEQUENCE_BITS = 63
_LAST_SEQUENCE = (1 << _SEQUENCE_BITS) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which point a reader stands: its writer, its sequence number and its series."""

    writer: int
    sequence: int
    series: int

    def cursor(self) -> int:
        """The place as one number, in the order of places; it may need more than 64 bits."""
        return ((self.writer << _SEQUENCE_BITS) | self.sequence) << _SERIES_BITS | self.series

    @staticmethod
    def of(cursor: int) -> "Place":
        """The place that a cursor means."""
        head, number = divmod(cursor, 1 << _SERIES_BITS)
        return Place(*divmod(head, 1 << _SEQUENCE_BITS), number)


class SampleReader:
    """One reading of a run's metrics with a filter; it holds no connection between two windows.

    Raises:
        SchemaValidationError: the filter names a field that metrics cannot be filtered by.
    """

    def __init__(self, run_id: str, run_pk: int, wanted: RecordFilter, budget: PageBudget | None = None) -> None:
        for name in wanted.where:
            if name not in FIELDS:
                raise SchemaValidationError(f"metrics cannot be filtered by {name!r}; use one of {', '.join(FIELDS)}")
        if wanted.sort != "arrival":
            raise SchemaValidationError(
                f"metrics are read in the order of arrival, not by sort={wanted.sort!r}; sort the arrays of series(key)"
            )
        self._run_id = run_id
        self._run_pk = run_pk
        self._wanted = wanted
        self._budget = budget
        start = Place.of(wanted.after) if wanted.after is not None else Place(0, -1, 0)
        self._after = start
        self._window = WINDOWS[0]

    def next_window(self, connection: sa.Connection) -> list[tuple[Place, MetricRecord]] | None:
        """The next window that holds points, of which the filter may let none through; None at the end."""
        keys = self._keys(connection)
        for origin, writer in self._writers(connection):
            first = self._after.sequence if writer == self._after.writer else -1
            start = self._first_stored(connection, writer, max(first, 0))
            if start is None or start >= _LAST_SEQUENCE:
                continue
            while self._window > 1 and self._is_too_much(connection, writer, start, start + self._window):
                self._window //= 2
            stop = min(start + self._window, _LAST_SEQUENCE)
            self._window = min(self._window * 2, WINDOWS[1])
            points, extras, beyond = self._stored(connection, writer, start, stop, keys)
            if writer == self._after.writer:
                points = points[
                    (points["sequence"] > first)
                    | ((points["sequence"] == first) & (points["series"] > self._after.series))
                ]
            if beyond is not None and not len(points):  # numbers that are far apart have few windows between them
                stop = self._next_stored(connection, writer, stop, beyond)
            self._after = Place(writer, stop - 1, (1 << _SERIES_BITS) - 1)
            return list(_records(points, keys, extras, origin, writer))
        return None

    def _is_too_much(self, connection: sa.Connection, writer: int, start: int, stop: int) -> bool:
        """Whether descriptions and metadata within a window pass the budget."""
        if self._budget is None:
            return False
        query = sa.select(sa.func.sum(bytes_of(connection, fragments.c.extras)))
        return (connection.execute(query.where(*self._within(writer, start, stop))).scalar() or 0) > self._budget.size

    def _within(self, writer: int, start: int, stop: int) -> tuple[Any, ...]:
        """The fragments of a writer with numbers in [start, stop)."""
        return (
            fragments.c.run_pk == self._run_pk, fragments.c.writer_pk == writer, fragments.c.first_sequence < stop,
            fragments.c.last_sequence >= start,
        )  # fmt: skip

    def _writers(self, connection: sa.Connection) -> Iterator[tuple[Origin, int]]:
        query = sa.select(writers).where(writers.c.run_pk == self._run_pk, writers.c.pk >= self._after.writer)
        for row in connection.execute(query.order_by(writers.c.pk)).all():
            wanted = self._wanted.where
            if all(
                _admits(wanted, name, value)
                for name, value in (("writer_id", row.id), ("rank", row.rank), ("attempt", row.attempt))
            ):
                yield Origin(self._run_id, row.id, row.rank, row.attempt), row.pk

    def _keys(self, connection: sa.Connection) -> dict[int, str]:
        """The keys that the filter lets through, by row number; compared here, so no character has a meaning."""
        made = {}
        query = sa.select(series.c.pk, series.c.key).where(series.c.run_pk == self._run_pk)
        for pk, key in connection.execute(query):
            namespace, _, name = key.rpartition("/")
            names = (("metric_key", key), ("namespace", namespace or None), ("metric_name", name))
            if all(_admits(self._wanted.where, field, value) for field, value in names):
                made[pk] = key
        return made

    def _first_stored(self, connection: sa.Connection, writer: int, first: int) -> int | None:
        """The first number from ``first`` on that may have points; None if there is none."""
        lowest = self._lowest(connection, writer, lambda table: table.c.last_sequence >= first)
        return None if lowest is None else max(lowest, first)

    def _next_stored(self, connection: sa.Connection, writer: int, stop: int, beyond: int) -> int:
        """The first number from ``stop`` on that has a point: ``beyond``, unless what begins later has one before."""
        lowest = self._lowest(connection, writer, lambda table: table.c.first_sequence >= stop)
        return min(beyond, _LAST_SEQUENCE if lowest is None else lowest, _LAST_SEQUENCE)

    def _lowest(self, connection: sa.Connection, writer: int, wanted: Callable[[sa.Table], Any]) -> int | None:
        """Where the first of those of a writer's chunks and of the run's fragments begins that are wanted."""
        found = [
            connection.execute(
                sa.select(sa.func.min(table.c.first_sequence)).where(table.c.writer_pk == writer, wanted(table), *more)
            ).scalar()
            for table, more in ((chunks, ()), (fragments, (fragments.c.run_pk == self._run_pk,)))
        ]
        return min((number for number in found if number is not None), default=None)

    def _stored(
        self, connection: sa.Connection, writer: int, start: int, stop: int, keys: dict[int, str]
    ) -> tuple[np.ndarray, dict[tuple[int, int], Extra], int | None]:
        """The points of a writer with numbers in [start, stop) that the filter lets through, in order.

        And, of what goes on behind the window, the first number that is there; None if nothing does.
        """
        parts, extras = [], {}
        behind: list[int] = []
        take = self._budget.take if self._budget is not None else None
        for number, count, last, row in _chunks_of(connection, writer, start, stop):
            if number in keys:
                if take is not None and row[-1] is not None:
                    take(row[-1])
                columns = columns_of(count, row)
                behind += _behind(columns.sequences, last, stop)
                parts.append(_as_points(number, columns))
                extras.update({(number, sequence): extra for sequence, extra in columns.extras.items()})
            elif last >= stop:
                behind += _behind(unpack_integers(row[4], count), last, stop)
        query = sa.select(fragments.c.points, fragments.c.extras, fragments.c.last_sequence).where(
            *self._within(writer, start, stop)
        )
        for blob, text, last in connection.execute(query):
            parts.append(unpack_fragments([blob]))
            behind += _behind(parts[-1]["sequence"], last, stop)
            if text is not None:
                if take is not None:
                    take(text)
                extras.update({(row[0], row[1]): (row[2], row[3]) for row in msgspec.json.decode(text)})
        points = np.concatenate(parts) if parts else np.empty(0, POINT)
        points = points[self._admitted(points, keys) & (points["sequence"] >= start) & (points["sequence"] < stop)]
        return points[np.lexsort((points["series"], points["sequence"]))], extras, min(behind, default=None)

    def _admitted(self, points: np.ndarray, keys: dict[int, str]) -> np.ndarray:
        wanted = self._wanted
        keep = np.isin(points["series"], np.fromiter(keys, np.int64, len(keys)))
        for name, exact, low, high in (
            ("step", wanted.step, wanted.step_min, wanted.step_max),
            ("epoch", wanted.epoch, wanted.epoch_min, wanted.epoch_max),
        ):
            if exact is not None:
                keep &= np.isin(points[name], np.atleast_1d(np.array(exact, np.int64)))
            if low is not None or high is not None:
                keep &= points[name] >= (low or 0)
            if high is not None:
                keep &= points[name] <= high
        first, last = wanted.times_ns
        if first is not None:
            keep &= points["time"] >= first
        if last is not None:
            keep &= points["time"] <= last
        return keep


def _admits(where: Any, name: str, value: Any) -> bool:
    if name not in where:
        return True
    wanted = where[name]
    values = wanted if isinstance(wanted, (tuple, list, set, frozenset)) else (wanted,)
    return any(value == one and not isinstance(one, bool) for one in values)


def _chunks_of(
    connection: sa.Connection, writer: int, start: int, stop: int
) -> Iterator[tuple[int, int, int, tuple[Any, ...]]]:
    """Series, number of points, last sequence number and data of a writer's chunks with points in [start, stop)."""
    query = (
        sa.select(
            chunks.c.series_pk, chunks.c.count, chunks.c.last_sequence, chunk_data.c.value_data, chunk_data.c.step_data,
            chunk_data.c.epoch_data, chunk_data.c.time_data, chunk_data.c.sequence_data, chunk_data.c.extras,
        )
        .join_from(chunks, chunk_data, chunk_data.c.chunk_pk == chunks.c.pk, isouter=True)
        .where(chunks.c.writer_pk == writer, chunks.c.last_sequence >= start, chunks.c.first_sequence < stop)
    )  # fmt: skip
    for row in connection.execute(query):
        number, count, last, *data = tuple(row)
        yield number, count, last, tuple(data)


def _behind(sequences: np.ndarray, last: int, stop: int) -> list[int]:
    """The first of the numbers that is not below ``stop``, if there is one.

    Raises:
        ValueError: the last number is another than was announced, and the reader would look for it without end.
    """
    if not len(sequences) or int(sequences[-1]) != last:
        shown = sequences[-1] if len(sequences) else "none"
        raise ValueError(f"the last of the points has the number {shown}, and {last} was announced")
    return [int(sequences[sequences >= stop].min())] if last >= stop else []


def _as_points(number: int, columns: Any) -> np.ndarray:
    made = np.empty(len(columns), POINT)
    made["series"] = number
    for name, array in (
        ("sequence", columns.sequences), ("time", columns.times), ("step", columns.steps), ("epoch", columns.epochs),
        ("value", columns.values),
    ):  # fmt: skip
        made[name] = array
    return made


def _records(
    points: np.ndarray, keys: dict[int, str], extras: dict[tuple[int, int], Extra], origin: Origin, writer: int
) -> Iterator[tuple[Place, MetricRecord]]:
    for number, sequence, time, step, epoch, value in points.tolist():
        record = metric_record(
            origin, sequence, time, keys[number], value, None if step < 0 else step, None if epoch < 0 else epoch
        )
        extra = extras.get((number, sequence))
        if extra is not None:
            for name, given in (("description", extra[0]), ("metadata", extra[1])):
                if given is not None:
                    object.__setattr__(record, name, given)
        yield Place(writer, sequence, number), record
