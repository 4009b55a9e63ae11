"""Cuts a noisy curve into straight pieces, whose number is found with it, even where the noise leans on itself.

The noise is taken as AR(1) within a piece. For each correlation of a grid the pieces of least squares of the
whitened curve (Prais and Winsten, 1954) are found by dynamic programming (Bellman, 1961; Bai and Perron, 2003), and of
all the likeliest is taken, a piece costing 3 ln n + 4 (Schwarz, 1978; Yao, 1988). Ignoring the correlation would cut
every excursion of the noise into a piece of its own (Chakar et al., 2017).
"""

import math
from typing import Any

CORRELATIONS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
MOST_PIECES = 10
SHORTEST = 3
"""Blocks of a piece at least."""

FEW = 12
"""Blocks below which noise is taken for uncorrelated: so few do not tell."""

_FLOOR = 2e-4
"""Noise, as a share of the curve's range, below which pieces of a smooth curve are not told apart."""


def noise_floor(shift: float, spread: float) -> float:
    """The variance, in squares of ``spread``, below which noise is not believed.

    Args:
        shift: a level of the curve. A curve whose range is rounding has no noise to speak of either.
        spread: its range.
    """
    return _FLOOR**2 + (1e-12 * (1.0 + abs(shift)) / spread) ** 2


def divided(scaled: Any, floor: float) -> tuple[list[int], float]:
    """Where the straight pieces of a curve end, and the correlation of its noise.

    Args:
        scaled: float64, three values at least, some hundred at most, of a range of 1.
        floor: variance of the noise at least.
    """
    count = len(scaled)
    best: tuple[float, list[int], float] = (math.inf, [count], 0.0)
    for rho in CORRELATIONS if count >= FEW else CORRELATIONS[:1]:
        for ends, squares in _divisions(_squares(scaled, rho)):
            cost = count * math.log(squares / count + floor) + len(ends) * _price(count, rho)
            best = min(best, (cost, ends, rho))
    return best[1:]


def _price(count: int, rho: float) -> float:
    return 3.0 * math.log(count) + 4.0 - math.log(1.0 - rho * rho)


def without_spikes(y: Any) -> Any:
    """The curve with single values far from their neighbours replaced by the median of five (Hampel, 1974)."""
    import numpy as np

    if len(y) < 9:
        return y
    middle = y.copy()
    middle[2:-2] = np.median(np.lib.stride_tricks.sliding_window_view(y, 5), axis=1)
    away = np.abs(y - middle)
    usual = 1.4826 * float(np.median(away[2:-2]))
    return np.where(away > 6.0 * usual + 1e-9 * (1.0 + np.abs(middle)), middle, y) if usual > 0 else y


def _squares(y: Any, rho: float) -> Any:
    """[first, end]: the squared residuals of the line through blocks ``first`` up to ``end``, the noise being AR(1).

    Infinite for pieces that are too short.
    """
    import numpy as np

    count = len(y)
    x = np.arange(count, dtype=float) / count
    first = math.sqrt(1.0 - rho * rho)
    columns = (np.full(count, 1.0 - rho), x - rho * np.roll(x, 1), y - rho * np.roll(y, 1))
    heads = (np.full(count, first), first * x, first * y)
    s: dict[tuple[int, int], Any] = {}
    for a in range(3):
        for b in range(a, 3):
            running = np.concatenate(([0.0], np.cumsum(columns[a] * columns[b])))
            own = np.zeros((count + 1, count + 1))
            own[:-1] = running[None, :] - running[1:, None] + (heads[a] * heads[b])[:, None]
            s[a, b] = own
    lengths = np.arange(count + 1)[None, :] - np.arange(count + 1)[:, None]
    with np.errstate(all="ignore"):
        slope = (s[0, 0] * s[1, 2] - s[0, 1] * s[0, 2]) / (s[0, 0] * s[1, 1] - s[0, 1] ** 2)
        level = (s[0, 2] - slope * s[0, 1]) / s[0, 0]
        squares = s[2, 2] - level * s[0, 2] - slope * s[1, 2]
    made = np.where(lengths >= SHORTEST, np.maximum(squares, 0.0), np.inf)
    made[-1] = np.inf
    return made


def _divisions(squares: Any) -> "list[tuple[list[int], float]]":
    """The best division into 1, 2, ... pieces: where each ends, and the squared residuals."""
    import numpy as np

    last = squares.shape[0] - 1
    reached = squares[0].copy()
    came: list[Any] = []
    made: list[tuple[list[int], float]] = []
    for pieces in range(1, min(MOST_PIECES, last // SHORTEST) + 1):
        if pieces > 1:
            all_ways = reached[:, None] + squares
            origin = np.argmin(all_ways, axis=0)
            came.append(origin)
            reached = all_ways[origin, np.arange(last + 1)]
        ends = [last]
        for origins in reversed(came):
            ends.append(int(origins[ends[-1]]))
        made.append((ends[::-1], float(reached[last])))
    return made
