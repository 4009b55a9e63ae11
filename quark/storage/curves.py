"""Series on any axis: steps, epochs, times, or the values of another metric, as summaries in the order of the axis."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..errors import SchemaValidationError
from ..records.naming import metric_key
from .arrays import of_latest_attempt
from .chart import summaries
from .columns import unpack_integers, unpack_optional, unpack_values
from .marks import Marks
from .schema import chunk_data, chunks, runs, series, writers
from .spans import LARGEST, Span, Unpacked, on_epochs, ranges_of, spans_of, unpacked_by_series

STEP, EPOCH, WALL, RELATIVE = "step", "epoch", "wall", "relative"


@dataclass(frozen=True, slots=True)
class Window:
    """What of a series is drawn, and how finely.

    Attributes:
        axis: ``step``, ``epoch``, ``wall`` (seconds since 1970 UTC), ``relative`` (seconds since the start of the run),
            or another metric, whose value at the same step is meant.
        low, high: inclusive bounds on that axis; None for no bound.
        buckets: how many stretches at most.
    """

    axis: str = STEP
    low: float | None = None
    high: float | None = None
    buckets: int = 1000

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise SchemaValidationError(f"min {self.low} is above max {self.high}; swap them")

    @property
    def steps(self) -> tuple[int, int]:
        """The bounds as whole numbers."""
        low = 0 if self.low is None else int(min(max(np.ceil(self.low), 0), LARGEST))
        high = LARGEST if self.high is None else int(min(max(np.floor(self.high), -1), LARGEST))
        return low, high

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Which places lie within the bounds."""
        keep = np.isfinite(x)
        if self.low is not None:
            keep &= x >= self.low
        if self.high is not None:
            keep &= x <= self.high
        return keep


@dataclass(slots=True)
class Curve:
    """A series within a window: summaries of a few points each, in the order of the axis.

    Attributes:
        axis: the axis that it is on; a series without steps is on that of epochs.
        x: where each summary begins.
        last: where the last one ends.
        restarts: where each attempt but the first begins.
        marks, marks_x: the values that are not finite, and where they lie; NaN for one that has no place on the axis.
        marks_kept: which of them no later attempt has gone over again.
    """

    key: str
    axis: str
    x: np.ndarray
    count: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    total: np.ndarray
    last: float
    restarts: list[float]
    marks: Marks
    marks_x: np.ndarray
    marks_kept: np.ndarray


def read_curves(
    connection: sa.Connection, run_pk: int, keys: Collection[str], window: Window, marks: dict[str, Marks]
) -> dict[str, Curve]:
    """The curves of some metrics of a run; those that the run does not have are left out."""
    query = sa.select(series.c.key, series.c.pk).where(series.c.run_pk == run_pk, series.c.key.in_(keys))
    numbers = {key: pk for key, pk in connection.execute(query)}
    unpacked = unpacked_by_series(connection, run_pk, numbers.values())
    ranges = ranges_of(connection, run_pk, numbers.values(), unpacked)
    if window.axis == STEP:
        spans = spans_of(connection, numbers.values(), unpacked, *window.steps)
        return {
            key: _by_step(
                connection,
                key,
                number,
                spans[number],
                unpacked[number],
                window,
                ranges[number],
                marks.get(key, Marks()),
            )
            for key, number in numbers.items()
        }
    axis = _Axis(connection, run_pk, window)
    return {
        key: axis.curve(key, number, unpacked[number], ranges[number], marks.get(key, Marks()))
        for key, number in numbers.items()
    }


Ranges = dict[int, tuple[int, int]]
"""The first and the last step of every attempt of a run that has several."""


def _by_step(
    connection: sa.Connection, key: str, number: int, spans: list[Span], unpacked: Unpacked, window: Window,
    ranges: Ranges, marks: Marks,
) -> Curve:  # fmt: skip
    axis = EPOCH if on_epochs(connection, number, spans, unpacked) else STEP
    parts = summaries(connection, spans, *window.steps, window.buckets)
    places = np.array(marks.steps if axis == STEP else marks.epochs, np.int64)
    x = np.where(places < 0, np.nan, places.astype(np.float64))
    restarts = [float(ranges[attempt][0]) for attempt in sorted(ranges)[1:]]
    last = float(parts.step_last.max()) if len(parts) else 0.0
    return Curve(
        key, axis, parts.step_first.astype(np.float64), parts.count, parts.minimum, parts.maximum,
        parts.total, last, restarts, marks, x, _not_replaced(places, marks.attempts, ranges),
    )  # fmt: skip


def _not_replaced(places: np.ndarray, attempts: list[int], ranges: Ranges) -> np.ndarray:
    """Which marks no later attempt has gone over again."""
    keep = np.ones(len(places), bool)
    made = np.array(attempts, np.int64)
    for attempt, (low, high) in ranges.items():
        keep &= ~((made < attempt) & (places >= low) & (places <= high))
    return keep


