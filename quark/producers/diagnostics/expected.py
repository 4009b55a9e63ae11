"""Which loss a batch should have at this time of the training, from the batches before it.

A threshold over the whole run marks the first steps of a falling loss and nothing else. Here a batch is held against
the median of the last 51 losses, corrected by how far the last 101 batches were from such a median (so a falling loss
is expected to go on falling), in units of the robust spread of those distances. One batch costs the same however long
the run: two sorted windows are kept.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

WINDOW = 51
SPREAD_WINDOW = 101
MIN_LOSSES = 10
MIN_DISTANCES = 30
FLOOR = 0.01
"""Smallest spread, as a share of the loss: a smoother curve than this is not judged more sharply."""

THRESHOLD = 4.0
"""Robust standard deviations from which a batch is hard; one in 30,000 of normal noise, if the spread were known."""

_SIGMA_OF_MAD = 1.4826
"""Standard deviation of normal noise over its median absolute deviation (Rousseeuw and Croux, 1993)."""


class SortedWindow:
    """The last values, and their median at any time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float) -> None:
        """Take a value in, and let the oldest go if the window is full."""
        if len(self._arrived) == self._size:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]
        self._arrived.append(value)
        insort(self._sorted, value)

    def median(self) -> float:
        """The middle value; the mean of the middle two of an even number."""
        return _median_of_sorted(self._sorted)

    def spread(self, center: float) -> float:
        """The standard deviation, estimated from the median distance to ``center``."""
        return _SIGMA_OF_MAD * _median_of_sorted(sorted([abs(value - center) for value in self._sorted]))


def _median_of_sorted(values: list[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """One loss against the expected one.

    Attributes:
        expected: the expected loss.
        robust_z: distance above it, in robust standard deviations of log loss.
        hard: whether the loss is too high for its time.
    """

    expected: float
    robust_z: float
    hard: bool


class ExpectedLoss:
    """Judges the losses of one stream of batches, one after the other.

    Distances are taken between logarithms, because the noise of a loss shrinks with it. From the first loss that is
    not positive on, they are taken between the losses themselves.

    Args:
        threshold: robust standard deviations from which a batch is hard.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._losses = SortedWindow(WINDOW)
        self._distances = SortedWindow(SPREAD_WINDOW)
        self._log = True

    def judge(self, loss: float) -> Judgement | None:
        """Judge the next loss, a finite number; None while too few came before it to tell."""
        if self._log and loss <= 0.0:
            self._log = False
            self._losses, self._distances = SortedWindow(WINDOW), SortedWindow(SPREAD_WINDOW)
        value = math.log(loss) if self._log else loss
        judged = None
        if len(self._losses) >= MIN_LOSSES:
            usual = self._losses.median()
            distance = value - usual
            if len(self._distances) >= MIN_DISTANCES:
                judged = self._judged(distance, usual)
            self._distances.add(distance)
        self._losses.add(value)
        return judged

    def _judged(self, distance: float, usual: float) -> Judgement:
        drift = self._distances.median()
        floor = FLOOR if self._log else max(FLOOR * abs(usual), 1e-12)
        robust_z = (distance - drift) / max(self._distances.spread(drift), floor)
        expected = usual + drift
        # A fall that slows down is above what the fall so far let expect, and yet below all that came before it.
        hard = robust_z > self._threshold and distance > 0.0
        return Judgement(_exp(expected) if self._log else expected, robust_z, hard)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
