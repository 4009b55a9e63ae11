"""A whole curve in at most 64 means: when they are full, neighbours merge and every block holds twice as many."""

import math
from itertools import pairwise

MOST = 64


class Blocks:
    """Means (or maxima) of equally long stretches of a stream, whatever its length.

    Args:
        take: ``mean`` or ``max`` of each stretch.
    """

    __slots__ = ("_held", "_take", "_value", "length", "values")

    def __init__(self, take: str = "mean") -> None:
        self._take = take
        self.length = 1
        self.values: list[float] = []
        self._held = 0
        self._value = 0.0

    def add(self, value: float) -> None:
        """Take a finite value in."""
        if self._take == "max":
            self._value = max(self._value, value) if self._held else value
        else:
            self._value = value if not self._held else self._value + (value - self._value) / (self._held + 1)
        self._held += 1
        if self._held == self.length:
            self.values.append(self._value)
            self._held = 0
            if len(self.values) == MOST:
                self._merge()

    def extend(self, values: list[float]) -> None:
        """Take many finite values in, as ``add`` does one by one."""
        if self._take == "max":
            for value in values:
                self.add(value)
            return
        held, mean, length = self._held, self._value, self.length
        for value in values:
            mean = mean + (value - mean) / (held + 1) if held else value
            held += 1
            if held == length:
                self.values.append(mean)
                held = 0
                if len(self.values) == MOST:
                    self._merge()
                    length = self.length
        self._held, self._value = held, mean

    def _merge(self) -> None:
        pairs = zip(self.values[::2], self.values[1::2], strict=True)
        self.values = [max(a, b) if self._take == "max" else a + (b - a) / 2 for a, b in pairs]
        self.length *= 2


def line_through(values: list[float]) -> tuple[float, float]:
    """Least squares of values against 0, 1, 2, ...: the slope, and the slope in its standard errors (t).

    The residuals of a curve lean on each other; their lag-1 correlation widens the error (Bartlett, 1946).
    """
    count = len(values)
    if count < 4:
        return 0.0, 0.0
    middle, mean = (count - 1) / 2, math.fsum(values) / count
    spread = count * (count * count - 1) / 12
    slope = math.fsum((i - middle) * (v - mean) for i, v in enumerate(values)) / spread
    rests = [v - mean - slope * (i - middle) for i, v in enumerate(values)]
    squares = math.fsum(r * r for r in rests)
    if squares <= 1e-24 * (1.0 + mean * mean):
        return slope, math.copysign(math.inf, slope) if abs(slope) > 1e-12 else 0.0
    lag = max(0.0, min(0.9, math.fsum(a * b for a, b in pairwise(rests)) / squares))
    error = math.sqrt(squares / (count - 2) / spread * (1 + lag) / (1 - lag))
    return slope, slope / error


def median_slope(values: list[float]) -> float:
    """The median of the slopes between all pairs of values against 0, 1, 2, ... (Theil, 1950; Sen, 1968)."""
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(len(values)) for j in range(i + 1, len(values)))
    return slopes[len(slopes) // 2] if slopes else 0.0
