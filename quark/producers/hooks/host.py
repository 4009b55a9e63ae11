"""Statistics of tensors in main memory, in as few passes as they take: two dot products, two extremes, one comparison.

NumPy and not torch: its reductions hold no barrier of torch's thread pool, cost a microsecond on a small tensor, and
a dot product over short rows is both the fastest and the most exact way to a norm (float32 lanes of 128 terms, rows
added in double precision; torch's own vector_norm is off by 2e-5 at a million elements).
"""

import math
import threading
from typing import Any

import numpy as np

from .summary import Summary, Wanted

ROW = 8192
"""Elements of one dot product: below the length from which BLAS libraries start threads of their own."""

BLOCK = 16 * ROW
"""Elements looked at before the next ones: half a megabyte, which stays in the cache for the later passes."""

STRIPE = 65536
"""Elements that are compared with zero at a time: their mask is small enough to be in the cache already."""

_ONES = {np.dtype(kind): np.ones(ROW, kind) for kind in (np.float32, np.float64)}
SQUARABLE = 1e15
"""Largest magnitude whose squares, summed over any tensor, stay within float32."""


class Scratch:
    """Memory that is used again for every tensor: a mask of dead elements and a block of differences."""

    def __init__(self) -> None:
        self.using = threading.Lock()
        self.mask = np.empty(STRIPE, np.bool_)
        self._blocks: dict[Any, np.ndarray] = {}

    def block(self, dtype: Any) -> np.ndarray:
        """A block of BLOCK elements, uninitialised."""
        made = self._blocks.get(dtype)
        if made is None:
            made = self._blocks[dtype] = np.empty(BLOCK, dtype)
        return made


_shared = Scratch()


