"""Metric points as they arrive: one fixed-size entry each, packed from the lines of a batch in one pass."""

import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..records.line import WIDE, Line

POINT = np.dtype(
    [("series", "<i8"), ("sequence", "<i8"), ("time", "<i8"), ("step", "<i8"), ("epoch", "<i8"), ("value", "<f8")]
)
"""An entry of a fragment: 48 bytes; ``series`` is a row number, step and epoch are -1 where a point has none."""

_pack = struct.Struct("<qqqqqd").pack

Extras = list[tuple[int, int, str | None, dict[str, Any] | None]]
"""Series, sequence, description and metadata of the few points that have any."""


def pack_points(lines: Iterable[Line], series_of: Callable[[str], int]) -> bytes:
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
    return b"".join(made)


def unpack_points(blobs: Iterable[bytes]) -> np.ndarray:
    """The points of fragments, one after the other, as an array of POINT."""
    return np.frombuffer(b"".join(blobs), POINT)


def extras_of(lines: Iterable[Line], series_of: Callable[[str], int]) -> Extras:
    """Descriptions and metadata of metric lines."""
    return [
        (series_of(line.metric_key or ""), line.sequence, line.description, line.metadata)
        for line in lines
        if line.description is not None or line.metadata is not None
    ]
