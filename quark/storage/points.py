"""Metric points as they arrive: packed from the lines of a batch in one pass, kept together until they are sorted."""

import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..records.line import WIDE, Line
from .columns import ABSENT, pack_integers, pack_optional, unpack_integers

POINT = np.dtype(
    [("series", "<i8"), ("sequence", "<i8"), ("time", "<i8"), ("step", "<i8"), ("epoch", "<i8"), ("value", "<f8")]
)
"""A point in memory: ``series`` is a row number, step and epoch are -1 where a point has none."""

FEW = 64
"""Points that are stored as they are in memory: packing them would cost more than it saves."""

Extras = list[tuple[int, int, str | None, dict[str, Any] | None]]
"""Series, sequence, description and metadata of the few points that have any."""

_pack = struct.Struct("<qqqqqd").pack
_PLAIN, _PACKED = b"\0", b"\1"
_HEAD = struct.Struct("<BI5I")


def pack_points(lines: Iterable[Line], series_of: Callable[[str], int]) -> np.ndarray:
    """The points of metric lines, single and wide, in order; ``series_of`` gives the row number of a key.

    Raises:
        struct.error, TypeError, AttributeError: a line lacks its key or value, or holds a number out of range.
    """
    made: list[bytes] = []
    put = made.append
    for line in lines:
        step, epoch = line.step, line.epoch
        step = -1 if step is None else step
        epoch = -1 if epoch is None else epoch
        if line.kind == WIDE:
            sequence, time = line.sequence, line.time
            for key, value in line.values.items():  # type: ignore[union-attr]  # see Raises
                put(_pack(series_of(key), sequence, time, step, epoch, value))
        else:
            put(_pack(series_of(line.metric_key), line.sequence, line.time, step, epoch, line.value))  # type: ignore[arg-type]
    return np.frombuffer(b"".join(made), POINT)


def extras_of(lines: Iterable[Line], series_of: Callable[[str], int]) -> Extras:
    """Descriptions and metadata of metric lines."""
    return [
        (series_of(line.metric_key or ""), line.sequence, line.description, line.metadata)
        for line in lines
        if line.description is not None or line.metadata is not None
    ]


def pack_fragment(points: np.ndarray) -> bytes:
    """Points of any series, in order, as a fragment stores them: about 18 bytes each."""
    if len(points) < FEW:
        return _PLAIN + points.tobytes()
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
    if blob[0] == _PLAIN[0]:
        return (len(blob) - 1) // POINT.itemsize
    count = _HEAD.unpack_from(blob)[1]
    if count * 8 > len(blob):
        raise ValueError(f"{count} points were announced in {len(blob)} bytes")
    return count


def _unpack(blob: bytes, points: np.ndarray) -> None:
    if blob[0] == _PLAIN[0]:
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
