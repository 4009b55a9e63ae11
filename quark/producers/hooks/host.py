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

KEPT_MASK = 16 << 20
"""Bytes of the mask of dead elements that are kept for the next tensor; a fresh one costs its page faults again."""

_ONES = {np.dtype(kind): np.ones(ROW, kind) for kind in (np.float32, np.float64)}
SQUARABLE = 1e15
"""Largest magnitude whose squares, summed over any tensor, stay within float32."""


class Scratch:
    """Memory that is used again for every tensor: a mask of dead elements and a block of differences."""

    def __init__(self) -> None:
        self.using = threading.Lock()
        self._mask = np.empty(0, np.bool_)
        self._blocks: dict[Any, np.ndarray] = {}

    def mask(self, size: int) -> np.ndarray:
        """A mask of ``size`` elements, uninitialised."""
        if size > KEPT_MASK:
            return np.empty(size, np.bool_)
        if self._mask.size < size:
            self._mask = np.empty(max(size, BLOCK), np.bool_)
        return self._mask[:size]

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
        mask = _dead(values, epsilon, scratch.mask(count), scratch)
        if mask.any():  # half the price of a count, and nearly always the answer
            dead = int(np.count_nonzero(mask))
            if units is not None:
                share = dead_units(mask, dead, units)
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
_max, _min = np.maximum.reduce, np.minimum.reduce


def _dead(values: np.ndarray, epsilon: float, mask: np.ndarray, scratch: Scratch) -> np.ndarray:
    if not epsilon:
        return np.equal(values, 0, out=mask)
    buffer = scratch.block(values.dtype)
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK]
        np.less_equal(np.abs(block, out=buffer[: block.size]), epsilon, out=mask[start : start + BLOCK])
    return mask


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


def dead_units(mask: np.ndarray, dead: int, units: tuple[int, int, int]) -> float:
    """The share of units whose elements are all dead, 0 to 1.

    A unit that is dead takes its whole part of the mask, so few dead elements tell without a look; else the first
    samples rule nearly all units out.
    """
    outer, number, inner = units
    if dead < outer * inner:
        return 0.0
    if dead == mask.size:
        return 1.0
    shaped = mask.reshape(units)
    first = shaped[:4].all(axis=(0, 2)) if inner > 1 else shaped[:16, :, 0].all(axis=0)
    candidates = np.flatnonzero(first)
    if not candidates.size:
        return 0.0
    return int(shaped[:, candidates].all(axis=(0, 2)).sum()) / number


def _in_double(values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
    """The long way, for tensors that hold a NaN or an infinity, or whose squares leave the range of their type."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(values)
        nonfinite = values.size - int(np.count_nonzero(finite))
        dead = share = saturated = None
        if wanted.epsilon is not None:
            mask = np.less_equal(np.abs(values), wanted.epsilon)
            dead = int(np.count_nonzero(mask))
            share = None if units is None else dead_units(mask, dead, units)
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
