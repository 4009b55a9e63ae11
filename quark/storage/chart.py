"""Draws a series of any length in a given number of stretches, each with its true minimum and maximum.

A chunk gives its summaries of 256 points, as long as nothing else of the series has the same steps and the zoom is
wide; otherwise it is opened. So a chart costs about the same for a thousand points and for ten million.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..core.reader import Chart
from ..errors import SchemaValidationError
from ..records.grammar import check_index
from .arrays import of_latest_attempt, series_number, unpacked_points
from .columns import BLOCK, BLOCK_DTYPE, summarise, unpack_optional, unpack_values
from .schema import chunk_data, chunks, writers

OPENED_AT_ONCE = 200
"""Chunks whose data one query fetches."""

FINENESS = 2
"""Summaries a bucket must have on average; with fewer the chunks are opened, so that buckets are even."""


@dataclass(slots=True)
class _Span:
    """A chunk or the unpacked points of a writer: where it lies on the axis of steps, and what it holds."""

    low: int
    high: int
    attempt: int
    writer: int
    place: int
    count: int
    ordered: bool
    chunk: int | None = None
    blocks: bytes | None = None
    steps: np.ndarray | None = None
    values: np.ndarray | None = None


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
    high = 2**63 - 1 if high is None else high
    if low > high:
        raise SchemaValidationError(f"step_min {low} is above step_max {high}; swap them")
    number = series_number(connection, run_pk, key)
    spans = [] if number is None else _spans(connection, run_pk, number)
    if spans and all(span.low < 0 for span in spans):
        _use_epochs(connection, run_pk, number or 0, spans)
    wanted = [span for span in spans if span.low >= 0 and span.high >= low and span.low <= high]
    return _drawn(key, _summaries(connection, wanted, low, high, buckets), buckets)


def _spans(connection: sa.Connection, run_pk: int, number: int) -> list[_Span]:
    query = (
        sa.select(
            chunks.c.step_min, chunks.c.step_max, writers.c.attempt, chunks.c.writer_pk, chunks.c.first_sequence,
            chunks.c.count, chunks.c.ordered, chunks.c.pk, chunks.c.blocks,
        )
        .join(writers, writers.c.pk == chunks.c.writer_pk)
        .where(chunks.c.series_pk == number)
    )  # fmt: skip
    made = [
        _Span(-1 if row[0] is None else row[0], -1 if row[1] is None else row[1], *row[2:])
        for row in connection.execute(query)
    ]
    for attempt, writer, _, points in unpacked_points(connection, run_pk):
        mine = points[points["series"] == number]
        if len(mine):
            made.append(_open_span(attempt, writer, int(mine["sequence"][0]), mine["step"], mine["value"]))
    return made


def _open_span(attempt: int, writer: int, place: int, steps: np.ndarray, values: np.ndarray) -> _Span:
    """A span of points at hand; those without a step are left out, unless none has one."""
    has_step = steps >= 0
    if has_step.any():
        steps, values = steps[has_step], values[has_step]
    ordered = bool((steps[1:] >= steps[:-1]).all())
    return _Span(
        int(steps.min()), int(steps.max()), attempt, writer, place, len(steps), ordered, steps=steps, values=values
    )


def _use_epochs(connection: sa.Connection, run_pk: int, number: int, spans: list[_Span]) -> None:
    """Put a series that was recorded by epoch alone on the axis of epochs."""
    _open(connection, spans, chunk_data.c.epoch_data)
    open_points = {writer: points for _, writer, _, points in unpacked_points(connection, run_pk)}
    for index, span in enumerate(spans):
        if span.chunk is None:
            points = open_points[span.writer]
            span.steps = points["epoch"][points["series"] == number]
        if span.steps is not None and span.values is not None:
            spans[index] = _open_span(span.attempt, span.writer, span.place, span.steps, span.values)


def _summaries(connection: sa.Connection, spans: list[_Span], low: int, high: int, buckets: int) -> np.ndarray:
    """The wanted points as summaries in the order of steps: of 256 points, or of a single one where it must be."""
    groups = list(_overlapping(sorted(spans, key=lambda span: (span.low, span.attempt, span.writer, span.place))))
    whole = [
        len(group) == 1 and group[0].blocks is not None and group[0].low >= low and group[0].high <= high
        for group in groups
    ]
    summaries = sum(-(-group[0].count // BLOCK) for group, is_whole in zip(groups, whole, strict=True) if is_whole)
    if summaries < FINENESS * buckets:
        whole = [False] * len(groups)
    to_open = [span for group, is_whole in zip(groups, whole, strict=True) if not is_whole for span in group]
    _open(connection, [span for span in to_open if span.steps is None], chunk_data.c.step_data)
    parts, run = [], []
    for group, is_whole in zip(groups, whole, strict=True):
        if is_whole:
            run.append(group[0].blocks)
        else:
            parts += [np.frombuffer(b"".join(run), BLOCK_DTYPE), _points(group, low, high)]
            run = []
    return np.concatenate([*parts, np.frombuffer(b"".join(run), BLOCK_DTYPE)])


def _overlapping(spans: list[_Span]) -> Iterator[list[_Span]]:
    """Groups of spans, sorted by their first step, that share steps; they are drawn apart from all others."""
    ranges: dict[int, tuple[int, int]] = {}
    for span in spans:
        low, high = ranges.get(span.attempt, (span.low, span.high))
        ranges[span.attempt] = min(low, span.low), max(high, span.high)
    group: list[_Span] = []
    top = -1
    for span in spans:
        if group and (span.low > top or (span.low == top and _continues(group, span, ranges))):
            yield group
            group = []
        group.append(span)
        top = max(top, span.high)
    if group:
        yield group


def _continues(group: list[_Span], span: _Span, ranges: dict[int, tuple[int, int]]) -> bool:
    """Whether a span goes on at the very step at which its writer's last one ended, and no other attempt has that."""
    last = group[-1]
    return (
        len(group) == 1
        and last.ordered
        and last.writer == span.writer
        and last.place < span.place
        and not any(low <= span.low <= high for attempt, (low, high) in ranges.items() if attempt != span.attempt)
    )


