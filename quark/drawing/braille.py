"""Charts of braille characters: a character holds two columns and four rows of dots."""

import math
from collections.abc import Callable, Sequence

from .course import Column
from .sparkline import heights_between

EMPTY = 0x2800
DOTS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""The dots of a character from the lowest row up, left and right."""

DECADES = 3
"""How many decades below the largest value a logarithmic axis that crosses zero is linear."""


def masks(columns: Sequence[Column | None], rows: int, scale: Callable[[float], float]) -> list[list[int]]:
    """The characters of a chart as bits of their dots, the top row first; each column is filled from low to high.

    Args:
        columns: two a character.
        scale: where a value lies, from 0 at the bottom to 1 at the top.
    """
    made = [[0] * -(-len(columns) // 2) for _ in range(rows)]
    top = 4 * rows - 1
    for index, column in enumerate(columns):
        if column is None:
            continue
        low, high = (min(top, max(0, round(scale(value) * top))) for value in column)
        for dot in range(low, high + 1):
            made[rows - 1 - dot // 4][index // 2] |= DOTS[dot % 4][index % 2]
    return made


def character(mask: int) -> str:
    """The character with these dots; a space without any."""
    return chr(EMPTY + mask) if mask else " "


def scale_between(low: float, high: float, *, log: bool = False) -> Callable[[float], float]:
    """Where a value lies between two others, from 0 to 1.

    A logarithmic scale that has zero or negative values in it is linear near zero, and logarithmic on both sides.
    """
    if not log or low == high:
        return heights_between(low, high)
    if low > 0:
        return _through(math.log10, low, high)
    unit = max(abs(low), abs(high)) / 10**DECADES
    return _through(lambda value: math.asinh(value / unit), low, high) if unit else heights_between(low, high)


def _through(bend: Callable[[float], float], low: float, high: float) -> Callable[[float], float]:
    inner = heights_between(bend(low), bend(high))
    return lambda value: inner(bend(value))
