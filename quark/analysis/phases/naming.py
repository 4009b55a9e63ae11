"""Names the pieces of a loss: fast, slow, none at all, away from the best; and where validation leaves training."""

import math
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from ...records.literals import PhaseName
from ...records.thresholds import PhaseAnalyzerThresholds
from .bending import Fit, Piece, fit
from .curve import Curve
from .cutting import SHORTEST

LIKELY = 1.5
"""Standard errors from which a fall is taken for progress, however small."""

SURE = 2.5
"""Standard errors from which a rise of validation is taken for more than noise."""

CERTAIN = 4.0
"""Standard errors on either side of a rise that is divergence: it is the greatest of many that could be looked at."""

BRIEF = 0.15
"""Share of the run within which a flat or rising beginning is adaptation."""


SLOWER = 0.2
"""A beginning that falls by less than this share of what follows is adaptation too."""


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


def named(curve: Curve, course: Fit, limits: PhaseAnalyzerThresholds) -> tuple[Stretch, ...]:
    """The stretches of a curve, ``course`` being what it is below its noise; neighbours of one name joined."""
    if len(curve) * curve.points <= limits.initialization_points:
        first, last = float(curve.levels[0]), float(curve.levels[-1])
        return (Stretch("initialization_adaptation", 0, len(curve), last - first, first, last),)
    rates = _rates(curve, course.slopes)
    names: list[PhaseName] = [_name(rate, t, limits) for rate, t in zip(rates.tolist(), course.t.tolist(), strict=True)]
    for start, stop in _runaways(curve, course, limits):
        for block in range(start, stop):
            names[block] = "divergence"
    made: list[Stretch] = []
    level, start = course.levels, 0
    for name, places in groupby(names):
        stop = start + len(list(places))
        made.append(Stretch(name, start, stop, float(rates[start:stop].mean()), level[start], level[stop - 1]))
        start = stop
    made = _joined(_without_blips(made, len(curve)))
    return tuple(_joined(_adaptation(made, curve, limits)))


def _rates(curve: Curve, slopes: Any) -> Any:
    """Change per tenth of the run's steps; a piece of a metric that was logged more often does not count more."""
    import numpy as np

    whole = float(curve.last[-1] - curve.first[0])
    if len(curve) < 2 or whole <= 0:
        return np.zeros(len(curve))
    return slopes / np.gradient((curve.first + curve.last) / 2.0) * whole / 10.0


def _middle(curve: Curve, block: int) -> float:
    return (float(curve.first[block]) + float(curve.last[block])) / 2


def _improvement(share: float) -> float:
    """A relative improvement as a difference of logarithms."""
    return -math.log(max(1.0 - share, 1e-9))


def _name(rate: float, t: float, limits: PhaseAnalyzerThresholds) -> PhaseName:
    if abs(t) >= LIKELY and -rate >= _improvement(limits.rapid_learning_min_relative_change):
        return "rapid_learning"
    if abs(t) >= LIKELY and -rate > _improvement(limits.stagnation_max_relative_change):
        return "stabilization"
    return "stagnation"


def _runaways(curve: Curve, course: Fit, limits: PhaseAnalyzerThresholds) -> list[tuple[int, int]]:
    """The blocks of each divergence: pieces that rise or jump to far above the best, until the loss falls again."""
    made: list[tuple[int, int]] = []
    best, away = math.inf, False
    for place, piece in enumerate(course.pieces):
        jump = _believed_jump(course.pieces[place - 1], piece) if place else 0.0
        best = min(best, piece.at_start + CERTAIN * piece.start_error)
        if _diverges(piece, jump, best, limits, away):
            made.append((made.pop()[0] if away else piece.start, piece.stop))
            away = True
        else:
            away = False
        best = min(best, piece.low + CERTAIN * piece.end_error)
    rise = math.log1p(limits.divergence_min_relative_regression)
    return [(start, stop) for start, stop in made if _rise(curve.losses, start, stop) >= rise]


def _believed_jump(one: Piece, other: Piece) -> float:
    """By how much the level jumps between two pieces, as far as that is beyond doubt."""
    return other.at_start - one.low - CERTAIN * math.hypot(one.end_error, other.start_error)


def _diverges(piece: Piece, jump: float, best: float, limits: PhaseAnalyzerThresholds, before: bool) -> bool:
    """A believed rise or jump to far above the best; it lasts until the loss falls again."""
    rise = math.log1p(limits.divergence_min_relative_regression)
    far = max(piece.at_start, piece.at_end) - best >= math.log1p(limits.divergence_from_best_ratio)
    climbs = piece.change >= rise and piece.t >= CERTAIN + 1.0
    falls = piece.change < 0 and piece.t <= -SURE
    return far and (climbs or ((jump >= rise or before) and not falls))


def _rise(losses: Any, start: int, stop: int) -> float:
    """By how much the mean losses of a stretch rise above those before, each over a quarter of its blocks.

    The mean of logarithms rises also where noise only grows or loses its low values; the logarithm of means does not.
    """
    import numpy as np

    width = max((stop - start + 2) // 4, 1)
    sums = np.concatenate(([0.0], np.cumsum(losses[:stop])))
    means = (sums[width:] - sums[:-width]) / width
    highest = start + int(np.argmax(means[start:])) if start < len(means) else len(means) - 1
    return float(means[highest] - means[: max(highest - width + 1, 1)].min())


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

    So does a rise that is over nearly as soon, as after a restart of the learning rate. A last stretch that is so
    short is not yet a phase, unless it is divergence.
    """
    for place in range(len(made) - 2, 0, -1):
        one, after = made[place], made[place + 1]
        length = one.stop - one.start
        recovers = one.name == "divergence" and after.name in ("rapid_learning", "stabilization")
        if length < count / 20 or (recovers and length <= max(count / 20, SHORTEST)):
            made[place] = replace(one, name=after.name)
    if len(made) > 1 and made[-1].name != "divergence" and made[-1].stop - made[-1].start < count / 20:
        made[-1] = replace(made[-1], name=made[-2].name)
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


def departures(
    train: Curve, course: Fit, validation: Curve, limits: PhaseAnalyzerThresholds
) -> list[Departure]:  # fmt: skip
    """The stretches of the validation curve that are overfitting, ``course`` being ``train`` below its noise."""
    import numpy as np

    if train.positive != validation.positive or len(validation) < SHORTEST:
        return []
    steps = (train.first + train.last) / 2
    made: list[Departure] = []
    for start, stop, low, high in _rises(validation):
        at = [_middle(validation, start), _middle(validation, stop - 1)]
        before, after = (float(level) for level in np.interp(at, steps, course.levels))
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
    for one in fit(curve.levels).pieces:
        if one.change <= 0 or one.t < SURE:
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
