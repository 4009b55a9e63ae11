"""Where the points of a series lie: its chunks with their summaries, and the points that are not packed yet."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from .arrays import unpacked_points
from .columns import unpack_optional, unpack_values
from .points import ranked
from .schema import chunk_data, chunks, writers

LARGEST = 2**63 - 1
"""The largest step."""

OPENED_AT_ONCE = 200
"""Chunks whose data one query fetches."""


@dataclass(slots=True)
class Span:
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


Unpacked = list[tuple[int, int, np.ndarray]]
"""Attempt and number of a writer with its unpacked points of one series."""


def unpacked_by_series(connection: sa.Connection, run_pk: int, numbers: Collection[int]) -> dict[int, Unpacked]:
    """The points of some series of a run that are not packed into chunks yet."""
    made: dict[int, Unpacked] = {number: [] for number in numbers}
    for attempt, writer, _, points in unpacked_points(connection, run_pk):
        if len(made) == 1:
            number = next(iter(made))
            made[number].append((attempt, writer, points[points["series"] == number]))
            continue
        series = np.ascontiguousarray(points["series"])
        order, starts, stops = ranked(series)
        for start, stop in zip(starts, stops, strict=True):
            number = int(series[order[start]])
            if number in made:
                made[number].append((attempt, writer, points[order[start:stop]]))
    return made


def spans_of(
    connection: sa.Connection,
    numbers: Collection[int],
    unpacked: dict[int, Unpacked],
    low: int = 0,
    high: int = LARGEST,
) -> dict[int, list[Span]]:
    """The spans of series, by their numbers, that have steps in [low, high] or points without a step.

    A series that was recorded by epoch alone is put on the axis of epochs, for which ``on_epochs`` tells.

    Args:
        unpacked: what ``unpacked_by_series`` gave.
    """
    made: dict[int, list[Span]] = {number: [] for number in numbers}
    query = (
        sa.select(
            chunks.c.series_pk, chunks.c.step_min, chunks.c.step_max, writers.c.attempt, chunks.c.writer_pk,
            chunks.c.first_sequence, chunks.c.count, chunks.c.ordered, chunks.c.pk, chunks.c.blocks,
        )
        .join(writers, writers.c.pk == chunks.c.writer_pk)
        .where(chunks.c.series_pk.in_(numbers))
    )  # fmt: skip
    if (low, high) != (0, LARGEST):
        within = sa.and_(chunks.c.step_min <= high, chunks.c.step_max >= low)
        query = query.where(sa.or_(within, chunks.c.step_min.is_(None)))
    for number, first, last, *rest in connection.execute(query).all():
        made[number].append(Span(-1 if first is None else first, -1 if last is None else last, *rest))
    for number, parts in unpacked.items():
        for attempt, writer, points in parts:
            if len(points):
                made[number].append(
                    span_of(attempt, writer, int(points["sequence"][0]), points["step"], points["value"])
                )
    return made


def ranges_of(
    connection: sa.Connection, run_pk: int, numbers: Collection[int], unpacked: dict[int, Unpacked]
) -> dict[int, dict[int, tuple[int, int]]]:
    """The first and the last step of every attempt, by series; none of them where the run has a single attempt."""
    made: dict[int, dict[int, tuple[int, int]]] = {number: {} for number in numbers}
    query = sa.select(sa.func.count(writers.c.attempt.distinct())).where(writers.c.run_pk == run_pk)
    if connection.execute(query).scalar_one() < 2:
        return made
    query = (
        sa.select(chunks.c.series_pk, writers.c.attempt, sa.func.min(chunks.c.step_min), sa.func.max(chunks.c.step_max))
        .join(writers, writers.c.pk == chunks.c.writer_pk)
        .where(chunks.c.series_pk.in_(numbers), chunks.c.step_min.is_not(None))
        .group_by(chunks.c.series_pk, writers.c.attempt)
    )
    for number, attempt, low, high in connection.execute(query):
        made[number][attempt] = low, high
    for number, parts in unpacked.items():
        for attempt, _, points in parts:
            steps = points["step"][points["step"] >= 0]
            if len(steps):
                low, high = made[number].get(attempt, (LARGEST, -1))
                made[number][attempt] = min(low, int(steps.min())), max(high, int(steps.max()))
    return made


def on_epochs(connection: sa.Connection, number: int, spans: list[Span], unpacked: Unpacked) -> bool:
    """Whether a series was recorded by epoch alone; its spans are on the axis of epochs then."""
    if not spans or any(span.low >= 0 for span in spans):
        return False
    has_steps = sa.select(sa.exists().where(chunks.c.series_pk == number, chunks.c.step_min.is_not(None)))
    if connection.execute(has_steps).scalar():
        return False
    _use_epochs(connection, spans, unpacked)
    return True


def span_of(attempt: int, writer: int, place: int, steps: np.ndarray, values: np.ndarray) -> Span:
    """A span of points at hand; those without a step are left out, unless none has one."""
    has_step = steps >= 0
    if has_step.any():
        steps, values = steps[has_step], values[has_step]
    ordered = bool((steps[1:] >= steps[:-1]).all())
    return Span(
        int(steps.min()), int(steps.max()), attempt, writer, place, len(steps), ordered, steps=steps, values=values
    )


def _use_epochs(connection: sa.Connection, spans: list[Span], unpacked: Unpacked) -> None:
    open_spans(connection, spans, chunk_data.c.epoch_data)
    open_points = {writer: points for _, writer, points in unpacked}
    for index, span in enumerate(spans):
        if span.chunk is None:
            span.steps = open_points[span.writer]["epoch"]
        if span.steps is not None and span.values is not None:
            spans[index] = span_of(span.attempt, span.writer, span.place, span.steps, span.values)


def overlapping(spans: list[Span]) -> Iterator[list[Span]]:
    """Groups of spans, sorted by their first step, that share steps; they are drawn apart from all others."""
    ranges: dict[int, tuple[int, int]] = {}
    for span in spans:
        low, high = ranges.get(span.attempt, (span.low, span.high))
        ranges[span.attempt] = min(low, span.low), max(high, span.high)
    group: list[Span] = []
    top = -1
    for span in spans:
        if group and (span.low > top or (span.low == top and _continues(group, span, ranges))):
            yield group
            group = []
        group.append(span)
        top = max(top, span.high)
    if group:
        yield group


def _continues(group: list[Span], span: Span, ranges: dict[int, tuple[int, int]]) -> bool:
    """Whether a span goes on at the very step at which its writer's last one ended, and no other attempt has that."""
    last = group[-1]
    return (
        len(group) == 1
        and last.ordered
        and last.writer == span.writer
        and last.place < span.place
        and not any(low <= span.low <= high for attempt, (low, high) in ranges.items() if attempt != span.attempt)
    )


def open_spans(connection: sa.Connection, spans: list[Span], axis: Any) -> None:
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
