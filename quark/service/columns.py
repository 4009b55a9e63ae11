"""Charts as binary columns: a JSON header, then the numbers as a page's typed arrays take them."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

MEDIA = "application/vnd.quark.columns"

PRECISION = 2.0**-24
"""Half of the last place of a float32, relative to the value."""

FINEST = 4096
"""Parts of a column's range that must be told apart: more than any screen has lines."""


def packed(charts: Sequence[tuple[Mapping[str, Any], Mapping[str, np.ndarray]]]) -> bytes:
    """Charts as bytes: a little-endian uint32, so many bytes of JSON, then all columns one behind the other.

    The JSON is ``{"charts": [{..., "length": n, "types": {"x": "f8", "mean": "f4", ...}}]}``, with spaces at its end so
    that the columns begin at a multiple of 8 bytes. Each column begins at a multiple of 8 bytes too. ``x`` is float64;
    the others are float32, or float64 where that would be too coarse: the column says so.
    """
    head, blobs = [], []
    for about, columns in charts:
        typed = {name: column.astype(_type(name, column)) for name, column in columns.items()}
        types = {name: column.dtype.str[1:] for name, column in typed.items()}
        head.append({**about, "length": len(next(iter(columns.values()))), "types": types})
        blobs += [_padded(column.tobytes()) for column in typed.values()]
    text = msgspec.json.encode({"charts": head})
    text += b" " * (-(len(text) + 4) % 8)
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _type(name: str, column: np.ndarray) -> str:
    if name == "x" or not len(column):
        return "<f8" if name == "x" else "<f4"
    largest = float(np.abs(column).max())
    if name == "n":
        return "<f4" if largest < 2**24 else "<f8"
    spread = float(column.max()) - float(column.min())
    is_enough = largest < 3e38 and largest * PRECISION * FINEST <= spread
    return "<f4" if is_enough else "<f8"
