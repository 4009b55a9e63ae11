"""The interval of a mean difference by drawing the runs again and again, with replacement (Efron, 1979)."""

import math
from typing import Any

from .quantiles import normal_tail, t_quantile

RESAMPLES = 10_000


def bootstrap_interval(
    ours: list[float], theirs: list[float] | None, confidence: float, seed: list[int], resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """The expanded percentile interval of a mean, or of the difference of two means; None where nothing varies twice.

    The mean of n draws varies by the factor sqrt((n - 1) / n) too little, and Student's t has longer tails than the
    normal distribution; both are made up for by percentiles further out (Hesterberg, What teachers should know about
    the bootstrap, The American Statistician 69, 2015, section 4.3), for two means with the degrees of freedom of
    Welch (1947). No interval goes beyond the most extreme drawing: of n differences at .95 that takes n = 6.

    Args:
        ours: levels of runs, or differences of pairs; finite.
        theirs: levels of the other runs; None for pairs. A single run on one side is taken to vary as the other side
            does; the interval is then somewhat too narrow, as no drawing goes beyond what was seen.
        confidence: of the interval, between 0 and 1.
        seed: of the draws: equal seeds give equal intervals.
    """
    import numpy as np

    sides = [np.asarray(side, float) for side in (ours, theirs) if side is not None]
    sources = [side for side in sides if len(side) > 1]
    if not sources or any(not len(side) for side in sides):
        return None
    size = max(float(np.abs(side).max()) for side in sides) or 1.0
    sides = [side / size for side in sides]
    rests = [side - side.mean() for side in (side if len(side) > 1 else sources[0] / size for side in sides)]
    delta = float(sides[0].mean() - (sides[1].mean() if len(sides) > 1 else 0.0))
    tail = _tail([len(side) for side in sides], rests, confidence)
    if tail is None:
        return delta * size, delta * size
    draws: Any = delta
    rng = np.random.default_rng(seed)
    for sign, side, rest in zip((1.0, -1.0), sides, rests, strict=False):
        draws = draws + sign * rest[rng.integers(0, len(rest), (resamples, len(side)))].mean(axis=1)
    low, high = np.quantile(draws, (tail, 1.0 - tail))
    return float(low) * size, float(high) * size


def _tail(counts: list[int], rests: list[Any], confidence: float) -> float | None:
    """The share of the draws that is cut off on each side; None where no run differs from another."""
    drawn = [float((rest * rest).mean()) / count for count, rest in zip(counts, rests, strict=True)]
    wanted = [part * len(rest) / (len(rest) - 1) for part, rest in zip(drawn, rests, strict=True)]
    if math.fsum(drawn) <= 0.0:
        return None
    if min(counts) > 1 and len(counts) > 1:
        shares = [part / math.fsum(wanted) for part in wanted]
        freedom = 1.0 / math.fsum(share**2 / (count - 1) for share, count in zip(shares, counts, strict=True))
    else:
        freedom = len(rests[0]) - 1.0
    factor = math.sqrt(math.fsum(wanted) / math.fsum(drawn))
    return normal_tail(factor * t_quantile((1 + confidence) / 2, freedom))
