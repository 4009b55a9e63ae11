"""Rules that look at the course of the loss: spikes, steps of a wrong size, no progress."""

import math
from collections import deque

from ...records.thresholds import AnalyzerEngineConfig
from ..blocks import line_through
from ..frames import Frame
from ..latch import Latch
from ..robust import norm_of, ratio
from .base import LOSS, OTHER, PROBE, Rule, Seen, evidence, number


class LossSpike(Rule):
    """The loss jumps far above its usual course, and comes back, stays, or runs away.

    Sees: the training loss.

    Decides: a loss more than 6 scales above its usual level (in logarithms) and more than twice it is a spike. It is
    a warning at once if it is of the size that the loss had in the beginning, else information. 50 steps later it is
    called recovered, lingering (still twice as high: warning) or divergent (four times as high and above the
    beginning: error). A spike right behind a jump of the learning rate is a restart and is not reported.

    Source: Chowdhery et al., PaLM, section 5.1, 2022 (spikes, and skipping the batches around them).
    """

    name = "loss_spike"
    topics = frozenset((LOSS,))
    needs = "a training loss of at least 12 points"
    consequence = "A short spike costs some steps; one that stays has moved the weights somewhere worse."
    actions = (
        "Look at the batches of these steps: a broken sample, a wrong label, a wrong scale.",
        "Clip the gradient norm.",
        "If it stays, go back to the checkpoint before it and skip these batches.",
    )  # fmt: skip
    clears = "Fifty steps at the usual level."
    AFTER = 50

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._left = 0
        self._before = 0.0
        self._top = 0.0
        self._at: int | None = None
        self._rate: float | None = None
        self._restarted = -1000
        self._calm = deque(maxlen=5)  # type: deque[float]

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if seen.learning_rate is not None:
            if self._rate is not None and self._rate > 0 and seen.learning_rate > 1.5 * self._rate:
                self._restarted = seen.steps
            self._rate = seen.learning_rate
        if seen.loss is None or not course.usual.ready:
            return
        self.judged = True
        if self._left:
            self._watch(frame, seen)
            return
        if course.count <= 13 or course.z <= 6.0 or course.level - self._usual(course.level) <= 0.69:
            self._calm.append(course.level)
            return
        if seen.steps - self._restarted > 20:
            self._begin(frame, seen)

    def _usual(self, level: float) -> float:
        return sorted(self._calm)[len(self._calm) // 2] if self._calm else level

    def _begin(self, frame: Frame, seen: Seen) -> None:
        course = seen.course
        self._before, self._top, self._at = self._usual(course.level), course.level, frame.step
        self._left = self.AFTER
        times = math.exp(min(course.level - self._before, 700.0))
        high = course.level > course.start - 1.2
        self.alert(
            frame, "warning" if high else "info", subject=seen.roles.key("loss"),
            title=f"The loss jumped to {number(times)} times its usual level",
            fact=f"The loss was {number(course.value)} at step {frame.step}, {number(times)} times what is usual and "
            f"{number(course.z)} scales above it.",
            inference="A bad batch, or a step that was too large.",
            evidence=[evidence("metric", seen.roles.key("loss") or "loss", "relative: scales above the usual level",
                               course.z, 6.0, frame.step, frame.step)],
        )  # fmt: skip

    def _watch(self, frame: Frame, seen: Seen) -> None:
        course = seen.course
        self._top = max(self._top, course.level)
        self._left -= 1
        recent = course.mean - self._before
        if not self._left:
            self._end(frame, seen, recent)

    def _end(self, frame: Frame, seen: Seen, recent: float) -> None:
        course = seen.course
        if recent > 1.386 and course.mean > course.start:
            severity, word = "error", "divergent"
        elif recent > 0.69:
            severity, word = "warning", "lingering"
        else:
            self.clear()
            return
        times = math.exp(min(recent, 700.0))
        self.alert(
            frame, severity, subject=seen.roles.key("loss"), since=self._at,
            title=f"The loss has not come back from its jump ({word})",
            fact=f"{self.AFTER} steps after the jump at step {self._at} the loss is {number(times)} times what it was.",
            inference="The weights were moved to a worse place.",
            evidence=[evidence("metric", seen.roles.key("loss") or "loss", f"relative: level after the jump, {word}",
                               times, 2.0, self._at, frame.step)],
        )  # fmt: skip
        self.clear()


class LearningRateTooHigh(Rule):
    """Steps are so large that the loss does not fall, or rises.

    Sees: norms of updates and weights, the training loss.

    Decides: while the loss is above 0.9 of its beginning, after 20 steps, the exponentially weighted mean of |dw|/|w|
    over all weights is above 3 % a step in 8 of 10 looks, or the weights have grown to five times their first norm in
    4 of 6 and the loss is not below the very first one; or the mean loss stands above 1.5 times its beginning,
    or above three times its best and above half of its beginning, for 20 steps, and by more than its noise explains.
    Losses that are not positive have no such shares: there only the updates are judged.
    """

    name = "lr_too_high"
    topics = frozenset((LOSS, PROBE))
    needs = "a training loss"
    consequence = "The run wanders or diverges instead of learning."
    actions = (
        "Divide the learning rate by 3 to 10.",
        "Lengthen the warm-up.",
        "Clip the gradient norm.",
    )  # fmt: skip
    clears = "A mean loss below 0.9 of its beginning."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._moved: float | None = None
        self._weight = 0.0
        self._fast = Latch(8, 10, 10)
        self._swollen = Latch(4, 6, 10)
        self._high = 0
        self._since: int | None = None

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if frame.parameters:
            self._updates(frame, seen)
        if seen.loss is None or not course.known or not course.positive:
            return
        self.judged = True
        over = course.mean - course.start
        noise = course.noise
        far = over > 0.405 + 2.0 * noise or (course.mean - course.best > 1.1 + noise and over > -0.69)
        if not far:
            self._high = 0
            if course.learning:
                self.clear()
            return
        self._high += 1
        if self._high == 1:
            self._since = frame.step
        if self._high >= 20:
            times = math.exp(min(course.mean - course.best, 700.0))
            self.alert(
                frame, "error", since=self._since, subject=seen.roles.key("loss"),
                title="The loss rises and does not come back",
                fact=f"For 20 steps the mean loss has been {number(times)} times its best.",
                inference="The steps are too large for this loss.",
                evidence=[evidence("metric", seen.roles.key("loss") or "loss", "relative: mean loss by its best", times,
                                   1.5, self._since, frame.step)],
            )  # fmt: skip

    def _updates(self, frame: Frame, seen: Seen) -> None:
        updates = [one.update_norm for one in frame.parameters if one.update_norm is not None]
        weight = norm_of([one.weight_norm for one in frame.parameters if one.weight_norm is not None])
        if not updates or weight <= 0.0:
            return
        moved = ratio(norm_of(updates), weight)
        self._moved = moved if self._moved is None else 0.7 * self._moved + 0.3 * moved
        self._weight = self._weight or weight
        course = seen.course
        grown = ratio(weight, self._weight)
        poor = course.known and course.fallen > 0.9
        fast = self._fast.see(poor and self._moved > 0.03)
        worse_off = course.known and course.mean > course.first - 0.1
        swollen = self._swollen.see(worse_off and grown > 5.0)
        if ((fast and poor) or (swollen and worse_off)) and course.seen >= 20:
            self.alert(
                frame, "warning", subject="learning rate", title="Large steps, and the loss does not fall",
                fact=f"A step changes the weights by {self._moved:.1%} of their norm, which is {number(grown)} times "
                f"that of the first look; the loss is at {course.fallen:.0%} of its beginning.",
                inference="The learning rate is too high.",
                evidence=[evidence("parameter", "all parameters", "relative: norm of the update by that of the weights",
                                   self._moved, 0.03, None, frame.step),
                          evidence("parameter", "all parameters", "relative: norm of the weights by the first one",
                                   grown, 5.0, None, frame.step)],
            )  # fmt: skip


class LearningRateTooLow(Rule):
    """Steps are so small that nothing is learned.

    Sees: norms of updates and weights, the training loss, the learning rate if it is logged.

    Decides: the weighted mean of |dw|/|w| over all weights is below 1e-5 while the loss is above 0.9 of its
    beginning after 25 steps, in 4 of 5 looks. While the learning rate still rises it is a warm-up.
    """

    name = "lr_too_low"
    topics = frozenset((LOSS, PROBE))
    needs = "summaries of parameters with their updates, and a training loss"
    consequence = "The run spends its time and ends where it began."
    actions = (
        "Multiply the learning rate by 10 and look again.",
        "Check the schedule: a warm-up that never ends, a decay that began too early.",
    )  # fmt: skip
    clears = "A loss below 0.9 of its beginning, or larger updates."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._moved: float | None = None
        self._slow = Latch(4, 5, 3)
        self._rate: float | None = None
        self._rising = False

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if seen.learning_rate is not None:
            if self._rate is not None and seen.learning_rate != self._rate:
                self._rising = seen.learning_rate > self._rate
            self._rate = seen.learning_rate
        updates = [one.update_norm for one in frame.parameters if one.update_norm is not None]
        if not updates:
            return
        course = seen.course
        self.judged = self.judged or course.count > 0
        weight = norm_of([one.weight_norm for one in frame.parameters if one.weight_norm is not None])
        moved = ratio(norm_of(updates), weight)
        self._moved = moved if self._moved is None else 0.7 * self._moved + 0.3 * moved
        hit = self._moved < 1e-5 and course.known and course.fallen > 0.9 and not self._rising and course.seen >= 25
        if self._slow.see(hit) and hit:
            self.alert(
                frame, "warning", subject="learning rate", title="Tiny steps, and the loss does not fall",
                fact=f"A step changes the weights by {number(self._moved)} of their norm; after {course.seen} losses "
                f"the loss is at {course.fallen:.0%} of its beginning.",
                inference="The learning rate is too low.",
                evidence=[evidence("parameter", "all parameters", "relative: norm of the update by that of the weights",
                                   self._moved, 1e-5, None, frame.step)],
            )  # fmt: skip
        elif not self._slow.raised:
            self.clear()


class NoLearning(Rule):
    """The loss does not fall at all.

    Sees: the training loss, and an accuracy if there is one.

    Decides: after 100 losses and an epoch the mean loss is above 0.8 of its beginning (0.6 if it is within 1 % of
    ln C, which is what guessing among C classes costs, for C up to 12), and since the first 15 % of the
    run, in which the last layer learns how frequent the classes are, it has no significant downward slope (t > -3 of
    a line through the block means of its logarithm) and fell by less than 3 %, in 3 looks ten losses apart. Silent
    when an accuracy says that the network can do the task already, and when another rule knows the cause.
    """

    name = "no_learning"
    topics = frozenset((LOSS,))
    needs = "a positive training loss of at least 100 points"
    consequence = "The run ends where it began."
    actions = (
        "Check that inputs and targets belong together: a shuffle of one of them is the classic.",
        "Overfit a single batch; if that fails too, look at the loss function and the graph.",
        "Vary the learning rate by factors of 10.",
    )  # fmt: skip
    clears = "A mean loss below 0.8 of its beginning, or a significant fall."
    AFTER = 100
    CAUSES = frozenset((
        "lr_too_high", "lr_too_low", "vanishing_gradients", "exploding_gradients", "nonfinite_values",
        "parameters_not_optimized", "activation_collapse",
    ))  # fmt: skip

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._due = self.AFTER
        self._flat = 0
        self._epochs: set[int] = set()
        self._accuracy = 0.0

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if len(self._epochs) < 3 and frame.epoch is not None:
            self._epochs.add(frame.epoch)
        for accuracy in (seen.accuracy, seen.validation_accuracy):
            if accuracy is not None:
                self._accuracy = accuracy / 100.0 if accuracy > 1.0 else accuracy
        if seen.loss is None or course.seen < self._due or not course.positive:
            return
        self._due = course.seen + max(10, course.seen // 10)
        self.judged = True
        chance = _chance(course.value, course.mean) if course.fallen > 0.6 else None
        if course.fallen < 0.8 and chance is None:
            self.clear()
            return
        if len(self._epochs) == 1 and course.seen < 1000:
            return
        values = course.blocks.values
        later = values[max(1, int(0.15 * len(values))) :]
        _, t = line_through(later)
        third = len(later) // 3
        fell = (math.fsum(later[:third]) - math.fsum(later[-third:])) / max(third, 1)
        if t < -3.0 or fell > 0.03:
            self._flat = 0
            self.clear()
            return
        self._flat += 1
        if self._flat < 3:
            return
        if self._accuracy > 0.8 or seen.raised & self.CAUSES:
            return
        self.alert(
            frame, "warning", subject=seen.roles.key("loss"), title="The loss does not fall",
            fact=f"After {course.seen} losses the mean is at {course.fallen:.0%} of its beginning and has no "
            f"significant slope (t = {number(t)}).",
            inference="The network does not find anything to learn: data, targets, loss function or learning rate."
            + (f" The loss is that of guessing among {chance} classes." if chance else ""),
            evidence=[evidence("metric", seen.roles.key("loss") or "loss", "relative: mean loss by its beginning",
                               course.fallen, 0.8, 0, frame.step),
                      evidence("metric", seen.roles.key("loss") or "loss", "slope in standard errors", t, -3.0, 0,
                               frame.step)],
        )  # fmt: skip


def _chance(value: float, mean: float) -> int | None:
    """The number of classes, up to twelve, among which a network guesses whose mean log loss is ``mean``."""
    loss = math.exp(mean) if value > 0 and mean < 700 else 0.0
    return next((classes for classes in range(2, 13) if abs(loss / math.log(classes) - 1.0) < 0.01), None)


class Plateau(Rule):
    """The loss has stopped falling: advice, not alarm.

    Sees: the training loss.

    Decides: after 300 losses the last 40 % of the run have no significant slope and differ by less than 1 % from one
    half to the other, though the loss had fallen before. Below 5 % of its beginning it is called converged and not
    mentioned.
    """

    name = "plateau"
    topics = frozenset((LOSS, OTHER))
    needs = "a training loss of at least 300 points"
    consequence = "Further steps at these settings bring little."
    actions = (
        "Decay the learning rate.",
        "Stop here, or give the network more capacity or more data.",
    )  # fmt: skip
    clears = "A significant fall."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._due = 300

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if seen.loss is None or course.seen < self._due:
            return
        self._due = course.seen + course.seen // 8
        self.judged = True
        values = course.blocks.values
        last = values[-max(8, int(len(values) * 0.4)) :]
        _, t = line_through(last)
        half = len(last) // 2
        change = abs(math.fsum(last[half:]) / (len(last) - half) - math.fsum(last[:half]) / half)
        if abs(t) > 2.0 or change > 0.01 or course.fallen < 0.05 or course.fallen > 0.9:
            self.clear()
            return
        self.alert(
            frame, "info", subject=seen.roles.key("loss"), title="The loss has stopped falling",
            fact=f"Over the last {len(last) * course.blocks.length} losses the mean changed by {change:.1%}.",
            inference="Training has reached what these settings allow.",
            evidence=[evidence("metric", seen.roles.key("loss") or "loss", "relative: change over the last 40 %",
                               change, 0.01, None, frame.step)],
        )  # fmt: skip
