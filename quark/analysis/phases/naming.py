"""Names the pieces of a loss: fast, slow, none at all, away from the best; and where validation leaves training."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ...records.literals import PhaseName
from ...records.thresholds import PhaseAnalyzerThresholds
from .curve import Curve
from .cutting import SHORTEST, Piece, cut, fitted

LIKELY = 1.5
"""Standard errors from which a fall is taken for progress, however small."""

SURE = 2.5
"""Standard errors from which a rise is taken for more than noise."""

BRIEF = 0.15
"""Share of the run within which a flat or rising beginning is adaptation."""


SLOWER = 0.2
"""A beginning that falls by less than this share of what follows is adaptation too."""


DECAYS = (0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 15.0, 25.0)
"""Exponential decays over a stretch, of which the one that fits a smooth bend best is taken."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Blocks ``start`` up to ``stop`` of a curve that go by one name.

    Attributes:
        rate: change of the fitted level per tenth of the run; below zero is better.
        first_level, last_level: the fitted level at its two ends.
    """

    name: PhaseName
    start: int
    stop: int
    rate: float
    first_level: float
    last_level: float


def named(curve: Curve, limits: PhaseAnalyzerThresholds) -> tuple[Stretch, ...]:
    """The stretches of a curve, neighbours of one name joined."""
    if len(curve) * curve.points <= limits.initialization_points:
        first, last = float(curve.levels[0]), float(curve.levels[-1])
        return (Stretch("initialization_adaptation", 0, len(curve), last - first, first, last),)
    pieces = cut(curve.levels)
    best = math.inf
    made: list[Stretch] = []
    away = False
    for place, piece in enumerate(pieces):
        rate = _rate(curve, piece)
        jump = _believed_jump(pieces[place - 1], piece) if place else 0.0
        best = min(best, piece.at_start + SURE * piece.start_error)
        away = _diverges(piece, jump, best, limits, away)
        name = "divergence" if away else _name(rate, piece, limits)
        made.append(Stretch(name, piece.start, piece.stop, rate, piece.at_start, piece.at_end))
        best = min(best, piece.low + SURE * piece.end_error)
    made = _with_smooth_joints(_joined(made), curve, fitted(pieces), limits)
    made = _without_blips(_adaptation(made, curve, limits), len(curve))
    return tuple(_joined(made))


def _believed_jump(one: Piece, other: Piece) -> float:
    """By how much the level jumps between two pieces, as far as that is beyond doubt."""
    return other.at_start - one.low - SURE * math.hypot(one.end_error, other.start_error)


def _rate(curve: Curve, piece: Piece) -> float:
    """Change per tenth of the run's steps; a piece of a metric that was logged more often does not count more."""
    whole = float(curve.last[-1] - curve.first[0])
    own = float(_middle(curve, piece.stop - 1) - _middle(curve, piece.start))
    return 0.0 if own <= 0 or whole <= 0 else piece.change / own * whole / 10


def _middle(curve: Curve, block: int) -> float:
    return (float(curve.first[block]) + float(curve.last[block])) / 2


def _improvement(share: float) -> float:
    """A relative improvement as a difference of logarithms."""
    return -math.log(max(1.0 - share, 1e-9))


def _name(rate: float, piece: Piece, limits: PhaseAnalyzerThresholds) -> PhaseName:
    believed = abs(piece.t) >= LIKELY or piece.stop - piece.start < SHORTEST
    if believed and -rate >= _improvement(limits.rapid_learning_min_relative_change):
        return "rapid_learning"
    if believed and -rate > _improvement(limits.stagnation_max_relative_change):
        return "stabilization"
    return "stagnation"


def _diverges(piece: Piece, jump: float, best: float, limits: PhaseAnalyzerThresholds, before: bool) -> bool:
    """A believed rise or jump to far above the best; it lasts until the loss falls again."""
    rise = math.log1p(limits.divergence_min_relative_regression)
    far = max(piece.at_start, piece.at_end) - best >= math.log1p(limits.divergence_from_best_ratio)
    climbs = piece.change >= rise and piece.t >= SURE + 1.0
    falls = piece.change < 0 and piece.t <= -SURE
    return far and (climbs or ((jump >= rise or before) and not falls))


def _with_smooth_joints(
    made: list[Stretch], curve: Curve, lines: Any, limits: PhaseAnalyzerThresholds
) -> list[Stretch]:
    """Where a curve bends smoothly two lines meet anywhere near: the bound goes to where the slope passes the limit."""
    rapid, slow = (
        -_improvement(share)
        for share in (limits.rapid_learning_min_relative_change, limits.stagnation_max_relative_change)
    )
    between = {frozenset(("rapid_learning", "stabilization")): rapid, frozenset(("stabilization", "stagnation")): slow}
    out = list(made)
    for place in range(len(made) - 1):
        limit = between.get(frozenset((made[place].name, made[place + 1].name)))
        bound = None if limit is None else _crossing(curve, lines, made[place], made[place + 1], limit)
        if bound is not None:
            out[place] = replace(out[place], stop=bound)
            out[place + 1] = replace(out[place + 1], start=bound)
    return out


