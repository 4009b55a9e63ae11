"""Draws a series of any length in a given number of stretches, each with its true minimum and maximum.

A chunk has summaries of 256 points and of 32. A chart of a wide window is made of the former, one of a narrower window
of the latter, and of points only where few are left. So it costs about the same at every zoom, for a thousand points
and for ten million.
"""

import numpy as np
import sqlalchemy as sa

from ..core.reader import Chart
from ..errors import SchemaValidationError
from ..records.grammar import check_index
from .arrays import of_latest_attempt, series_number
from .columns import BLOCK, BLOCK_DTYPE, DETAIL, summarise
from .schema import chunk_data, chunk_details
from .spans import OPENED_AT_ONCE, Span, open_spans, overlapping, spans_of, unpacked_by_series, use_epochs

FINENESS = 2
"""Summaries a bucket must have on average; with fewer, finer ones are used, so that buckets are even."""

LARGEST = 2**63 - 1


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
        spans = spans_of(connection, [number], unpacked)[number]
        if spans and all(span.low < 0 for span in spans):
            use_epochs(connection, spans, unpacked[number])
    return _drawn(key, summaries(connection, spans, low, high, buckets), buckets)


def summaries(connection: sa.Connection, spans: list[Span], low: int, high: int, buckets: int) -> np.ndarray:
    """The points of spans with steps in [low, high] as an array of BLOCK_DTYPE in the order of steps.

    Each element is a summary of so few points that ``buckets`` buckets of them are even.
    """
    wanted = [span for span in spans if span.low >= 0 and span.high >= low and span.low <= high]
    groups = list(overlapping(sorted(wanted, key=lambda span: (span.low, span.attempt, span.writer, span.place))))
    whole = [
        len(group) == 1 and group[0].blocks is not None and group[0].low >= low and group[0].high <= high
        for group in groups
    ]
    points = _opened(connection, groups, whole, low, high)
    held = sum(len(steps) for steps, _ in points.values())
    counts = [group[0].count for group, is_whole in zip(groups, whole, strict=True) if is_whole]
    size = next(
        (
            size for size in (BLOCK, DETAIL)
            if held // size + sum(-(-count // size) for count in counts) >= FINENESS * buckets
        ), 1,
    )  # fmt: skip
    if size != BLOCK:
        if size == DETAIL:
            _use_details(connection, [group[0] for group, is_whole in zip(groups, whole, strict=True) if is_whole])
        whole = [
            size != 1 and is_whole and group[0].blocks is not None
            for group, is_whole in zip(groups, whole, strict=True)
        ]
        points.update(_opened(connection, groups, [w or place in points for place, w in enumerate(whole)], low, high))
    parts, run = [], []
    for place, group in enumerate(groups):
        if whole[place]:
            run.append(group[0].blocks)
        else:
            parts += [np.frombuffer(b"".join(run), BLOCK_DTYPE), summarise(*points[place], size)]
            run = []
    return np.concatenate([*parts, np.frombuffer(b"".join(run), BLOCK_DTYPE)])


def _opened(
    connection: sa.Connection, groups: list[list[Span]], left_closed: list[bool], low: int, high: int
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Steps and values of the groups that are not left closed, by their places."""
    wanted = {place: group for place, group in enumerate(groups) if not left_closed[place]}
    closed = [span for group in wanted.values() for span in group if span.steps is None]
    open_spans(connection, closed, chunk_data.c.step_data)
    return {place: _points(group, low, high) for place, group in wanted.items()}


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


def _points(group: list[Span], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
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


def places(parts: np.ndarray, buckets: int) -> np.ndarray:
    """Where each bucket of about equal width in steps starts, as a union of whole summaries in order."""
    if len(parts) <= buckets:
        return np.arange(len(parts))
    first = parts["step_first"]
    width = (float(parts["step_last"].max()) - float(first[0]) + 1.0) / buckets
    place = np.minimum(((first - first[0]) / width).astype(np.int64), buckets - 1)  # large steps round up
    return np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))


def _drawn(key: str, parts: np.ndarray, buckets: int) -> Chart:
    if not len(parts):
        whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
        return Chart(key, whole, whole, whole, real, real, real, real)
    starts = places(parts, buckets)
    ends = np.append(starts[1:], len(parts)) - 1
    count = np.add.reduceat(parts["count"], starts)
    minimum = np.minimum.reduceat(parts["minimum"], starts)
    maximum = np.maximum.reduceat(parts["maximum"], starts)
    mean = np.add.reduceat(parts["total"], starts) / count
    return Chart(
        key,
        parts["step_first"][starts],
        np.maximum.reduceat(parts["step_last"], starts),
        count,
        minimum,
        maximum,
        np.clip(mean, minimum, maximum),  # a sum is rounded: the mean of equal values would not be their value
        parts["last"][ends],
    )
