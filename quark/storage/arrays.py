"""Reads a metric as arrays: its chunks and the points that are not packed yet, in the order of recording."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..core.reader import SERIES_COLUMNS, Series
from .columns import ABSENT, unpack_integers, unpack_optional, unpack_values
from .points import unpack_fragments
from .schema import chunk_data, chunks, fragments, runs, series, writers

Piece = tuple[int, int, int, Any]
"""Attempt, number and rank of a writer, and a row of ``chunk_data`` or an array of points."""

SERIES_TYPES = (np.int64, np.int64, np.float64, np.int64, np.int64, np.int32, np.int32)


def series_number(connection: sa.Connection, run_pk: int, key: str) -> int | None:
    """The row number of a key; None for one that was never recorded."""
    query = sa.select(series.c.pk).where(series.c.run_pk == run_pk, series.c.key == key)
    return connection.execute(query).scalar()


def run_number(connection: sa.Connection, run_id: str) -> int | None:
    """The row number of a run; None for one that the store does not hold."""
    return connection.execute(sa.select(runs.c.pk).where(runs.c.id == run_id, runs.c.deleted_at.is_(None))).scalar()


def read_series(connection: sa.Connection, run_pk: int, key: str, *, all_attempts: bool) -> Series:
    """The points of a key; empty arrays for a key that was never recorded."""
    number = series_number(connection, run_pk, key)
    pieces = [] if number is None else [*_packed(connection, number), *_unpacked(connection, run_pk, number)]
    pieces.sort(key=lambda piece: piece[:2])  # a writer's chunks stay before its unpacked points
    made = Series(key, *joined(pieces))
    return made if all_attempts else latest_attempts(made)


def _packed(connection: sa.Connection, number: int) -> list[Piece]:
    query = (
        sa.select(
            writers.c.attempt, writers.c.pk, writers.c.rank, chunks.c.count, chunk_data.c.value_data,
            chunk_data.c.step_data, chunk_data.c.epoch_data, chunk_data.c.time_data, chunk_data.c.sequence_data,
        )
        .join_from(chunks, chunk_data, chunk_data.c.chunk_pk == chunks.c.pk)
        .join(writers, writers.c.pk == chunks.c.writer_pk)
        .where(chunks.c.series_pk == number)
        .order_by(chunks.c.writer_pk, chunks.c.first_sequence)
    )  # fmt: skip
    return [
        (attempt, writer, rank, [count, unpack_values(values, count), *rest])
        for attempt, writer, rank, count, values, *rest in connection.execute(query)
    ]


def _unpacked(connection: sa.Connection, run_pk: int, number: int) -> list[Piece]:
    return [
        (attempt, writer, rank, points[points["series"] == number])
        for attempt, writer, rank, points in unpacked_points(connection, run_pk)
    ]


def unpacked_points(connection: sa.Connection, run_pk: int) -> list[Piece]:
    """The points of a run, of all series, that are not packed into chunks yet: one array of POINT per writer."""
    query = (
        sa.select(writers.c.attempt, fragments.c.writer_pk, writers.c.rank, fragments.c.points)
        .join(writers, writers.c.pk == fragments.c.writer_pk)
        .where(fragments.c.run_pk == run_pk)
        .order_by(fragments.c.pk)
    )
    blobs: dict[tuple[int, int, int], list[bytes]] = {}
    for attempt, writer, rank, points in connection.execute(query):
        blobs.setdefault((attempt, writer, rank), []).append(points)
    return [(*who, unpack_fragments(parts)) for who, parts in blobs.items()]


def joined(pieces: Iterable[Piece]) -> list[np.ndarray]:
    """The columns of a series that is made of pieces: steps, epochs, values, times, sequences, attempts, ranks."""
    pieces = list(pieces)
    counts = [rest[0] if isinstance(rest, list) else len(rest) for *_, rest in pieces]
    arrays = [np.empty(sum(counts), kind) for kind in SERIES_TYPES]
    start = 0
    for (attempt, _, rank, rest), count in zip(pieces, counts, strict=True):
        steps, epochs, values, times, sequences, attempts, ranks = (array[start : start + count] for array in arrays)
        attempts[:] = attempt
        ranks[:] = rank
        if isinstance(rest, list):
            values[:] = rest[1]
            unpack_optional(rest[2], count, steps)
            unpack_optional(rest[3], count, epochs)
            unpack_integers(rest[4], count, times)
            unpack_integers(rest[5], count, sequences)
        else:
            steps[:], epochs[:], values[:] = rest["step"], rest["epoch"], rest["value"]
            times[:], sequences[:] = rest["time"], rest["sequence"]
        start += count
    return arrays


def latest_attempts(made: Series) -> Series:
    """Without the points of steps that a later attempt reached again; points without a step stay."""
    keep = of_latest_attempt(made.steps, made.attempts)
    if keep.all():
        return made
    return Series(made.key, *(getattr(made, name)[keep] for name in SERIES_COLUMNS))


def of_latest_attempt(steps: np.ndarray, attempts: np.ndarray) -> np.ndarray:
    """Which points belong to the latest attempt that has their step, or have no step."""
    if not len(steps) or attempts.min() == attempts.max():
        return np.ones(len(steps), bool)
    _, place = np.unique(steps, return_inverse=True)
    latest = np.zeros(int(place.max()) + 1, attempts.dtype)
    np.maximum.at(latest, place, attempts)
    return (attempts == latest[place]) | (steps == ABSENT)
