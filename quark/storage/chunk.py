"""A chunk: a stretch of one series of one writer, as columns in memory and as a pair of rows in the store."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from ..records.line import encode
from .columns import (
    BLOCK,
    DETAIL,
    in_order,
    pack_integers,
    pack_optional,
    summarise,
    unpack_integers,
    unpack_optional,
    unpack_values,
)

CHUNK_POINTS = 4096
"""Points of a full chunk."""

Extra = tuple[str | None, dict[str, Any] | None]
"""Description and metadata of a point."""


@dataclass(slots=True)
class Columns:
    """Points of one series of one writer in the order of their sequence numbers: int64 arrays, values float64."""

    sequences: np.ndarray
    times: np.ndarray
    steps: np.ndarray
    epochs: np.ndarray
    values: np.ndarray
    extras: dict[int, Extra] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> "Columns":
        """The points from ``start`` to ``stop``."""
        arrays = [self.sequences, self.times, self.steps, self.epochs, self.values]
        sequences, times, steps, epochs, values = (array[start:stop] for array in arrays)
        extras = self.extras
        if extras and len(sequences) < len(self):
            low, high = int(sequences[0]), int(sequences[-1])
            extras = {number: extra for number, extra in extras.items() if low <= number <= high}
        return Columns(sequences, times, steps, epochs, values, extras)

    def then(self, other: "Columns") -> "Columns":
        """These points followed by those of ``other``."""
        pairs = [
            (self.sequences, other.sequences), (self.times, other.times), (self.steps, other.steps),
            (self.epochs, other.epochs), (self.values, other.values),
        ]  # fmt: skip
        return Columns(*(np.concatenate(pair) for pair in pairs), extras={**self.extras, **other.extras})


def summary_row(columns: Columns) -> tuple[object, ...]:
    """first_sequence, last_sequence, count, step_min, step_max, ordered and blocks of the table ``chunks``."""
    steps = columns.steps
    ordered = in_order(steps)
    if ordered:
        low, high = int(steps[0]), int(steps[-1])
    else:
        present = steps[steps >= 0]
        low, high = (int(present.min()), int(present.max())) if len(present) else (None, None)
    # A chunk of two blocks is opened as fast as its summaries are read.
    blocks = summarise(steps, columns.values).tobytes() if ordered and len(columns) > 2 * BLOCK else None
    return int(columns.sequences[0]), int(columns.sequences[-1]), len(columns), low, high, ordered, blocks


def detail_of(columns: Columns) -> bytes | None:
    """The finer summaries of a chunk that has summaries; None for one that is opened as fast."""
    if len(columns) <= 2 * BLOCK or not in_order(columns.steps):
        return None
    return summarise(columns.steps, columns.values, DETAIL).tobytes()


def data_row(columns: Columns) -> tuple[object, ...]:
    """value_data, step_data, epoch_data, time_data, sequence_data and extras of the table ``chunk_data``."""
    extras = [(number, *extra) for number, extra in columns.extras.items()]
    return (
        columns.values.astype("<f8", copy=False).tobytes(), pack_optional(columns.steps), pack_optional(columns.epochs),
        pack_integers(columns.times), pack_integers(columns.sequences), encode(extras).decode() if extras else None,
    )  # fmt: skip


def columns_of(count: int, row: tuple[Any, ...]) -> Columns:
    """The points of a row of ``chunk_data``, its columns in the order of ``data_row``."""
    data, steps, epochs, times, sequences, extras = row
    values = unpack_values(data, count)
    return Columns(
        unpack_integers(sequences, count),
        unpack_integers(times, count),
        unpack_optional(steps, count),
        unpack_optional(epochs, count),
        values,
        extras_from(extras),
    )


def extras_from(text: str | None) -> dict[int, Extra]:
    """Descriptions and metadata by sequence number."""
    return {} if text is None else {number: (about, more) for number, about, more in msgspec.json.decode(text)}


def columns_from_points(points: np.ndarray, order: np.ndarray) -> Columns:
    """The points at the places ``order`` of a fragment's array."""
    sequences, times, steps, epochs, values = (
        points[name][order] for name in ("sequence", "time", "step", "epoch", "value")
    )
    return Columns(sequences, times, steps, epochs, values)
