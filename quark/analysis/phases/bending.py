"""Fits a noisy curve by straight stretches that jump, kink or bend softly into each other.

The curve is a sum of a line and, at each joint, a change of slope: sudden, or spread over some width as by a logistic
function, whose integral is taken (softplus; Dugas et al., 2001); or sudden with a jump of the level. An exponential
fall to a floor is, in the logarithm, exactly one soft bend. Joints are first those of separate straight pieces
(cutting.py) and are then moved, softened, dropped and added one at a time, each to its best place with the others held
(Friedman and Silverman, 1989), as long as that lowers the price: twice the negative log-likelihood of the AR(1) noise
with its variance unbiased, 2 ln n + 1 for a bend (1 more for a soft one) and 3 ln n + 4 for a jump (Schwarz, 1978).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from .cutting import CORRELATIONS, FEW, MOST_PIECES, SHORTEST, divided, noise_floor, without_spikes

WIDTHS = (0.0, 0.02, 0.04, 0.07, 0.12, 0.2)
"""Over which share of the curve a bend is spread; 0 is a kink."""

JUMP = len(WIDTHS)
"""The shape of a joint that is a kink and a jump."""

_ROUNDS = 8
_LEAST = 1e-6

Joint = tuple[int, int]
"""The first block after it, and its shape: the place of its width, or JUMP."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What lies between two joints: blocks ``start`` up to ``stop``, and how sure its slope is.

    Attributes:
        at_start, at_end: the fitted level at the first and the last block.
        t: the mean slope in its standard errors, the correlation of the noise considered.
        start_error, end_error: standard errors of ``at_start`` and ``at_end``.

    Where the noise of the piece is above that of the whole curve its own counts.
    """

    start: int
    stop: int
    at_start: float
    at_end: float
    t: float
    start_error: float = 0.0
    end_error: float = 0.0

    @property
    def low(self) -> float:
        """The level that it has come to for certain: where it falls, three quarters of the way.

        A line through a fall that bends into a floor ends below that floor.
        """
        return self.at_end if self.change >= 0 else self.at_start + 0.75 * self.change

    @property
    def change(self) -> float:
        """By how much the fitted level rises from the first to the last block."""
        return self.at_end - self.at_start


@dataclass(frozen=True, slots=True)
class Fit:
    """A curve without its noise.

    Attributes:
        pieces: between the joints.
        levels: float64, the fitted level of each block.
        slopes: float64, its change per block.
        t: float64, the slopes in their standard errors.
    """

    pieces: tuple[Piece, ...]
    levels: Any
    slopes: Any
    t: Any


def fit(levels: Any) -> Fit:
    """The course of a curve below its noise.

    Args:
        levels: float64, one value a block, all finite, at least one, some hundred at most.
    """
    import numpy as np

    y = without_spikes(np.asarray(levels, dtype=float))
    count = len(y)
    spread, shift = float(np.ptp(y)) or 1.0, float(y[0])
    if count < SHORTEST:
        slopes = np.full(count, (y[-1] - y[0]) / max(count - 1, 1))
        return Fit((Piece(0, count, shift, float(y[-1]), 0.0),), y, slopes, np.full(count, np.inf))
    scaled = (y - shift) / spread
    floor = noise_floor(shift, spread)
    ends, rho = divided(scaled, floor)
    joints: list[Joint] = [(end, JUMP) for end in ends[:-1]]
    best: tuple[float, _Search, list[Joint]] | None = None
    tried: set[float] = set()
    while rho not in tried and len(tried) < 3:
        tried.add(rho)
        search = _Search(scaled, rho, floor)
        price, joints = search.improved(joints)
        if best is None or price < best[0]:
            best = (price, search, joints)
        rho = _correlation(scaled, joints, floor) if count >= FEW else rho
    if best is None:
        raise RuntimeError("a curve could not be fitted; this is a defect of Quark, please report it")
    return best[1].fit(best[2], shift, spread)


@lru_cache(maxsize=4)
def _shapes(count: int) -> tuple[Any, Any]:
    """[block, shape, joint]: the course of every joint, the last shape being a mere step; and its slope."""
    import numpy as np

    away = (np.arange(count)[:, None] - np.arange(count)[None, :] + 0.5) / count
    after = (away > 0).astype(float)
    courses, slopes = [np.maximum(away, 0.0)], [after]
    for width in WIDTHS[1:]:
        courses.append(width * np.logaddexp(0.0, away / width))
        slopes.append(0.5 + 0.5 * np.tanh(away / (2.0 * width)))
    return np.stack([*courses, after], axis=1), np.stack([*slopes, np.zeros((count, count))], axis=1)


def _columns(table: Any, joints: list[Joint]) -> list[Any]:
    made: list[Any] = []
    for block, shape in joints:
        made.append(table[:, 0 if shape == JUMP else shape, block])
        if shape == JUMP:
            made.append(table[:, JUMP, block])
    return made


def _whitened(rows: Any, rho: float) -> Any:
    """AR(1) noise made white (Prais and Winsten, 1954)."""
    made = rows.copy()
    made[1:] -= rho * rows[:-1]
    made[0] *= math.sqrt(1.0 - rho * rho)
    return made


def _design(count: int, joints: list[Joint]) -> Any:
    import numpy as np

    return np.stack([np.ones(count), np.arange(count) / count, *_columns(_shapes(count)[0], joints)], axis=1)


def _correlation(y: Any, joints: list[Joint], floor: float) -> float:
    """The likeliest correlation of the noise around a course with these joints."""
    import numpy as np

    design = _design(len(y), joints)

    def price(rho: float) -> float:
        own, columns = _whitened(y, rho), _whitened(design, rho)
        rest = own - columns @ np.linalg.lstsq(columns, own, rcond=None)[0]
        return _price(float(rest @ rest), len(y), joints, rho, floor)

    return min(CORRELATIONS, key=price)


def _price(squares: float, count: int, joints: list[Joint], rho: float, floor: float) -> float:
    log = math.log(count)
    paid, free = 0.0, count - 2
    for _, shape in joints:
        paid += 3.0 * log + 4.0 if shape == JUMP else 2.0 * log + (2.0 if shape else 1.0)
        free -= 3 if shape == JUMP else 2
    unbiased = max(squares, 0.0) / count + floor
    return count * (math.log(unbiased) + math.log(count / max(free, 0.5))) + paid - math.log(1.0 - rho * rho)


class _Search:
    """Looks for the joints of a curve (scaled to a range of 1) whose noise has the correlation ``rho``."""

    def __init__(self, y: Any, rho: float, floor: float) -> None:
        import numpy as np

        self._count = len(y)
        self._rho, self._floor = rho, floor
        self._y = _whitened(y, rho)
        self._line = _whitened(_design(len(y), []), rho)
        self._table = _whitened(_shapes(len(y))[0], rho)
        self._all = self._table.reshape(len(y), -1)
        self._sizes = np.square(self._all).sum(axis=0)
        self._mixed = (self._table[:, 0] * self._table[:, JUMP]).sum(axis=0)

    def improved(self, joints: list[Joint]) -> tuple[float, list[Joint]]:
        """The joints after every change that lowers the price, and the price."""
        import numpy as np

        columns = self._whitened_design(joints)
        rest = self._y - columns @ np.linalg.lstsq(columns, self._y, rcond=None)[0]
        price = self._price(float(rest @ rest), joints)
        for _ in range(_ROUNDS):
            before = price
            for moved in [*joints, None]:  # the last turn moves none and may add one
                found, changed = self._best([joint for joint in joints if joint != moved])
                if found < price - _LEAST:
                    price, joints = found, changed
            if price >= before - _LEAST:
                break
        return price, joints

    def _price(self, squares: float, joints: list[Joint]) -> float:
        return _price(squares, self._count, joints, self._rho, self._floor)

    def _whitened_design(self, joints: list[Joint]) -> Any:
        import numpy as np

        return np.concatenate([self._line, *(one[:, None] for one in _columns(self._table, joints))], axis=1)

    def _best(self, held: list[Joint]) -> tuple[float, list[Joint]]:
        """The price with these joints, and with the one joint more that is best, if that is cheaper."""
        import numpy as np

        basis, _ = np.linalg.qr(self._whitened_design(held))
        rest = self._y - basis @ (basis.T @ self._y)
        squares = float(rest @ rest)
        best = (self._price(squares, held), list(held))
        room = np.zeros(self._count, dtype=bool)
        room[SHORTEST : self._count - SHORTEST + 1] = True
        for block, _ in held:
            room[max(block - SHORTEST + 1, 0) : block + SHORTEST] = False
        if not room.any() or len(held) >= MOST_PIECES - 1:
            return best
        gains = np.where(room, self._gains(basis, rest), -1.0)
        for shape, block in enumerate(gains.argmax(axis=1).tolist()):
            more = sorted([*held, (block, shape)])
            price = self._price(squares - float(gains[shape, block]), more)
            if price < best[0]:
                best = (price, more)
        return best

    def _gains(self, basis: Any, rest: Any) -> Any:
        """[shape, block]: by how much one joint more lowers the squares."""
        import numpy as np

        inside = basis.T @ self._all
        left = (self._sizes - np.square(inside).sum(axis=0)).reshape(JUMP + 1, -1)
        toward = (rest @ self._all).reshape(JUMP + 1, -1)
        sizes = self._sizes.reshape(JUMP + 1, -1)
        new = left > 1e-9 * sizes
        gains = np.where(new, np.square(toward) / np.where(new, left, 1.0), 0.0)
        # a jump is a step beside a kink: what the step does beyond the kink
        inside = inside.reshape(len(inside), JUMP + 1, -1)
        share = (self._mixed - (inside[:, 0] * inside[:, JUMP]).sum(axis=0)) / np.where(new[0], left[0], np.inf)
        beyond = left[JUMP] - share * share * np.where(new[0], left[0], 0.0)
        own = beyond > 1e-9 * sizes[JUMP]
        step = np.square(toward[JUMP] - share * toward[0]) / np.where(own, beyond, 1.0)
        gains[JUMP] = gains[0] + np.where(own, step, 0.0)
        return gains

    def fit(self, joints: list[Joint], shift: float, spread: float) -> Fit:
        """The course with these joints in the units of the curve."""
        import numpy as np

        count = self._count
        columns = self._whitened_design(joints)
        found = np.linalg.lstsq(columns, self._y, rcond=None)[0]
        squares = np.square(self._y - columns @ found)
        variance = float(squares.sum()) / max(count - columns.shape[1], 1) + self._floor
        covariance = variance * np.linalg.pinv(columns.T @ columns)
        design = _design(count, joints)
        tilts = np.stack([np.zeros(count), np.ones(count), *_columns(_shapes(count)[1], joints)], axis=1)
        levels, slopes = shift + spread * (design @ found), spread * (tilts @ found) / count

        def errors(rows: Any) -> Any:
            return spread * np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, covariance, rows), 1e-300))

        wide, steep = errors(design), errors(tilts) / count
        bounds = [0, *(block for block, _ in joints), count]
        made: list[Piece] = []
        for start, stop in pairwise(bounds):
            own = (float(squares[start:stop].sum()) + 2.0 * variance) / (stop - start + 2)
            louder = math.sqrt(max(own / variance, 1.0))
            first, last = float(levels[start]), float(levels[stop - 1])
            t = (last - first) / (stop - start - 1) / (float(steep[(start + stop) // 2]) * louder)
            made.append(Piece(start, stop, first, last, t, float(wide[start]) * louder, float(wide[stop - 1]) * louder))
        return Fit(tuple(made), levels, slopes, slopes / steep)