def _open(connection: sa.Connection, spans: list[_Span], axis: Any) -> None:
    """Fetch values and steps, or epochs, of chunks."""
    by_chunk = {span.chunk: span for span in spans if span.chunk is not None}
    numbers = list(by_chunk)
    for start in range(0, len(numbers), OPENED_AT_ONCE):
        some = numbers[start : start + OPENED_AT_ONCE]
        query = sa.select(chunk_data.c.chunk_pk, axis, chunk_data.c.value_data).where(chunk_data.c.chunk_pk.in_(some))
        for chunk, steps, values in connection.execute(query):
            span = by_chunk[chunk]
            span.values = unpack_values(values, span.count)
            span.steps = unpack_optional(steps, span.count)


def _points(group: list[_Span], low: int, high: int) -> np.ndarray:
    """The points of spans that share steps, each its own summary, the latest attempt of every step."""
    group = sorted(group, key=lambda span: (span.attempt, span.writer, span.place))
    steps = np.concatenate([span.steps for span in group if span.steps is not None])
    values = np.concatenate([span.values for span in group if span.values is not None])
    attempts = np.repeat(
        [span.attempt for span in group], [len(span.steps) for span in group if span.steps is not None]
    )
    keep = (steps >= low) & (steps <= high)
    steps, values, attempts = steps[keep], values[keep], attempts[keep]
    keep = of_latest_attempt(steps, attempts)
    steps, values = steps[keep], values[keep]
    if len(steps) and not (steps[1:] >= steps[:-1]).all():
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
    return summarise(steps, values, 1) if len(steps) else np.empty(0, BLOCK_DTYPE)


def _drawn(key: str, parts: np.ndarray, buckets: int) -> Chart:
    """Buckets of equal width in steps, each a union of whole summaries in order."""
    if not len(parts):
        whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
        return Chart(key, whole, whole, whole, real, real, real, real)
    if len(parts) <= buckets:
        starts = np.arange(len(parts))
    else:
        first = parts["step_first"]
        width = (float(parts["step_last"].max()) - float(first[0]) + 1.0) / buckets
        place = np.minimum(((first - first[0]) / width).astype(np.int64), buckets - 1)  # large steps round up
        starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
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
