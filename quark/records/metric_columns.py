"""The metric lines of a large batch as columns, which are checked and packed as a whole instead of line by line."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .line import Line

MANY = 64
"""Lines from which columns cost less than a loop over the lines."""

ABSENT = -1
"""The step or epoch of a line that has none."""


@dataclass(frozen=True, slots=True)
class MetricColumns:
    """What metric lines hold, in their order, as int64 and float64 arrays.

    Attributes:
        keys: the metric key of each line.
        names: the keys without repetitions.
    """

    keys: list[str]
    names: set[str]
    sequences: np.ndarray
    times: np.ndarray
    steps: np.ndarray
    epochs: np.ndarray
    values: np.ndarray

    def are_within(self, first: int, stop: int) -> bool:
        """Whether the sequence numbers rise, all of them within [first, stop), and no time lies before 1970."""
        numbers = self.sequences
        return bool(
            numbers[0] >= first and numbers[-1] < stop and (numbers[1:] > numbers[:-1]).all() and self.times.min() >= 0
        )


def metric_columns(lines: Sequence[Line]) -> MetricColumns | None:
    """The columns of lines; None unless they are many and all of them complete metrics without annotations.

    None is no fault: such lines are looked at one by one, which also finds out what is wrong with them.
    """
    if len(lines) < MANY or lines[0].kind != "metric" or lines[-1].kind != "metric":
        return None
    # One pass for each column: the interpreter reads an attribute in a comprehension more cheaply than attrgetter.
    if [1 for one in lines if one.kind != "metric" or one.description is not None or one.metadata is not None]:
        return None
    keys = [one.metric_key for one in lines]
    names = set(keys)
    try:
        return None if None in names else MetricColumns(
            keys, names,  # type: ignore[arg-type]
            _packed("q", [one.sequence for one in lines]), _packed("q", [one.time for one in lines]),
            _optional([one.step for one in lines]), _optional([one.epoch for one in lines]),
            _packed("d", [one.value for one in lines]),
        )  # fmt: skip
    except struct.error:  # a value is missing, or a number is out of range
        return None


def _packed(kind: str, column: Sequence[Any]) -> np.ndarray:
    """The numbers as int64 or float64; raises struct.error for what is none of them."""
    return np.frombuffer(struct.pack(f"{len(column)}{kind}", *column), kind)


def _optional(column: list[int | None]) -> np.ndarray:
    """Steps or epochs with ABSENT for None; raises struct.error for a negative one as well."""
    if column[0] is None and column.count(None) == len(column):
        return np.full(len(column), ABSENT, np.int64)
    try:
        made = _packed("q", column)
        is_negative = bool(made.min() < 0)
    except struct.error:  # some have none
        made = _packed("q", [ABSENT if one is None else one for one in column])
        is_negative = any(one is not None and one < 0 for one in column)
    if is_negative:
        raise struct.error("a step or an epoch is negative")
    return made
