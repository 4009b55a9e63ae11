"""Cuts a noisy curve into straight pieces, whose number is found with it, even where the noise leans on itself.

The noise is taken as AR(1) within a piece. For each correlation of a grid the pieces of least squares of the
whitened curve (Prais and Winsten, 1954) are found by dynamic programming (Bellman, 1961; Bai and Perron, 2003), and of
all the likeliest is taken, a piece costing 3 ln n + 4 (Schwarz, 1978; Yao, 1988). Ignoring the correlation would cut
every excursion of the noise into a piece of its own (Chakar et al., 2017).
"""

import math
from dataclasses import dataclass
from typing import Any

CORRELATIONS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
MOST_PIECES = 10
SHORTEST = 3
"""Blocks of a piece at least."""

_FLOOR = 2e-4
"""Noise, as a share of the curve's range, below which pieces of a smooth curve are not told apart."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A straight piece: blocks ``start`` up to ``stop``, the fitted line, and how sure its slope is.

    Attributes:
        at_start, at_end: the line at the first and the last block.
        slope: per block.
        t: the slope in its standard errors, the correlation of the noise considered.
        start_error, end_error: standard errors of ``at_start`` and ``at_end``.
    """

    start: int
    stop: int
    at_start: float
    at_end: float
    slope: float
    t: float
    start_error: float = 0.0
    end_error: float = 0.0

    @property
    def low(self) -> float:
        """The level that it has come to for certain: where it falls, the line at three quarters of it.

        A line through a fall that bends into a floor ends below that floor.
        """
        return self.at_end if self.change >= 0 else self.at_start + 0.75 * self.change

    @property
    def change(self) -> float:
        """By how much the line rises from its first to its last block."""
        return self.at_end - self.at_start


def cut(levels: Any) -> tuple[Piece, ...]:
    """The straight pieces of a curve of at least one block.

    Args:
        levels: float64, one value a block, all finite, some hundred at most.
    """
    import numpy as np

    y = without_spikes(np.asarray(levels, dtype=float))
    count = len(y)
    if count < SHORTEST:
        return (Piece(0, count, float(y[0]), float(y[-1]), float(y[-1] - y[0]) / max(count - 1, 1), 0.0),)
    spread = float(np.ptp(y)) or 1.0
    shift = float(y[0])
    scaled = (y - shift) / spread
    # a curve whose range is rounding has no noise to speak of either
    floor = _FLOOR**2 + (1e-12 * (1.0 + abs(shift)) / spread) ** 2
    best: tuple[float, _Fits, list[int], float] | None = None
    for rho in CORRELATIONS if count >= 12 else CORRELATIONS[:1]:
        fits = _Fits(scaled, rho)
        for ends, squares in _divisions(fits.squares):
            pieces = len(ends)
            cost = count * math.log(squares / count + floor) + pieces * _price(count, rho)
            if best is None or cost < best[0]:
                best = (cost, fits, ends, squares)
    if best is None:
        raise RuntimeError("no division of a curve was found; this is a defect of Quark, please report it")
    _, fits, ends, squares = best
    variance = squares / max(count - 2 * len(ends), 1) + floor
    starts = [0, *ends[:-1]]
    return tuple(fits.piece(start, stop, variance, shift, spread) for start, stop in zip(starts, ends, strict=True))


def fitted(pieces: tuple[Piece, ...]) -> Any:
    """The lines of all pieces, one value a block."""
    import numpy as np

    return np.concatenate([np.linspace(piece.at_start, piece.at_end, piece.stop - piece.start) for piece in pieces])


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


class _Fits:
    """The least-squares line of every stretch of a curve whose noise has the correlation ``rho``.

    Attributes:
        squares: [count + 1, count + 1], the squared residuals of blocks i up to j; infinite for too short ones.
    """

    def __init__(self, y: Any, rho: float) -> None:
        import numpy as np

        count = len(y)
        x = np.arange(count, dtype=float) / count
        first = math.sqrt(1.0 - rho * rho)
        one = np.full(count, 1.0 - rho)
        columns = (one, x - rho * np.roll(x, 1), y - rho * np.roll(y, 1))
        heads = (np.full(count, first), first * x, first * y)
        self._sums: dict[tuple[int, int], Any] = {}
        for a in range(3):
            for b in range(a, 3):
                running = np.concatenate(([0.0], np.cumsum(columns[a] * columns[b])))
                head = heads[a] * heads[b]
                own = np.zeros((count + 1, count + 1))
                own[:-1] = running[None, :] - running[1:, None] + head[:, None]
                self._sums[a, b] = own
        lengths = np.arange(count + 1)[None, :] - np.arange(count + 1)[:, None]
        s = self._sums
        with np.errstate(all="ignore"):
            self._det = s[0, 0] * s[1, 1] - s[0, 1] ** 2
            self._slope = (s[0, 0] * s[1, 2] - s[0, 1] * s[0, 2]) / self._det
            self._level = (s[0, 2] - self._slope * s[0, 1]) / s[0, 0]
            squares = s[2, 2] - self._level * s[0, 2] - self._slope * s[1, 2]
        self._count = count
        self.squares = np.where(lengths >= SHORTEST, np.maximum(squares, 0.0), np.inf)
        self.squares[-1] = np.inf

    def piece(self, start: int, stop: int, variance: float, shift: float, spread: float) -> Piece:
        """The fitted line of blocks ``start`` up to ``stop`` in the units of the curve."""
        slope, level = float(self._slope[start, stop]), float(self._level[start, stop])
        ones, mixed, squares = (float(self._sums[which][start, stop]) for which in ((0, 0), (0, 1), (1, 1)))
        det = float(self._det[start, stop])
        error = math.sqrt(variance * ones / det)
        ends = [block / self._count for block in (start, stop - 1)]
        at = [shift + spread * (level + slope * x) for x in ends]
        wide = [spread * math.sqrt(max(variance * (squares - 2 * x * mixed + x * x * ones) / det, 0.0)) for x in ends]
        return Piece(start, stop, at[0], at[1], spread * slope / self._count, slope / error, wide[0], wide[1])


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
