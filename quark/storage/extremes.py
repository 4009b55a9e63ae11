"""The last, least and greatest value of every metric of a run, kept up to date as points arrive."""

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .faults import UNREADABLE
from .incoming import ABSENT, FEW, count_of, points_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import sqlalchemy as sa

    from .database import Connection

logger = logging.getLogger("quark")

AT_ONCE = 1000
"""Series that one statement updates: each statement costs a turn to the server."""

_TYPES = ("int8", "int8", "float8", "int8", "float8", "int8", "float8")

_MERGE = (
    "WITH new (pk, low_step, low, high_step, high, at, value) AS ({rows}) UPDATE series SET"
    " min_step = CASE WHEN min_value <= low THEN min_step ELSE CAST(low_step AS BIGINT) END,"
    " min_value = CASE WHEN min_value <= low THEN min_value ELSE low END,"
    " max_step = CASE WHEN max_value >= high THEN max_step ELSE CAST(high_step AS BIGINT) END,"
    " max_value = CASE WHEN max_value >= high THEN max_value ELSE high END,"
    " last_step = CAST(at AS BIGINT), last_value = value FROM new WHERE series.pk = new.pk"
)

Row = tuple[int, int | None, float, int | None, float, int | None, float]
"""Number of a series; step and value of its least, its greatest and its last point."""


def note_points(connection: "Connection", packed: bytes) -> None:
    """Take new points of a run into account; of several with the same value the first one's step stays."""
    count = count_of(packed)
    if count:
        rows = _rows_of_few(packed) if count < FEW else _rows_of_many(packed)
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            table, values = connection.table_of(_TYPES, some)
            connection.execute(_MERGE.format(rows=table), values)


def _rows_of_few(packed: bytes) -> list[Row]:
    """Without NumPy, which a short run need not import."""
    by_series: dict[int, list[tuple[int, float]]] = {}
    for number, _, _, step, _, value in points_in(packed):
        by_series.setdefault(number, []).append((step, value))
    made = []
    for number, points in sorted(by_series.items()):
        (low, least), (high, greatest) = (choose(points, key=lambda one: one[1]) for choose in (min, max))
        at, last = points[-1]
        made.append((number, _step(low), least, _step(high), greatest, _step(at), last))
    return made


def _rows_of_many(packed: bytes) -> list[Row]:
    from .points import array_of

    return _rows_of(array_of(packed))


def _rows_of(points: "np.ndarray") -> list[Row]:
    """A row of every series among points; without a loop over series, of which an append may have thousands."""
    import numpy as np

    from .points import ranked

    numbers = np.ascontiguousarray(points["series"])
    order, starts, stops = ranked(numbers)
    steps, values = points["step"][order], points["value"][order]
    first, last = np.array(starts), np.array(stops) - 1
    places = [*(_first_of(reduce, values, first, last) for reduce in (np.minimum, np.maximum)), last]
    columns = [column for at in places for column in (_steps(steps[at]), values[at].tolist())]
    return list(zip(numbers[order[first]].tolist(), *columns, strict=True))


def _first_of(reduce: "np.ufunc", values: "np.ndarray", first: "np.ndarray", last: "np.ndarray") -> "np.ndarray":
    """Where the extreme of each stretch of values is met first."""
    import numpy as np

    met = np.flatnonzero(values == np.repeat(reduce.reduceat(values, first), last - first + 1))
    return met[np.searchsorted(met, first)]


def _row(number: int, steps: "np.ndarray", values: "np.ndarray") -> Row:
    low, high = int(values.argmin()), int(values.argmax())
    return (
        number, _step(steps[low]), float(values[low]), _step(steps[high]), float(values[high]), _step(steps[-1]),
        float(values[-1]),
    )  # fmt: skip


def _steps(steps: "np.ndarray") -> list[int | None]:
    return [None if step == ABSENT else step for step in steps.tolist()]


def _step(step: Any) -> int | None:
    return None if step == ABSENT else int(step)


def fill(connection: "sa.Connection") -> None:
    """Find the extremes of what a store of an earlier release holds.

    The summaries of a chunk say which of them holds an extreme, so few chunks are opened.
    """
    import sqlalchemy as sa

    from .points import unpack_fragments

    merge = sa.text(_MERGE.format(rows=f"VALUES ({', '.join(f':v{place}' for place in range(len(_TYPES)))})"))

    def note(row: Row) -> None:
        connection.execute(merge, {f"v{place}": value for place, value in enumerate(row)})

    for number, step, value in connection.execute(sa.text("SELECT pk, last_step, last_value FROM series")).all():
        with _damage_skipped("metric", number):
            found = _of_chunks(connection, number)
            if found is not None:
                note((*found[:5], step, value))
    for pk in connection.execute(sa.text("SELECT pk FROM fragments ORDER BY pk")).scalars().all():
        with _damage_skipped("fragment", pk):
            blob = connection.execute(sa.text("SELECT points FROM fragments WHERE pk = :pk"), {"pk": pk}).scalar_one()
            for row in _rows_of(unpack_fragments([blob])):
                note(row)


@contextmanager
def _damage_skipped(what: str, number: int) -> "Iterator[None]":
    """Go on without what cannot be decoded: one damaged row must not close the whole store to the new release."""
    from sqlalchemy.exc import NoResultFound

    try:
        yield
    except (*UNREADABLE, NoResultFound) as error:
        logger.warning(
            "quark: the points of %s %d are damaged (%s: %s); its least and greatest value are those of later points",
            what, number, type(error).__name__, error,
        )  # fmt: skip


def _of_chunks(connection: "sa.Connection", number: int) -> Row | None:
    """The extremes of a series' chunks; None if it has none."""
    import numpy as np
    import sqlalchemy as sa

    from .columns import BLOCK_DTYPE

    query = sa.text("SELECT pk, count, blocks FROM chunks WHERE series_pk = :number ORDER BY writer_pk, first_sequence")
    ranges = []
    for pk, count, blocks in connection.execute(query, {"number": number}).all():
        if blocks is None:
            _, values = _opened(connection, pk, count)
            ranges.append((float(values.min()), float(values.max()), pk, count))
        else:
            held = np.frombuffer(blocks, BLOCK_DTYPE)
            ranges.append((float(held["minimum"].min()), float(held["maximum"].max()), pk, count))
    if not ranges:
        return None
    wanted = min(ranges, key=lambda one: one[0]), max(ranges, key=lambda one: one[1])
    opened = [_opened(connection, pk, count) for _, _, pk, count in wanted]
    (low_steps, low), (high_steps, high) = opened
    return (*_row(number, low_steps, low)[:3], *_row(number, high_steps, high)[3:])


def _opened(connection: "sa.Connection", pk: int, count: int) -> "tuple[np.ndarray, np.ndarray]":
    import sqlalchemy as sa

    from .columns import unpack_optional, unpack_values

    query = sa.text("SELECT step_data, value_data FROM chunk_data WHERE chunk_pk = :pk")
    steps, values = connection.execute(query, {"pk": pk}).one()
    return unpack_optional(steps, count), unpack_values(values, count)
