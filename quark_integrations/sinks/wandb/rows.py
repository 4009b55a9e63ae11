"""Points become W&B's history rows: what belongs to one step and arrives together is one row."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from ..mirror import Point
from .translog import POSITION

STEP, EPOCH = "quark/step", "quark/epoch"


def rows_of(points: Iterable[Point], writer: int) -> Iterator[dict[str, Any]]:
    """The rows of one writer's points, in their order.

    A row has one step and epoch. A key that comes again at the same step opens a new row, so that nothing is
    overwritten; the values of one line stay together, so that a row says with ``quark/position/<writer>`` what it
    completes.

    Args:
        points: the points, those of one line next to each other.
        writer: number of the writer in this run's twin.
    """
    position = f"{POSITION}{writer}"
    row: dict[str, Any] = {}
    place: tuple[int | None, int | None] = (None, None)
    for sequence, group in groupby(points, key=attrgetter("sequence")):
        line = list(group)
        first = line[0]
        if not row or (first.step, first.epoch) != place or any(_named(point.key) in row for point in line):
            if row:
                yield row
            place = (first.step, first.epoch)
            row = _opened(first)
        for point in line:
            row[_named(point.key)] = point.value
        row[position] = sequence + 1
    if row:
        yield row


def _opened(point: Point) -> dict[str, Any]:
    row: dict[str, Any] = {"_timestamp": point.time_ns / 1e9}
    if point.step is not None:
        row[STEP] = point.step
    if point.epoch is not None:
        row[EPOCH] = point.epoch
    return row


def _named(key: str) -> str:
    """W&B keeps names that begin with an underscore for itself, takes no empty one, and our own are taken."""
    return f"metric/{key}" if not key or key[0] == "_" or key in (STEP, EPOCH) or key.startswith(POSITION) else key