def _crossing(curve: Curve, lines: Any, one: Stretch, other: Stretch, limit: float) -> int | None:
    """The block at which the smooth curve through both stretches has the slope ``limit``; None if lines fit better.

    The smooth curve is a line and an exponential, a + b x + c exp(-d x), with the d of the least squares.
    """
    import numpy as np

    start, stop = one.start, other.stop
    if stop - start < 2 * SHORTEST:
        return None
    whole = float(curve.last[-1] - curve.first[0]) or 1.0
    tenths = (curve.first + curve.last)[start:stop] / 2 / whole * 10
    x, y = tenths - tenths[0], curve.levels[start:stop]
    straight = float(np.square(y - lines[start:stop]).sum())
    best, slopes = straight, None
    for decay in DECAYS:
        falling = np.exp(-decay * x / x[-1])
        columns = np.stack([np.ones_like(x), x, falling], axis=1)
        found = np.linalg.lstsq(columns, y, rcond=None)[0]
        squares = float(np.square(y - columns @ found).sum())
        if squares <= best:
            best, slopes = squares, found[1] - found[2] * decay / x[-1] * falling
    if slopes is None:
        return None
    before = slopes < limit if slopes[0] < slopes[-1] else slopes > limit
    low, high = (one.start + one.stop) // 2 + 1, (other.start + other.stop) // 2
    return int(np.clip(start + int(before.sum()), low, max(low, high)))


def _adaptation(made: list[Stretch], curve: Curve, limits: PhaseAnalyzerThresholds) -> list[Stretch]:
    """A short first stretch with next to no progress, before one with progress, is the start-up."""
    if len(made) < 2 or made[1].name not in ("rapid_learning", "stabilization"):
        return made
    first = made[0]
    short = first.stop <= max(BRIEF * len(curve), limits.initialization_points / curve.points)
    slow = -first.rate <= SLOWER * -made[1].rate
    if short and (slow or first.name in ("stagnation", "divergence")):
        made[0] = replace(first, name="initialization_adaptation")
    return made


def _without_blips(made: list[Stretch], count: int) -> list[Stretch]:
    """A jump is no phase: what is over within a twentieth of the run goes by the name of what follows it.

    So does a rise that is over nearly as soon, as after a restart of the learning rate.
    """
    for place in range(len(made) - 2, 0, -1):
        one, after = made[place], made[place + 1]
        length = one.stop - one.start
        recovers = one.name == "divergence" and after.name in ("rapid_learning", "stabilization")
        if length < count / 20 or (recovers and length <= max(count / 20, SHORTEST)):
            made[place] = replace(one, name=after.name)
    return made


def _joined(made: list[Stretch]) -> list[Stretch]:
    out: list[Stretch] = []
    for one in made:
        if out and out[-1].name == one.name:
            before = out[-1]
            share = (before.stop - before.start) / (one.stop - before.start)
            rate = before.rate * share + one.rate * (1 - share)
            out[-1] = Stretch(one.name, before.start, one.stop, rate, before.first_level, one.last_level)
        else:
            out.append(one)
    return out


@dataclass(frozen=True, slots=True)
class Departure:
    """Validation rises while training falls.

    Attributes:
        start, stop: blocks of the validation curve.
        regression: by how much validation rose, improvement: by how much training fell, gap: how far validation is
            above training at the end; differences on the scale of the curves.
    """

    start: int
    stop: int
    regression: float
    improvement: float
    gap: float


def departures(train: Curve, validation: Curve, limits: PhaseAnalyzerThresholds) -> list[Departure]:
    """The stretches of the validation curve that are overfitting."""
    import numpy as np

    if train.positive != validation.positive or len(validation) < SHORTEST:
        return []
    steps = (train.first + train.last) / 2
    course = fitted(cut(train.levels))
    made: list[Departure] = []
    for start, stop, low, high in _rises(validation):
        at = [_middle(validation, start), _middle(validation, stop - 1)]
        before, after = (float(level) for level in np.interp(at, steps, course))
        one = Departure(start, stop, high - low, before - after, high - after)
        if (
            one.regression >= math.log1p(limits.overfitting_min_validation_regression)
            and one.improvement >= _improvement(limits.overfitting_min_train_relative_change)
            and one.gap >= math.log1p(limits.overfitting_min_gap)
        ):
            made.append(one)
    return made


def _rises(curve: Curve) -> list[tuple[int, int, float, float]]:
    """Where a curve rises beyond doubt: blocks, and the level at both ends; rises that follow each other are one."""
    if len(curve) < 3 * SHORTEST:
        return _rise_of_few(curve)
    made: list[tuple[int, int, float, float]] = []
    for one in cut(curve.levels):
        if one.slope <= 0 or one.t < SURE:
            continue
        if made and made[-1][1] == one.start:
            made[-1] = (made[-1][0], one.stop, made[-1][2], one.at_end)
        else:
            made.append((one.start, one.stop, one.at_start, one.at_end))
    return made


def _rise_of_few(curve: Curve) -> list[tuple[int, int, float, float]]:
    """Too few values for a line: a rise is one that goes on from the lowest value to the end, three values at least."""
    low = int(curve.levels.argmin())
    tail: list[Any] = curve.levels[low:].tolist()
    if len(tail) <= SHORTEST or any(later <= earlier for earlier, later in pairwise(tail)):
        return []
    return [(low, len(curve), tail[0], tail[-1])]
