"""The last, least and greatest value of every metric of a run, kept up to date as points arrive."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .incoming import ABSENT, FEW, count_of, points_in

if TYPE_CHECKING:
    import numpy as np
    import sqlalchemy as sa

    from .database import Connection

_MERGE = (
    "UPDATE series SET"
    " min_step = CASE WHEN min_value <= ? THEN min_step ELSE ? END,"
    " min_value = CASE WHEN min_value <= ? THEN min_value ELSE ? END,"
    " max_step = CASE WHEN max_value >= ? THEN max_step ELSE ? END,"
    " max_value = CASE WHEN max_value >= ? THEN max_value ELSE ? END"
)
_LAST = ", last_step = ?, last_value = ?"

Row = tuple[Any, ...]


def note_points(connection: "Connection", packed: bytes) -> None:
    """Take new points of a run into account; of several with the same value the first one's step stays."""
    count = count_of(packed)
    if count:
        rows = _rows_of_few(packed) if count < FEW else _rows_of_many(packed)
        connection.executemany(f"{_MERGE}{_LAST} WHERE pk = ?", rows)


def _rows_of_few(packed: bytes) -> list[Row]:
    """Without NumPy, which a short run need not import."""
    by_series: dict[int, list[tuple[int, float]]] = {}
    for number, _, _, step, _, value in points_in(packed):
        by_series.setdefault(number, []).append((step, value))
    made = []
    for number, points in sorted(by_series.items()):
        (low, least), (high, greatest) = (choose(points, key=lambda one: one[1]) for choose in (min, max))
        last_step, last = points[-1]
        made.append((
            least, _step(low), least, least, greatest, _step(high), greatest, greatest, _step(last_step), last, number,
        ))  # fmt: skip
    return made


def _rows_of_many(packed: bytes) -> list[Row]:
    from .points import array_of

    return [_row(*one, last=True) for one in _by_series(array_of(packed))]


def _by_series(points: "np.ndarray") -> "Iterator[tuple[int, np.ndarray, np.ndarray]]":
    """Number, steps and values of every series among points, in order."""
    import numpy as np

    from .points import ranked

    numbers = np.ascontiguousarray(points["series"])
    order, starts, stops = ranked(numbers)
    steps, values = points["step"][order], points["value"][order]
    for start, stop in zip(starts, stops, strict=True):
        yield int(numbers[order[start]]), steps[start:stop], values[start:stop]


def _row(number: int, steps: "np.ndarray", values: "np.ndarray", *, last: bool = False) -> Row:
    low, high = int(values.argmin()), int(values.argmax())
    least, greatest = float(values[low]), float(values[high])
    made = (
        least, _step(steps[low]), least, least, greatest, _step(steps[high]), greatest, greatest,
    )  # fmt: skip
    return (*made, _step(steps[-1]), float(values[-1]), number) if last else (*made, number)


def _step(step: Any) -> int | None:
    return None if step == ABSENT else int(step)


def fill(connection: "sa.Connection") -> None:
    """Find the extremes of what a store of an earlier release holds.

    The summaries of a chunk say which of them holds an extreme, so few chunks are opened.
    """
    import sqlalchemy as sa

    from .points import unpack_fragments

    merge = sa.text(_named(f"{_MERGE} WHERE pk = ?"))
    numbers = connection.execute(sa.text("SELECT pk FROM series ORDER BY pk")).scalars().all()
    for number in numbers:
        row = _of_chunks(connection, number)
        if row is not None:
            connection.execute(merge, _bound(row))
    last = sa.text(_named(f"{_MERGE}{_LAST} WHERE pk = ?"))
    for pk in connection.execute(sa.text("SELECT pk FROM fragments ORDER BY pk")).scalars().all():
        blob = connection.execute(sa.text("SELECT points FROM fragments WHERE pk = :pk"), {"pk": pk}).scalar_one()
        for one in _by_series(unpack_fragments([blob])):
            connection.execute(last, _bound(_row(*one, last=True)))


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
    least = _row(number, low_steps, low)
    return (*least[:4], *_row(number, high_steps, high)[4:])


def _opened(connection: "sa.Connection", pk: int, count: int) -> "tuple[np.ndarray, np.ndarray]":
    import sqlalchemy as sa

    from .columns import unpack_optional, unpack_values

    query = sa.text("SELECT step_data, value_data FROM chunk_data WHERE chunk_pk = :pk")
    steps, values = connection.execute(query, {"pk": pk}).one()
    return unpack_optional(steps, count), unpack_values(values, count)


def _named(sql: str) -> str:
    """The statement with the values named by their places."""
    first, *rest = sql.split("?")
    return first + "".join(f":v{place}{part}" for place, part in enumerate(rest))


def _bound(row: Row) -> dict[str, Any]:
    return {f"v{place}": value for place, value in enumerate(row)}
