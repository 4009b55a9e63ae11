"""The usual level and spread of a stream of numbers, from a few floats, undisturbed by outliers."""

import math
from statistics import median

WARM = 12
"""Values whose median and spread start the estimate."""

_SIGMA = 1.4826
HUBER = 2.5
MEAN_TO_DEVIATION = 1.2533


class Usual:
    """Location and scale of a stream, exponentially weighted, each value clipped at 2.5 scales (Huber, 1964).

    Args:
        memory: about how many of the last values count.
        floor: the smallest scale that is believed.
    """

    __slots__ = ("_first", "count", "floor", "location", "rate", "scale")

    def __init__(self, memory: int = 40, floor: float = 0.02) -> None:
        self.rate = 2.0 / (memory + 1)
        self.floor = floor
        self._first: list[float] | None = []
        self.count = 0
        self.location = 0.0
        self.scale = floor

    @property
    def ready(self) -> bool:
        """Whether enough values were seen to judge one."""
        return self._first is None

    def z(self, value: float) -> float:
        """Distance of a value from the usual level in scales; 0 before there is a level."""
        return 0.0 if self._first is not None else (value - self.location) / self.scale

    def add(self, value: float) -> None:
        """Take a finite value in."""
        self.count += 1
        first = self._first
        if first is None:
            scale = self.scale
            distance = value - self.location
            bound = HUBER * scale
            step = bound if distance > bound else -bound if distance < -bound else distance
            self.location += self.rate * step
            spread = scale + self.rate * (MEAN_TO_DEVIATION * abs(step) - scale)
            self.scale = spread if spread > self.floor else self.floor
            return
        first.append(value)
        self.location = median(first)
        if len(first) >= WARM:
            spread = _SIGMA * median([abs(one - self.location) for one in first])
            self.scale = max(spread, self.floor)
            self._first = None


class Gain:
    """Whether a stream of numbers, such as returns, stands above its beginning by more than its noise."""

    FIRST = 10

    __slots__ = ("_first", "_limit", "_mean")

    def __init__(self) -> None:
        self._first: list[float] = []
        self._limit = math.inf
        self._mean = -math.inf

    def add(self, value: float) -> None:
        """Take a finite value in."""
        if len(self._first) < self.FIRST:
            self._first.append(value)
            middle = self._mean = median(self._first)
            spread = _SIGMA * median([abs(one - middle) for one in self._first])
            self._limit = middle + max(spread, 0.05 * abs(middle), 1e-12)
            return
        self._mean += 0.1 * (value - self._mean)

    @property
    def grown(self) -> bool:
        """Whether the mean of about the last twenty is above the first ten and their spread."""
        return self._mean > self._limit


def log_of(value: float) -> float:
    """The logarithm of a magnitude; zero and what underflows is held at 1e-300."""
    return math.log(value) if value > 1e-300 else -690.0


def ratio(high: float, low: float) -> float:
    """``high / low`` of two magnitudes, infinite where it cannot be said."""
    try:
        return high / low
    except (ZeroDivisionError, OverflowError):
        return math.inf if high > 0 else 0.0


def norm_of(values: list[float]) -> float:
    """The Euclidean norm of norms, without overflow."""
    return math.hypot(*values) if values else 0.0


def eased(before: float | None, value: float, weight: float) -> float:
    """The exponentially weighted mean after ``value``, which counts by ``weight``; the value itself at first."""
    return value if before is None else (1.0 - weight) * before + weight * value
