"""Whether a training made progress: without that the absence of alerts is no good health."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from . import roles
from .rules.base import number

if TYPE_CHECKING:
    from .analysis import Analysis
    from .course import Course

LEAST_VALUES = 5
LEAST_FALL = 0.03
"""A loss that fell by less than this share has not fallen."""

LEAST_GAIN = 0.1
"""An accuracy that rose by as much is progress, whatever the loss did; one that is high may be the share of a class."""

SHOWN = 5


def no_progress(analysis: "Analysis") -> str | None:
    """Why it is not known that the training made progress; None if it did."""
    course, key = analysis.seen.course, analysis.roles.key(roles.LOSS)
    accuracy = analysis.seen.best_accuracy
    if key is None:
        return _no_loss(analysis)
    if accuracy is not None and accuracy - (analysis.seen.first_accuracy or 0.0) >= LEAST_GAIN:
        return None
    if course.seen < LEAST_VALUES:
        return f"{key} has only {course.seen} finite values, and at least {LEAST_VALUES} are needed"
    if not _has_learned(course):
        first, last = _ends(course)
        return f"{key} has not fallen in its {course.count:,} values ({first} at first, {last} now)"
    classes = guessed_classes(course)
    if classes is not None and (accuracy is None or accuracy <= 1.5 / classes):
        return f"{key} is {number(course.loss_at(course.mean))}, which is that of guessing among {classes} classes"
    return None


def progress_words(analysis: "Analysis") -> str:
    """How far the loss has come, for a run in which nothing was found wrong."""
    course, key = analysis.seen.course, analysis.roles.key(roles.LOSS)
    first, last = _ends(course)
    return f"{key} went from {first} to {last} in {course.count:,} values"


def _has_learned(course: "Course") -> bool:
    """Whether the loss came down: slowly, from its first values, or in the very first step."""
    from_start, from_first = course.start - course.mean, course.first - course.mean
    slowly = has_fallen(course.blocks.values) or from_start > max(0.05, 2.0 * course.noise)
    return slowly or from_first > max(0.69, 3.0 * course.noise)


def _ends(course: "Course") -> tuple[str, str]:
    """The loss at the beginning and at the end of the run, each the mean of a twentieth of it."""
    levels = course.blocks.values or [course.level]
    width = max(1, len(levels) // 20)
    ends = math.fsum(levels[:width]) / width, math.fsum(levels[-width:]) / width
    return number(course.loss_at(ends[0])), number(course.loss_at(ends[1]))


def guessed_classes(course: "Course") -> int | None:
    """Among how many classes a network guesses whose loss has come to rest at this level; None if it does not."""
    later = course.blocks.values[len(course.blocks.values) // 2 :]
    if not course.positive or course.fallen <= 0.6 or has_fallen(later):
        return None
    loss = math.exp(course.mean) if course.mean < 700 else 0.0
    return next((classes for classes in range(2, 13) if abs(loss / math.log(classes) - 1.0) < 0.01), None)


def _no_loss(analysis: "Analysis") -> str:
    others = analysis.roles.without()
    validation = analysis.roles.key(roles.VALIDATION_LOSS)
    seen = [*([validation] if validation else []), *others]
    if not seen:
        return "no metric was recorded that could be the training loss"
    listed = ", ".join(seen[:SHOWN]) + (", ..." if len(seen) > SHOWN else "")
    return f"no metric is known to be the training loss (recorded: {listed}); name it with train_loss_metric_keys"


def has_fallen(levels: Sequence[float]) -> bool:
    """Whether the last third of a curve, on a logarithmic scale, lies below the first one by more than its noise."""
    count = len(levels)
    if count < LEAST_VALUES:
        return False
    third = max(1, count // 3)
    fall = (math.fsum(levels[:third]) - math.fsum(levels[-third:])) / third
    steps = [after - before for before, after in pairwise(levels)]
    usual = median(steps)
    noise = 1.05 * median([abs(step - usual) for step in steps])  # of one value: a difference has sqrt(2) times as much
    return fall > max(LEAST_FALL, 3.0 * noise * math.sqrt(2.0 / third))
