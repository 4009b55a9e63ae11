"""Statistics of tensors in main memory: block by block, so that of all passes over it only the first is cold.

NumPy and not torch: its reductions hold no barrier of torch's thread pool, cost a microsecond on a small tensor, and
dot products over short rows are both the fastest and the most exact way to a sum and a norm (float32 lanes of 128
terms, rows added in double precision; torch's own vector_norm is off by 1e-5 at 32,768 equal elements).
"""

import math

import numpy as np

from .summary import Summary, Wanted

ROW = 4096
"""Elements of one dot product: well below the length from which BLAS libraries start threads of their own."""

BLOCK = 64 * ROW
"""Elements that are looked at before the next ones: a megabyte, which stays in the cache for the later passes.
Smaller blocks fit better and cost more, for every call on a block takes a microsecond or two."""

_ONES = {np.dtype(kind): np.ones(ROW, kind) for kind in (np.float32, np.float64)}
SQUARABLE = 1e15
"""Largest magnitude whose squares, summed over any tensor, stay within float32."""


def measure(values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
    """The statistics of an array.

    Args:
        values: float32 or float64, one-dimensional, contiguous.
        units: (outer, units, inner), the shape under which the second axis holds the units; None: no units.
        wanted: what is asked beyond the moments.
    """
    count = values.size
    if not count:
        return Summary(0, None, None, None, None)
    epsilon, saturation, _ = wanted
    high, low = -math.inf, math.inf
    total = squares = 0.0
    dead = 0
    for block in (values,) if count <= BLOCK else blocks(values):
        top, bottom = float(_max(block)), float(_min(block))
        if not (top < SQUARABLE and bottom > -SQUARABLE):  # so reads a NaN, too; without either no sum can overflow
            return _in_double(values, units, wanted)
        total += _dots(block, _ONES[values.dtype])
        squares += _dots(block, None)
        if epsilon is not None and bottom <= epsilon and top >= -epsilon:
            dead += int(np.count_nonzero(_dead(block, epsilon)))
        high, low = max(high, top), min(low, bottom)
    mean, mean_square = total / count, squares / count
    max_abs = high if high > -low else -low
    if mean_square < 1e-30 and max_abs:  # squares below the smallest normal number are lost
        return _in_double(values, units, wanted)
    variance = mean_square - mean * mean
    if variance < 0.1 * mean_square:  # digits cancel where the mean is far from zero: once more, around the mean
        mean, variance = _around(values, mean)
    if epsilon is None:
        return Summary(count, mean, variance, math.sqrt(squares), max_abs)
    share = None if units is None else dead_units(values, epsilon, dead, units)
    saturated = None if saturation is None else _beyond(values, saturation, low, high)
    return Summary(count, mean, variance, math.sqrt(squares), max_abs, 0, dead, saturated, share)


def blocks(values: np.ndarray) -> list[np.ndarray]:
    """A one-dimensional array in parts that stay in the cache."""
    return [values[start : start + BLOCK] for start in range(0, values.size, BLOCK)]


def measure_quietly(values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
    """``measure`` for a program that told NumPy to raise or warn when a small square becomes zero."""
    with np.errstate(all="ignore"):
        return measure(values, units, wanted)


def underflow_is_quiet() -> bool:
    """Whether NumPy takes no notice of underflow here, as it does unless it is told otherwise."""
    return np.geterr()["under"] == "ignore"


def sum_of_squares(values: np.ndarray) -> float:
    """The sum of squares of a contiguous one-dimensional array of any values; it may be infinite or NaN."""
    return _dots(values, None)


def row_squares(rows: np.ndarray) -> np.ndarray:
    """The sum of squares of each row of at most ROW elements, in the array's own precision."""
    return _row_dots(rows, rows)


def _dots(values: np.ndarray, ones: np.ndarray | None) -> float:
    """The sum of all elements, given a row of ones; of their squares, given none.

    Rows are added in the array's own precision, their sums in double.
    """
    count = values.size
    rest = count % ROW
    total = 0.0
    if count != rest:
        rows = (values[:-rest] if rest else values).reshape(-1, ROW)
        total = sum(_row_dots(rows, rows if ones is None else ones).tolist())
    if rest:
        last = values[-rest:]
        total += float(last.dot(last if ones is None else ones[:rest]))
    return total


def _matmul_dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The dot product of each row with its counterpart, or with the one row that there is."""
    return np.matmul(left[:, None, :], right[..., None]).reshape(-1)


_row_dots = getattr(np, "vecdot", _matmul_dots)  # NumPy 2 has it built in
_max, _min, _all = np.maximum.reduce, np.minimum.reduce, np.logical_and.reduce


def _dead(values: np.ndarray, epsilon: float) -> np.ndarray:
    return np.abs(values) <= epsilon if epsilon else values == 0


def _around(values: np.ndarray, mean: float) -> tuple[float, float]:
    """Mean and variance from the differences to ``mean``, which keep the digits that the squares have lost."""
    center = values.dtype.type(mean)
    total = squares = 0.0
    for block in blocks(values):
        difference = block - center
        total += float(difference.sum())
        squares += _dots(difference, None)
    shift = total / values.size
    return float(center) + shift, max(squares / values.size - shift * shift, 0.0)


def _beyond(values: np.ndarray, limits: tuple[float, float], low: float, high: float) -> int:
    """Elements at or beyond either limit."""
    floor, ceiling = limits
    found = int(np.count_nonzero(values >= ceiling)) if high >= ceiling else 0
    return found + (int(np.count_nonzero(values <= floor)) if low <= floor else 0)


def dead_units(values: np.ndarray, epsilon: float, dead: int, units: tuple[int, int, int]) -> float:
    """The share of units whose elements are all dead, 0 to 1.

    A unit that is dead has its whole part of the dead elements, so that few of them tell without a look; else the
    first samples rule nearly all units out, and only the others are looked at to the end.
    """
    outer, number, inner = units
    if dead < outer * inner:
        return 0.0
    if dead == values.size:
        return 1.0
    shaped = values.reshape(units)
    begin = shaped[:1] if inner > 16 else shaped[:16]
    left = np.flatnonzero(_all(_dead(begin, epsilon), axis=(0, 2)))
    if not left.size:
        return 0.0
    return int(np.count_nonzero(_all(_dead(shaped[:, left], epsilon), axis=(0, 2)))) / number


def _in_double(values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
    """The long way, for tensors that hold a NaN or an infinity, or whose squares leave the range of their type."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(values)
        nonfinite = values.size - int(np.count_nonzero(finite))
        dead = share = saturated = None
        if wanted.epsilon is not None:
            dead = int(np.count_nonzero(_dead(values, wanted.epsilon)))
            share = None if units is None else dead_units(values, wanted.epsilon, dead, units)
        if wanted.saturation is not None:
            floor, ceiling = wanted.saturation
            saturated = int(np.count_nonzero((values >= ceiling) | (values <= floor)))
        if nonfinite:
            return Summary(values.size, None, None, None, None, nonfinite, dead, saturated, share)
        mean, variance, norm, max_abs = _double_moments(values)
    return Summary(values.size, mean, variance, norm, max_abs, 0, dead, saturated, share)


def _double_moments(values: np.ndarray) -> tuple[float, float | None, float | None, float]:
    """Mean, variance, norm and largest magnitude in double precision, scaled so that no square is lost."""
    max_abs = float(np.abs(values).max())
    if not max_abs:
        return 0.0, 0.0, 0.0, 0.0
    scale = math.ldexp(1.0, math.frexp(max_abs)[1] - 1)
    total = squares = 0.0
    for part in blocks(values):
        block = part.astype(np.float64) / scale
        total += float(block.sum())
        squares += float(block.dot(block))
    mean = total / values.size
    centered = 0.0
    for part in blocks(values):
        block = part.astype(np.float64) / scale - mean
        centered += float(block.dot(block))
    variance = centered / values.size * scale * scale
    norm = math.sqrt(squares) * scale
    return mean * scale, _representable(variance), _representable(norm), max_abs


def _representable(value: float) -> float | None:
    return value if math.isfinite(value) else None