class _Axis:
    """An axis of a run on which every point has to be placed by itself."""

    def __init__(self, connection: sa.Connection, run_pk: int, window: Window) -> None:
        self._connection = connection
        self._window = window
        self._column = {EPOCH: "epoch", WALL: "time", RELATIVE: "time"}.get(window.axis, "step")
        self._start = 0
        self._other: tuple[np.ndarray, np.ndarray] | None = None
        if window.axis == RELATIVE:
            query = sa.select(runs.c.started_at).where(runs.c.pk == run_pk)
            self._start = connection.execute(query).scalar_one()
        elif self._column == "step":
            self._other = self._metric(run_pk, metric_key(window.axis))

    def _metric(self, run_pk: int, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps, each once and in order, and values of the metric that is the axis."""
        query = sa.select(series.c.pk).where(series.c.run_pk == run_pk, series.c.key == key)
        number = self._connection.execute(query).scalar()
        if number is None:
            return np.empty(0, np.int64), np.empty(0)
        unpacked = unpacked_by_series(self._connection, run_pk, [number])[number]
        steps, _, values, _ = _points(self._connection, number, unpacked, "step")
        steps, values = steps[::-1], values[::-1]  # of several points of a step the last one counts
        steps, places = np.unique(steps, return_index=True)
        return steps, values[places]

    def curve(self, key: str, number: int, unpacked: Unpacked, ranges: Ranges, marks: Marks) -> Curve:
        """A metric on this axis; points that have no place on it are left out."""
        axis, values, attempts = _points(self._connection, number, unpacked, self._column)[1:]
        x = self._places(axis)
        begins = [_real(x[attempts == attempt]) for attempt in sorted(ranges)[1:]]
        restarts = [float(found.min()) for found in begins if len(found)]
        keep = self._window.holds(x)
        x, values = x[keep], values[keep]
        if len(x) and not (x[1:] >= x[:-1]).all():
            order = np.argsort(x, kind="stable")
            x, values = x[order], values[order]
        held = {"epoch": marks.epochs, "time": marks.times, "step": marks.steps}[self._column]
        return Curve(
            key, self._window.axis, x, np.ones(len(x), np.int64), values, values, values,
            float(x[-1]) if len(x) else 0.0, restarts, marks, self._places(np.array(held, np.int64)),
            _not_replaced(np.array(marks.steps, np.int64), marks.attempts, ranges),
        )  # fmt: skip

    def _places(self, column: np.ndarray) -> np.ndarray:
        """Where points lie on the axis; NaN for those that have no place there."""
        if self._column == "time":
            return (column - self._start) / 1e9
        if self._other is None:
            return np.where(column < 0, np.nan, column.astype(np.float64))
        steps, values = self._other
        if not len(steps):
            return np.full(len(column), np.nan)
        place = np.minimum(steps.searchsorted(column), len(steps) - 1)
        return np.where((steps[place] == column) & (column >= 0), values[place], np.nan)


def _real(x: np.ndarray) -> np.ndarray:
    return x[np.isfinite(x)]


def _points(
    connection: sa.Connection, number: int, unpacked: Unpacked, column: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, the column that is the axis, values and attempts of a series, of the latest attempt of every step."""
    found = [*_packed(connection, number, column)]
    found += [
        (attempt, writer, points["step"], points[column], points["value"]) for attempt, writer, points in unpacked
    ]
    found.sort(key=lambda one: one[:2])  # a writer's chunks stay before its unpacked points
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    steps, axis, values = (np.concatenate([one[at] for one in found]) for at in (2, 3, 4))
    attempts = np.repeat([one[0] for one in found], [len(one[4]) for one in found])
    keep = of_latest_attempt(steps, attempts)
    return steps[keep], axis[keep], values[keep], attempts[keep]


def _packed(connection: sa.Connection, number: int, column: str) -> Iterable[tuple[Any, ...]]:
    query = (
        sa.select(
            writers.c.attempt, writers.c.pk, chunks.c.count, chunk_data.c.value_data, chunk_data.c.step_data,
            chunk_data.c[f"{column}_data"].label("axis_data"),
        )
        .join_from(chunks, chunk_data, chunk_data.c.chunk_pk == chunks.c.pk)
        .join(writers, writers.c.pk == chunks.c.writer_pk)
        .where(chunks.c.series_pk == number)
        .order_by(chunks.c.writer_pk, chunks.c.first_sequence)
    )  # fmt: skip
    for attempt, writer, count, value_data, step_data, axis_data in connection.execute(query):
        values, steps = unpack_values(value_data, count), unpack_optional(step_data, count)
        axis = unpack_integers(axis_data, count) if column == "time" else unpack_optional(axis_data, count)
        yield attempt, writer, steps, axis, values