def measure(tensor: Any, values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
    """The statistics of an array.

    Args:
        tensor: the tensor that shares the array's memory, or its values at least, without gradient.
        values: float32 or float64, one-dimensional, contiguous.
        units: (outer, units, inner), the shape under which the second axis holds the units; None: no units.
        wanted: what is asked beyond the moments.
    """
    count = values.size
    if not count:
        return Summary(0, None, None, None, None)
    if _shared.using.acquire(blocking=False):
        try:
            return _measure(tensor, values, count, units, wanted, _shared)
        finally:
            _shared.using.release()
    return _measure(tensor, values, count, units, wanted, Scratch())  # another thread measures; it has the memory


def _measure(
    tensor: Any, values: np.ndarray, count: int, units: tuple[int, int, int] | None, wanted: Wanted, scratch: Scratch
) -> Summary:
    epsilon, saturation, _ = wanted
    high, low = float(_max(values)), float(_min(values))
    if not (high < SQUARABLE and low > -SQUARABLE):  # so reads a NaN, too; without either no sum here can overflow
        return _in_double(values, units, wanted)
    if count <= ROW:
        total = float(values.dot(_ONES[values.dtype][:count]))
        squares = float(values.dot(values))
    else:  # torch's sum reads one array and not two, and is as exact
        total = tensor.sum().item()
        squares = _sum_of_squares(values)
    mean, mean_square = total / count, squares / count
    max_abs = high if high > -low else -low
    if mean_square < 1e-30 and max_abs:  # squares below the smallest normal number are lost
        return _in_double(values, units, wanted)
    variance = mean_square - mean * mean
    if variance < 0.1 * mean_square:  # digits cancel where the mean is far from zero: once more, around the mean
        mean, variance = _around(values, mean, scratch)
    norm = math.sqrt(squares)
    if epsilon is None:
        return Summary(count, mean, variance, norm, max_abs)
    dead, share = 0, None if units is None else 0.0
    if low <= epsilon and high >= -epsilon:
        dead = _count_dead(values, epsilon, scratch.mask)
        if dead and units is not None:
            share = dead_units(values, epsilon, dead, units)
    saturated = None if saturation is None else _beyond(values, saturation, low, high)
    return Summary(count, mean, variance, norm, max_abs, 0, dead, saturated, share)


def measure_quietly(tensor: Any, values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
    """``measure`` for a program that told NumPy to raise or warn when a small square becomes zero."""
    with np.errstate(all="ignore"):
        return measure(tensor, values, units, wanted)


def underflow_is_quiet() -> bool:
    """Whether NumPy takes no notice of underflow here, as it does unless it is told otherwise."""
    return np.geterr()["under"] == "ignore"


def sum_of_squares(values: np.ndarray) -> float:
    """The sum of squares of a contiguous one-dimensional array of any values; it may be infinite or NaN."""
    with np.errstate(all="ignore"):
        return _sum_of_squares(values)


def difference_squares(new: np.ndarray, old: np.ndarray) -> float:
    """The sum of squares of ``new - old``, both contiguous and one-dimensional, without an array of that size."""
    buffer = np.empty(BLOCK, new.dtype)
    with np.errstate(all="ignore"):
        return sum(
            _sum_of_squares(np.subtract(new[start : start + BLOCK], old[start : start + BLOCK],
                                        out=buffer[: min(BLOCK, new.size - start)]))
            for start in range(0, new.size, BLOCK)
        )  # fmt: skip


def _sum_of_squares(values: np.ndarray) -> float:
    """Rows in the array's own precision, their sum in double."""
    rows = values.size // ROW
    if not rows:
        return float(values.dot(values))
    body = values[: rows * ROW].reshape(rows, ROW)
    total = sum(_row_dots(body, body).tolist())
    rest = values[rows * ROW :]
    return total + float(rest.dot(rest)) if rest.size else total


def _matmul_dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The dot product of each row with its counterpart, or with the one row that there is."""
    return np.matmul(left[:, None, :], right[..., None]).reshape(-1)


_row_dots = getattr(np, "vecdot", _matmul_dots)  # NumPy 2 has it built in
_max, _min, _all = np.maximum.reduce, np.minimum.reduce, np.logical_and.reduce


def _count_dead(values: np.ndarray, epsilon: float, mask: np.ndarray) -> int:
    if values.size <= STRIPE:
        return int(np.count_nonzero(_dead(values, epsilon, mask[: values.size])))
    found = 0
    for start in range(0, values.size, STRIPE):
        part = values[start : start + STRIPE]
        found += int(np.count_nonzero(_dead(part, epsilon, mask[: part.size])))
    return found


def _dead(values: np.ndarray, epsilon: float, mask: np.ndarray | None = None) -> np.ndarray:
    if not epsilon:
        return np.equal(values, 0, out=mask)
    return np.less_equal(np.abs(values), epsilon, out=mask)


def _around(values: np.ndarray, mean: float, scratch: Scratch) -> tuple[float, float]:
    """Mean and variance from the differences to ``mean``, which keep the digits that the squares have lost."""
    center = values.dtype.type(mean)
    total = squares = 0.0
    buffer = scratch.block(values.dtype)
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK]
        difference = np.subtract(block, center, out=buffer[: block.size])
        total += float(difference.sum())
        squares += _sum_of_squares(difference)
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
    if inner > 16:
        first = _all(_dead(shaped[0], epsilon), axis=1)
    else:
        first = _all(_dead(shaped[:16], epsilon), axis=(0, 2))
    if not np.count_nonzero(first):
        return 0.0
    rest = shaped[:, np.flatnonzero(first)]
    return int(np.count_nonzero(_all(_dead(rest, epsilon), axis=(0, 2)))) / number


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
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK].astype(np.float64) / scale
        total += float(block.sum())
        squares += float(block.dot(block))
    mean = total / values.size
    centered = 0.0
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK].astype(np.float64) / scale - mean
        centered += float(block.dot(block))
    variance = centered / values.size * scale * scale
    norm = math.sqrt(squares) * scale
    return mean * scale, _representable(variance), _representable(norm), max_abs


def _representable(value: float) -> float | None:
    return value if math.isfinite(value) else None
