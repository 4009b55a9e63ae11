"""Packs new points into chunks: what many appends left mixed becomes stretches of one series each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from .append import PASS_POINTS
from .chunk import CHUNK_POINTS, Columns, Extra, columns_from_points, columns_of, data_row, detail_of, summary_row
from .database import Connection, Database
from .points import ranked, unpack_fragments

PASS_EXTRAS = 8 << 20
"""Bytes of descriptions and metadata that one pass decodes, in whole fragments."""


@dataclass(slots=True)
class _Pass:
    """What a pass will write: all or nothing."""

    last_fragment: int = 0
    fragments: int = 0
    points: int = 0
    replaced: list[tuple[int, int]] = field(default_factory=list)
    chunks: list[tuple[int, int, Columns]] = field(default_factory=list)
    totals: list[tuple[int, int]] = field(default_factory=list)


def seal_pass(database: Database, run_pk: int) -> tuple[int, int] | None:
    """Pack the oldest new points of a run, at most about PASS_POINTS; returns how many points and fragments.

    Reading and packing keep nobody waiting. Of two processes that do it at once the second one leaves it to the first,
    which returns None, or finds its work done.
    """
    with database.snapshot() as connection:
        if not connection.claim_packing(run_pk):
            return None
        work = _prepare(connection, run_pk)
    if not work.fragments:
        return 0, 0
    rows = [
        ((series, writer, *summary_row(columns)), data_row(columns), detail_of(columns))
        for series, writer, columns in work.chunks
    ]
    try:
        with database.writing() as connection:
            _write(connection, run_pk, work, rows)
    except _OvertakenError:
        return 0, 0
    return work.points, work.fragments


class _OvertakenError(Exception):
    """Another process packed the same points."""


def _prepare(connection: Connection, run_pk: int) -> _Pass:
    work = _Pass()
    by_writer: dict[int, tuple[list[bytes], list[str]]] = {}
    described = 0
    cursor = connection.execute(
        "SELECT pk, writer_pk, count, points, extras FROM fragments WHERE run_pk = ? ORDER BY pk", (run_pk,)
    )
    for pk, writer_pk, count, points, extras in cursor:
        blobs, texts = by_writer.setdefault(writer_pk, ([], []))
        blobs.append(points)
        if extras is not None:
            texts.append(extras)
            described += len(extras)
        work.last_fragment = pk
        work.fragments += 1
        work.points += count
        if work.points >= PASS_POINTS or described >= PASS_EXTRAS:
            break
    for writer_pk, (blobs, texts) in by_writer.items():
        for series_pk, columns in _by_series(blobs, texts):
            _add(connection, work, series_pk, writer_pk, columns)
    return work


def _by_series(blobs: list[bytes], texts: list[str]) -> Iterator[tuple[int, Columns]]:
    """The points of fragments of one writer, series by series, each in the order of recording."""
    points = unpack_fragments(blobs)
    extras = _extras_by_series(texts)
    series = np.ascontiguousarray(points["series"])
    order, starts, stops = ranked(series)
    everything = columns_from_points(points, order)
    for start, stop in zip(starts, stops, strict=True):
        series_pk = int(series[order[start]])
        columns = everything.part(start, stop)
        columns.extras = extras.get(series_pk, {})
        yield series_pk, columns


def _extras_by_series(texts: list[str]) -> dict[int, dict[int, Extra]]:
    made: dict[int, dict[int, Extra]] = {}
    for text in texts:
        for series_pk, sequence, description, metadata in msgspec.json.decode(text):
            made.setdefault(series_pk, {})[sequence] = (description, metadata)
    return made


def _add(connection: Connection, work: _Pass, series_pk: int, writer_pk: int, columns: Columns) -> None:
    """Plan the chunks of new points of a series; a last chunk that is not much longer than they are is taken in.

    So chunks grow to their full size, and a point is rewritten a few times at most.
    """
    work.totals.append((len(columns), series_pk))
    tail = connection.execute(
        "SELECT pk, count FROM chunks WHERE series_pk = ? AND writer_pk = ? ORDER BY first_sequence DESC LIMIT 1",
        (series_pk, writer_pk),
    ).fetchone()
    if tail is not None and tail[1] < CHUNK_POINTS and tail[1] <= 2 * len(columns):
        row: Any = connection.execute(
            "SELECT value_data, step_data, epoch_data, time_data, sequence_data, extras FROM chunk_data"
            " WHERE chunk_pk = ?", (tail[0],),
        ).fetchone()  # fmt: skip
        columns = columns_of(tail[1], row).then(columns)
        work.replaced.append((tail[0], tail[1]))
    for start in range(0, len(columns), CHUNK_POINTS):
        work.chunks.append((series_pk, writer_pk, columns.part(start, start + CHUNK_POINTS)))


def _write(
    connection: Connection, run_pk: int, work: _Pass, rows: list[tuple[tuple[Any, ...], tuple[Any, ...], bytes | None]]
) -> None:
    if not connection.claim_packing(run_pk):
        raise _OvertakenError
    gone = connection.execute(
        "DELETE FROM fragments WHERE run_pk = ? AND pk <= ?", (run_pk, work.last_fragment)
    ).rowcount
    if work.replaced:
        replaced = connection.executemany("DELETE FROM chunks WHERE pk = ? AND count = ?", work.replaced).rowcount
    else:
        replaced = 0
    if gone != work.fragments or replaced != len(work.replaced):
        raise _OvertakenError
    numbers = connection.numbers("chunks", len(rows))
    connection.insert(
        "chunks",
        "pk, series_pk, writer_pk, first_sequence, last_sequence, count, step_min, step_max, ordered, blocks",
        [(pk, *summary) for pk, (summary, _, _) in zip(numbers, rows, strict=True)],
    )
    connection.insert(
        "chunk_data",
        "chunk_pk, value_data, step_data, epoch_data, time_data, sequence_data, extras",
        [(pk, *data) for pk, (_, data, _) in zip(numbers, rows, strict=True)],
    )
    details = [(pk, detail) for pk, (_, _, detail) in zip(numbers, rows, strict=True) if detail is not None]
    connection.insert("chunk_details", "chunk_pk, data", details)
    connection.executemany("UPDATE series SET count = count + ? WHERE pk = ?", work.totals)
