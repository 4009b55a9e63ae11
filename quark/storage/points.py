"""Metric points that are not sorted yet, as arrays and as the fragments that a store keeps."""

import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..records.metric_columns import MetricColumns
from .columns import ABSENT, pack_integers, pack_optional, unpack_integers
from .incoming import FEW, PLAIN

POINT = np.dtype(
    [("series", "<i8"), ("sequence", "<i8"), ("time", "<i8"), ("step", "<i8"), ("epoch", "<i8"), ("value", "<f8")]
)
"""A point in memory: ``series`` is a row number, step and epoch are -1 where a point has none."""

_PACKED = b"\1"
_HEAD = struct.Struct("<BI5I")


FRAGMENT_POINTS = 16_384
"""Points of one fragment at most: reading and packing stay in steps of a few milliseconds."""


def pack_columns(columns: MetricColumns, series_of: Callable[[str], int]) -> bytes:
    """Many points as ``pack_points`` gives them; ``series_of`` gives the row number of a key."""
    made = np.empty(len(columns.keys), POINT)
    made["series"] = np.fromiter(map(series_of, columns.keys), np.int64, len(made))
    made["sequence"], made["time"], made["value"] = columns.sequences, columns.times, columns.values
    made["step"], made["epoch"] = columns.steps, columns.epochs
    return made.tobytes()


def array_of(packed: bytes) -> np.ndarray:
    """Packed points as an array of POINT."""
    return np.frombuffer(packed, POINT)


def are_sound(packed: bytes, first: int, stop: int) -> bool:
    """Whether packed points are in order and within [first, stop), and no step or epoch is below -1."""
    points = array_of(packed)
    numbers = points["sequence"]
    return bool(
        numbers[0] >= first
        and numbers[-1] < stop
        and (numbers[1:] >= numbers[:-1]).all()
        and points["step"].min() >= -1
        and points["epoch"].min() >= -1
    )


def fragments_of(packed: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """First and last sequence number, count and data of each fragment that packed points become."""
    points = array_of(packed)
    for start in range(0, len(points), FRAGMENT_POINTS):
        piece = points[start : start + FRAGMENT_POINTS]
        yield int(piece["sequence"][0]), int(piece["sequence"][-1]), len(piece), pack_fragment(piece)


def pack_fragment(points: np.ndarray) -> bytes:
    """Points of any series, in order, as a fragment stores them: about 18 bytes each."""
    if len(points) < FEW:
        return PLAIN + points.tobytes()
    parts = [pack_integers(np.ascontiguousarray(points[name])) for name in ("series", "sequence", "time")]
    parts += [pack_optional(np.ascontiguousarray(points[name])) or b"" for name in ("step", "epoch")]
    head = _HEAD.pack(_PACKED[0], len(points), *(len(part) for part in parts))
    return b"".join([head, *parts, points["value"].tobytes()])


def unpack_fragments(blobs: Iterable[bytes]) -> np.ndarray:
    """The points of fragments, one after the other, as an array of POINT."""
    blobs = list(blobs)
    counts = [_count(blob) for blob in blobs]
    made = np.empty(sum(counts), POINT)
    start = 0
    # Piece by piece: one copy of all of them would keep other threads waiting for milliseconds.
    for blob, count in zip(blobs, counts, strict=True):
        _unpack(blob, made[start : start + count])
        start += count
    return made


def _count(blob: bytes) -> int:
    """How many points a fragment holds: never more than it has bytes for.

    Raises:
        ValueError: it announces more.
    """
    if blob[0] == PLAIN[0]:
        return (len(blob) - 1) // POINT.itemsize
    count = _HEAD.unpack_from(blob)[1]
    if count * 8 > len(blob):
        raise ValueError(f"{count} points were announced in {len(blob)} bytes")
    return count


def _unpack(blob: bytes, points: np.ndarray) -> None:
    if blob[0] == PLAIN[0]:
        points[:] = np.frombuffer(blob, POINT, offset=1)
        return
    count, *lengths = _HEAD.unpack_from(blob)[1:]
    start = _HEAD.size
    for name, length in zip(("series", "sequence", "time", "step", "epoch"), lengths, strict=True):
        part = blob[start : start + length]
        points[name] = unpack_integers(part, count) if part else ABSENT
        start += length
    points["value"] = np.frombuffer(blob, "<f8", count, start)


def ranked(series: np.ndarray) -> tuple[np.ndarray, list[int], list[int]]:
    """The places of points sorted by series, in order within each, and where each series starts and stops there."""
    # Small numbers are sorted by radix, which is what most runs need.
    offsets = series - series.min()
    narrow = offsets.astype(np.uint16) if offsets.max() < 65_536 else offsets
    order = np.argsort(narrow, kind="stable")
    sorted_ = series[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_[1:] != sorted_[:-1]))).tolist()
    return order, starts, [*starts[1:], len(sorted_)]
