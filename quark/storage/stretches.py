"""Reads a metric stretch by stretch: only the points that are asked for and a chunk or some fragments are held."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..core.reader import SERIES_COLUMNS, Series
from ..errors import SessionStoreError
from .arrays import SERIES_TYPES, joined, series_number
from .budget import groups
from .columns import ABSENT, unpack_optional, unpack_values
from .points import FEW, FRAGMENT_POINTS, unpack_fragments
from .schema import chunk_data, chunks, fragments, writers

Place = tuple[int, int]
"""The writer and the sequence number of the last point that was read."""


def read_stretch(
    connection: sa.Connection, run_pk: int, key: str, *, all_attempts: bool, limit: int, after: Place | None = None
) -> tuple[Series, Place | None]:
    """Up to ``limit`` points of a key behind a place, as ``read_series`` has them, and the place of the last one.

    Returns:
        The points, and the place to go on from; None at the end.

    Raises:
        SessionStoreError: status 409, the point at the place is not there any more: a later attempt reached its step.
    """
    number = series_number(connection, run_pk, key)
    reader = _Reader(connection, run_pk, -1 if number is None else number, all_attempts)
    parts: list[Series] = []
    places: list[tuple[int, int]] = []  # writer and number of points of each part
    held = 0
    for writer_pk, part in reader.parts(key, after):
        if after is not None and not parts and (writer_pk, int(part.sequences[0])) != after:
            break
        parts.append(part)
        places.append((writer_pk, len(part)))
        held += len(part)
        if held > limit + (after is not None):
            break
    if after is not None:
        if not parts:
            raise SessionStoreError(
                "the series has changed since the page before; read it again from its start",
                code="conflict", status=409,
            )  # fmt: skip
        parts[0], held = _cut(parts[0], 1, None), held - 1
    return _first(key, parts, places, limit, held)


def _first(
    key: str, parts: list[Series], places: list[tuple[int, int]], limit: int, held: int
) -> tuple[Series, Place | None]:
    """The first ``limit`` of so many points in parts, joined, and the place behind them."""
    more = held > limit
    if more:
        parts[-1] = _cut(parts[-1], 0, len(parts[-1]) - (held - limit))
    columns = []
    for name, kind in zip(SERIES_COLUMNS, SERIES_TYPES, strict=True):
        columns.append(np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)]))
    made = Series(key, *columns)
    filled = [at for at, part in enumerate(parts) if len(part)]
    return made, (places[filled[-1]][0], int(made.sequences[-1])) if more and filled else None


def _cut(part: Series, start: int, stop: int | None) -> Series:
    return Series(part.key, *(getattr(part, name)[start:stop] for name in SERIES_COLUMNS))


@dataclass(slots=True)
class _Reader:
    connection: sa.Connection
    run_pk: int
    number: int
    all_attempts: bool
    later: dict[int, np.ndarray] = field(default_factory=dict)
    """By attempt the steps of its points that are not packed yet, each once."""

    def parts(self, key: str, after: Place | None) -> Iterator[tuple[int, Series]]:
        """Writer by writer in the order of attempts what each chunk or fragment holds from the place on."""
        query = sa.select(writers.c.pk, writers.c.attempt, writers.c.rank).where(writers.c.run_pk == self.run_pk)
        found = self.connection.execute(query.order_by(writers.c.attempt, writers.c.pk)).all()
        attempts = sorted({row.attempt for row in found})
        if after is not None:
            index = next((at for at, row in enumerate(found) if row.pk == after[0]), len(found))
            found = found[index:]
        for row in found:
            first = after[1] if after is not None and row.pk == after[0] else 0
            for piece in self._pieces(row.pk, first):
                part = Series(key, *joined([(row.attempt, row.pk, row.rank, piece)]))
                part = self._visible(part, first, [one for one in attempts if one > row.attempt])
                if len(part):
                    yield row.pk, part

    def _pieces(self, writer_pk: int, first: int) -> Iterator[Any]:
        """What a writer's chunks hold, then its fragments, as ``arrays.joined`` takes it."""
        for pk, count in self.connection.execute(
            sa.select(chunks.c.pk, chunks.c.count)
            .where(chunks.c.series_pk == self.number, chunks.c.writer_pk == writer_pk, chunks.c.last_sequence >= first)
            .order_by(chunks.c.first_sequence)
        ).all():
            data = self.connection.execute(sa.select(chunk_data).where(chunk_data.c.chunk_pk == pk)).one()
            yield [
                count, unpack_values(data.value_data, count), data.step_data, data.epoch_data, data.time_data,
                data.sequence_data,
            ]  # fmt: skip
        for points in self._fragments(writer_pk, first):
            if len(points):
                yield points

    def _fragments(self, writer_pk: int, first: int = 0) -> Iterator[np.ndarray]:
        """The points of the key in a writer's fragments, of which some hundred small ones are opened at once."""
        query = sa.select(fragments.c.pk, (fragments.c.count + FEW).label("size")).where(
            fragments.c.run_pk == self.run_pk, fragments.c.writer_pk == writer_pk, fragments.c.last_sequence >= first
        )
        for group in groups(self.connection.execute(query.order_by(fragments.c.pk)).all(), FRAGMENT_POINTS):
            wanted = sa.select(fragments.c.points).where(fragments.c.pk.in_([row.pk for row in group]))
            points = unpack_fragments(self.connection.execute(wanted.order_by(fragments.c.pk)).scalars())
            yield points[points["series"] == self.number]

    def _visible(self, part: Series, first: int, later: list[int]) -> Series:
        """The points from ``first`` on whose step no later attempt has reached."""
        keep = part.sequences >= first
        if later and not self.all_attempts and len(part):
            keep &= ~self._superseded(part.steps, later)
        return part if keep.all() else Series(part.key, *(getattr(part, name)[keep] for name in SERIES_COLUMNS))

    def _superseded(self, steps: np.ndarray, later: list[int]) -> np.ndarray:
        found = np.zeros(len(steps), bool)
        real = steps[steps != ABSENT]
        if not len(real):
            return found
        query = (
            sa.select(chunks.c.pk, chunks.c.count)
            .join(writers, writers.c.pk == chunks.c.writer_pk)
            .where(
                chunks.c.series_pk == self.number, writers.c.attempt >= later[0],
                chunks.c.step_min <= int(real.max()), chunks.c.step_max >= int(real.min()),
            )
        )  # fmt: skip
        for pk, count in self.connection.execute(query).all():
            data = self.connection.execute(
                sa.select(chunk_data.c.step_data).where(chunk_data.c.chunk_pk == pk)
            ).scalar_one()
            others = np.empty(count, np.int64)
            unpack_optional(data, count, others)
            found |= np.isin(steps, others)
        for attempt in later:
            found |= np.isin(steps, self._unpacked_steps(attempt))
        return found & (steps != ABSENT)

    def _unpacked_steps(self, attempt: int) -> np.ndarray:
        if attempt not in self.later:
            query = sa.select(writers.c.pk).where(writers.c.run_pk == self.run_pk, writers.c.attempt == attempt)
            steps = [np.empty(0, np.int64)]
            for writer_pk in self.connection.execute(query).scalars().all():
                steps += [np.unique(points["step"]) for points in self._fragments(writer_pk)]
            self.later[attempt] = np.unique(np.concatenate(steps))
        return self.later[attempt]
