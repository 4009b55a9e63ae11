"""Draws a series of any length in a given number of stretches, each with its true minimum and maximum.

A chunk has summaries of 256 points and of 32. A chart of a wide window is made of the former, one of a narrower window
of the latter, and of points only where few are left. So it costs about the same at every zoom, for a thousand points
and for ten million.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..core.reader import Chart
from ..errors import SchemaValidationError
from ..records.grammar import check_index
from .arrays import of_latest_attempt, series_number
from .columns import BLOCK, BLOCK_DTYPE, DETAIL, summarise
from .schema import chunk_data, chunk_details
from .spans import LARGEST, OPENED_AT_ONCE, Span, on_epochs, open_spans, overlapping, spans_of, unpacked_by_series

FEW_POINTS = 1 << 16
"""Opened points that are drawn as they are; more of them are summarised first where that is fine enough."""

FINENESS = 2
"""Summaries a bucket must have on average; with fewer, finer ones are used, so that buckets are even."""


def read_chart(
    connection: sa.Connection, run_pk: int, key: str, *, buckets: int, step_min: int | None, step_max: int | None
) -> Chart:
    """The chart of a key between two steps, both included; a point without a step stands at its epoch if all do.

    Raises:
        SchemaValidationError: no bucket, or bounds that are no steps or exclude each other.
    """
    if type(buckets) is not int or buckets < 1:
        raise SchemaValidationError(f"buckets must be a whole number of at least 1, got {buckets!r}")
    low = check_index(step_min, "step_min") or 0
    high = check_index(step_max, "step_max")
    high = LARGEST if high is None else high
    if low > high:
        raise SchemaValidationError(f"step_min {low} is above step_max {high}; swap them")
    number = series_number(connection, run_pk, key)
    spans: list[Span] = []
    if number is not None:
        unpacked = unpacked_by_series(connection, run_pk, [number])
        spans = spans_of(connection, [number], unpacked, low, high)[number]
        on_epochs(connection, number, spans, unpacked[number])
    return _drawn(key, summaries(connection, spans, low, high, buckets), buckets)


@dataclass(frozen=True, slots=True)
class Parts:
    """Summaries of stretches of points in the order of steps, as arrays of one length; see BLOCK_DTYPE."""

    count: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    total: np.ndarray
    last: np.ndarray
    step_first: np.ndarray
    step_last: np.ndarray

    def __len__(self) -> int:
        return len(self.count)


Points = tuple[np.ndarray, np.ndarray]
"""Steps and values, in order."""


def summaries(connection: sa.Connection, spans: list[Span], low: int, high: int, buckets: int) -> Parts:
    """The points of spans with steps in [low, high], summarised as far as ``buckets`` buckets of them are even."""
    wanted = [span for span in spans if span.low >= 0 and span.high >= low and span.low <= high]
    groups = list(overlapping(sorted(wanted, key=lambda span: (span.low, span.attempt, span.writer, span.place))))
    whole = {
        place: group[0]
        for place, group in enumerate(groups)
        if len(group) == 1 and group[0].blocks is not None and group[0].low >= low and group[0].high <= high
    }
    points = {
        place: _points(group, low, high)
        for place, group in _opened(connection, groups, whole)
    }  # fmt: skip
    size = _size(points, whole, buckets)
    if size == DETAIL:
        _use_details(connection, list(whole.values()))
        whole = {place: span for place, span in whole.items() if span.blocks is not None}
    elif size == 1:
        whole = {}
    rest = _opened(connection, groups, {**whole, **points})
    points.update({place: _points(group, low, high) for place, group in rest})
    held = sum(len(steps) for steps, _ in points.values())
    if held <= FEW_POINTS:
        size = 1  # they are at hand, and make buckets even
    if not whole and size == 1:
        return _single([points[place] for place in range(len(groups))])
    return _joined([
        span.blocks if (span := whole.get(place)) else summarise(*points[place], size) for place in range(len(groups))
    ])  # fmt: skip


def _size(points: dict[int, Points], whole: dict[int, Span], buckets: int) -> int:
    """How many points a summary may stand for: the most with which buckets are even."""
    held = sum(len(steps) for steps, _ in points.values())
    for size in (BLOCK, DETAIL):
        if held // size + sum(-(-span.count // size) for span in whole.values()) >= FINENESS * buckets:
            return size
    return 1


def _single(points: list[Points]) -> Parts:
    """Every point as a summary of its own."""
    steps = np.concatenate([np.empty(0, np.int64), *(steps for steps, _ in points)])
    values = np.concatenate([np.empty(0), *(values for _, values in points)])
    return Parts(np.ones(len(steps), np.int64), values, values, values, values, steps, steps)


def _joined(parts: list[Any]) -> Parts:
    """Arrays of BLOCK_DTYPE and their bytes, one behind the other."""
    made = np.frombuffer(b"".join(part for part in parts if part is not None), BLOCK_DTYPE)
    return Parts(*(made[field.name] for field in fields(Parts)))


def _opened(
    connection: sa.Connection, groups: list[list[Span]], closed: Collection[int]
) -> list[tuple[int, list[Span]]]:
    """The groups that are not left closed, with their places, opened."""
    wanted = [(place, group) for place, group in enumerate(groups) if place not in closed]
    open_spans(
        connection, [span for _, group in wanted for span in group if span.steps is None], chunk_data.c.step_data
    )
    return wanted


def _use_details(connection: sa.Connection, spans: list[Span]) -> None:
    """Give chunks their finer summaries in the place of the coarse ones; those that have none are to be opened."""
    by_chunk = {span.chunk: span for span in spans}
    for span in spans:
        span.blocks = None
    numbers = list(by_chunk)
    for start in range(0, len(numbers), OPENED_AT_ONCE):
        some = numbers[start : start + OPENED_AT_ONCE]
        query = sa.select(chunk_details.c.chunk_pk, chunk_details.c.data).where(chunk_details.c.chunk_pk.in_(some))
        for chunk, data in connection.execute(query):
            by_chunk[chunk].blocks = data


def _points(group: list[Span], low: int, high: int) -> Points:
    """Steps and values of spans that share steps, in order, of the latest attempt of every step."""
    group = sorted(group, key=lambda span: (span.attempt, span.writer, span.place))
    opened = [(span.steps, span.values) for span in group if span.steps is not None and span.values is not None]
    steps = np.concatenate([steps for steps, _ in opened])
    values = np.concatenate([values for _, values in opened])
    attempts = np.repeat([span.attempt for span in group], [len(steps) for steps, _ in opened])
    keep = (steps >= low) & (steps <= high)
    steps, values, attempts = steps[keep], values[keep], attempts[keep]
    keep = of_latest_attempt(steps, attempts)
    steps, values = steps[keep], values[keep]
    if len(steps) and not (steps[1:] >= steps[:-1]).all():
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
    return steps, values


def places(parts: Parts, buckets: int) -> np.ndarray:
    """Where each bucket of about equal width in steps starts, as a union of whole summaries in order."""
    if len(parts) <= buckets:
        return np.arange(len(parts))
    first = parts.step_first
    width = (float(parts.step_last.max()) - float(first[0]) + 1.0) / buckets
    place = np.minimum(((first - first[0]) / width).astype(np.int64), buckets - 1)  # large steps round up
    return np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))


def _drawn(key: str, parts: Parts, buckets: int) -> Chart:
    if not len(parts):
        whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
        return Chart(key, whole, whole, whole, real, real, real, real)
    starts = places(parts, buckets)
    ends = np.append(starts[1:], len(parts)) - 1
    count = np.add.reduceat(parts.count, starts)
    minimum = np.minimum.reduceat(parts.minimum, starts)
    maximum = np.maximum.reduceat(parts.maximum, starts)
    mean = np.add.reduceat(parts.total, starts) / count
    return Chart(
        key,
        parts.step_first[starts],
        np.maximum.reduceat(parts.step_last, starts),
        count,
        minimum,
        maximum,
        np.clip(mean, minimum, maximum),  # a sum is rounded: the mean of equal values would not be their value
        parts.last[ends],
    )
