"""How a chunk's columns become bytes: integers as small differences, values as they are, with summaries for charts."""

import struct

import numpy as np

from .incoming import ABSENT

BLOCK = 256
"""Points that share one summary of a chunk."""

DETAIL = 32
"""Points that share one of the finer summaries: about the root of BLOCK times the points of a bucket of BLOCKs."""

_HEAD = struct.Struct("<Bqq")
_WIDTHS = ((0, 0), (1, 2**8 - 1), (2, 2**16 - 1), (4, 2**32 - 1))

BLOCK_DTYPE = np.dtype(
    [
        ("count", "<i8"), ("minimum", "<f8"), ("maximum", "<f8"), ("total", "<f8"), ("last", "<f8"),
        ("step_first", "<i8"), ("step_last", "<i8"),
    ]
)  # fmt: skip
"""The summary of a stretch of points with steps in order."""


def unpack_values(data: bytes, count: int) -> np.ndarray:
    """The ``count`` values of a chunk; unpacked first, for so many values bound what a damaged count may ask for.

    Raises:
        ValueError: the data holds another number of values.
    """
    values = np.frombuffer(data, "<f8")
    if len(values) != count:
        raise ValueError(f"{count} values were announced, and {len(values)} are there")
    return values


def pack_integers(numbers: np.ndarray) -> bytes:
    """int64 values as the first one, the smallest difference, and what each difference is more than that.

    The rest takes 0, 1, 2, 4 or 8 bytes a value: none for a constant stride. Sums wrap at 2**64, so any values return.
    """
    if len(numbers) < 2:
        return _HEAD.pack(0, int(numbers[0]), 0)
    differences = np.diff(numbers)
    least = differences.min()
    rest = (differences - least).view(np.uint64)
    most = int(rest.max())
    width = next((size for size, limit in _WIDTHS if most <= limit), 8)
    head = _HEAD.pack(width, int(numbers[0]), int(least))
    return head + rest.astype(f"<u{width}").tobytes() if width else head


def unpack_integers(data: bytes, count: int, out: np.ndarray | None = None) -> np.ndarray:
    """The ``count`` values that ``pack_integers`` packed, into ``out`` if it is given."""
    made = np.empty(count, np.int64) if out is None else out
    width, first, least = _HEAD.unpack_from(data)
    made[0] = first
    if count > 1:
        if width:
            made[1:] = np.frombuffer(data, f"<u{width}", count - 1, _HEAD.size)
            made[1:] += least
        else:
            made[1:] = least
        np.cumsum(made, out=made)
    return made


def pack_optional(numbers: np.ndarray) -> bytes | None:
    """Steps or epochs; None where no point has one."""
    return None if (numbers == ABSENT).all() else pack_integers(numbers)


def unpack_optional(data: bytes | None, count: int, out: np.ndarray | None = None) -> np.ndarray:
    """Steps or epochs, ABSENT where a point has none."""
    if data is not None:
        return unpack_integers(data, count, out)
    made = np.empty(count, np.int64) if out is None else out
    made[:] = ABSENT
    return made


def in_order(steps: np.ndarray) -> bool:
    """Whether every point has a step and no step is below the one before."""
    return bool(steps[0] >= 0 and (steps[1:] >= steps[:-1]).all())


def summarise(steps: np.ndarray, values: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """The summaries of every ``size`` points, as an array of BLOCK_DTYPE; steps are in order."""
    if size == 1 or not len(steps):
        made = np.empty(len(steps), BLOCK_DTYPE)
        made["count"] = 1
        made["minimum"] = made["maximum"] = made["total"] = made["last"] = values
        made["step_first"] = made["step_last"] = steps
        return made
    starts = np.arange(0, len(steps), size)
    ends = np.minimum(starts + size, len(steps))
    made = np.empty(len(starts), BLOCK_DTYPE)
    made["count"] = ends - starts
    made["minimum"] = np.minimum.reduceat(values, starts)
    made["maximum"] = np.maximum.reduceat(values, starts)
    made["total"] = np.add.reduceat(values, starts)
    made["last"] = values[ends - 1]
    made["step_first"] = steps[starts]
    made["step_last"] = steps[ends - 1]
    return made
