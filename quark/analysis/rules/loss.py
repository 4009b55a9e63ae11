"""Rules that look at the course of the loss: spikes, no progress."""

import math
from collections import deque
from itertools import pairwise

from ...records.thresholds import AnalyzerEngineConfig
from ..blocks import line_through
from ..frames import Frame
from ..stretch import Losses
from .base import LOSS, OTHER, Rule, Seen, evidence, number


class LossSpike(Rule):
    """The loss jumps far above its usual course, and comes back, stays, or runs away.

    Sees: the training loss.

    Decides: a loss more than 6 scales above its usual level (in logarithms), and more than twice it or by more than
    40 % of all that it had fallen, is a spike. It is a warning at once if it is more than twice the usual level and of
    the size that the loss had in the beginning, else information. 50 steps later it is called recovered, lingering
    (still twice as high, or 40 % of the fall lost: warning; information where less than a quarter of the fall is lost,
    as by harder data) or divergent (four times as high and above the beginning, or 90 % of the fall lost: error). A
    spike right behind a jump of the learning rate is a restart and is not reported.

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
            self._left -= 1
            if not self._left:
                self._end(frame, seen, course.mean - self._before)
            return
        if course.count <= 13 or course.z <= 6.0 or not self._jumped(seen):
            self._calm.append(course.level)
            return
        if seen.steps - self._restarted > 20:
            self._begin(frame, seen)

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All up to a jump of the learning rate; none while a spike is watched."""
        if self._left:
            return 0
        if losses.rates is not None:
            rates = [self._rate or 0.0, *losses.rates]
            jumps = (place for place, (old, new) in enumerate(pairwise(rates)) if old > 0 and new > 1.5 * old)
            return next(jumps, len(losses))
        return len(losses)

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """They are what is usual."""
        self.judged = True
        self._calm.extend(losses.levels[-5:])
        if losses.rates is not None:
            self._rate = losses.rates[-1]

    def _jumped(self, seen: Seen) -> bool:
        course = seen.course
        before = self._usual(course.level)
        return course.level - before > 0.69 or course.lost(course.level, before) > 0.4

    def _usual(self, level: float) -> float:
        return sorted(self._calm)[len(self._calm) // 2] if self._calm else level

    def _begin(self, frame: Frame, seen: Seen) -> None:
        course = seen.course
        self._before, self._at = self._usual(course.level), frame.step
        self._left = self.AFTER
        times = math.exp(min(course.level - self._before, 700.0))
        high = times > 2.0 and course.level > course.start - 1.2
        self.alert(
            frame, "warning" if high else "info", subject=seen.key("loss"),
            title=f"The loss jumped to {number(times)} times its usual level",
            fact=f"The loss was {number(course.value)} at step {frame.step}, {number(times)} times what is usual and "
            f"{number(course.z)} scales above it.",
            inference="A bad batch, or a step that was too large.",
            evidence=[evidence("metric", seen.key("loss"), "relative: scales above the usual level",
                               course.z, 6.0, frame.step, frame.step)],
        )  # fmt: skip

    def _end(self, frame: Frame, seen: Seen, recent: float) -> None:
        course = seen.course
        lost = course.lost(self._before + recent, self._before)
        if (recent > 1.386 and course.mean > course.start) or lost > 0.9:
            severity, word = "error", "divergent"
        elif recent > 0.69 or lost > 0.4:
            slight = course.positive and recent < 1.386 and 0.0 < lost < 0.25
            severity, word = "info" if slight else "warning", "lingering"
        else:
            self.clear()
            return
        times = math.exp(min(recent, 700.0))
        self.alert(
            frame, severity, subject=seen.key("loss"), since=self._at,
            title=f"The loss has not come back from its jump ({word})",
            fact=f"{self.AFTER} steps after the jump at step {self._at} the loss is {number(times)} times what it was.",
            inference="The weights were moved to a worse place, or the data have become harder.",
            evidence=[evidence("metric", seen.key("loss"), f"relative: level after the jump, {word}",
                               times, 2.0, self._at, frame.step)],
        )  # fmt: skip
        self.clear()


class NoLearning(Rule):
    """The loss does not fall at all.

    Sees: the training loss, and an accuracy if there is one.

    Decides: after 100 losses and an epoch the mean loss is above 0.8 of its beginning (0.6 if it is that of guessing
    among C classes, ln C, for C up to 12: at most 0.3 % below it and 2 % above), and since the first 15 % of the
    run, in which the last layer learns how frequent the classes are, it has no significant downward slope (t > -3 of
    a line through the block means of its logarithm, or a fall of less than half a percent) and fell by less than
    3 %, in 3 looks ten losses apart. A loss that had fallen by a twentieth and more, by more than its noise, and is not
    that of guessing is information only: a network that is fine-tuned begins with what it has learned before. Of fewer
    losses, one or a few an epoch, it speaks from ten epochs on, only where the loss is that of guessing. Silent when an
    accuracy says that the network can do the task already, when a reward grows, and when another rule knows the cause.
    """

    name = "no_learning"
    topics = frozenset((LOSS,))
    needs = "a positive training loss of at least 100 points, or of ten epochs at the level of guessing"
    consequence = "The run ends where it began."
    actions = (
        "Check that inputs and targets belong together: a shuffle of one of them is the classic.",
        "Overfit a single batch; if that fails too, look at the loss function and the graph.",
        "Vary the learning rate by factors of 10.",
    )  # fmt: skip
    clears = "A mean loss below 0.8 of its beginning, or a significant fall."
    AFTER = 100
    FEW = 10
    CAUSES = frozenset((
        "lr_too_high", "lr_too_low", "vanishing_gradients", "exploding_gradients", "nonfinite_values",
        "parameters_not_optimized", "activation_collapse",
    ))  # fmt: skip

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._due = self.FEW
        self._flat = 0
        self._epochs: set[int] = set()
        self._accuracy = 0.0

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if len(self._epochs) < self.FEW and frame.epoch is not None:
            self._epochs.add(frame.epoch)
        for accuracy in (seen.accuracy, seen.validation_accuracy):
            if accuracy is not None:
                self._accuracy = accuracy / 100.0 if accuracy > 1.0 else accuracy
        if seen.loss is None or course.seen < self._due or not course.positive:
            return
        few = course.seen < self.AFTER
        self._due = course.seen + (2 if few else max(10, course.seen // 10))
        values = course.blocks.values
        later = values[int(0.15 * len(values)) or 1 :]
        last = later[len(later) // 2 :]
        chance = _chance(course.value, math.fsum(last) / len(last)) if course.fallen > 0.6 and last else None
        if few and (len(self._epochs) < self.FEW or chance is None):
            return
        self.judged = True
        fell_at_once = course.mean < course.first - max(0.69, 3.0 * course.noise)
        if (course.fallen < 0.8 or fell_at_once) and chance is None:
            self.clear()
            return
        if len(self._epochs) == 1 and course.seen < 1000:
            return
        _, t = line_through(later)
        third = len(later) // 3
        fell = (math.fsum(later[:third]) - math.fsum(later[-third:])) / max(third, 1)
        if (t < -3.0 and fell > 0.005) or fell > 0.03:
            self._flat = 0
            self.clear()
            return
        self._flat += 1
        if self._flat >= 3 and self._accuracy <= 0.8 and not seen.rewarded and not seen.raised & self.CAUSES:
            self._say(frame, seen, chance, t)

    def _say(self, frame: Frame, seen: Seen, chance: int | None, t: float) -> None:
        course = seen.course
        fell_a_little = chance is None and course.start - course.mean > max(0.05, 0.5 * course.noise)
        inference = "The network does not find anything to learn: data, targets, loss function or learning rate."
        if fell_a_little:
            inference = "It began with what it knows and has little to learn here, or it finds nothing more to learn."
        elif chance:
            inference += f" The loss is that of guessing among {chance} classes."
        self.alert(
            frame, "info" if fell_a_little else "warning", subject=seen.key("loss"),
            title="The loss soon stopped falling" if fell_a_little else "The loss does not fall",
            fact=f"After {course.seen} losses the mean is at {course.fallen:.0%} of its beginning and has no "
            f"significant slope (t = {number(t)}).",
            inference=inference,
            evidence=[evidence("metric", seen.key("loss"), "relative: mean loss by its beginning",
                               course.fallen, 0.8, 0, frame.step),
                      evidence("metric", seen.key("loss"), "slope in standard errors", t, -3.0, 0,
                               frame.step)],
        )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All before the next look that is due."""
        return max(self._due - 1 - seen.course.seen, 0) if seen.course.positive else len(losses)

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """Their epochs and accuracies are known."""
        if len(self._epochs) < self.FEW:
            epochs = dict.fromkeys(epoch for epoch in losses.stretch.epochs.tolist() if epoch >= 0)
            for epoch in epochs:
                if len(self._epochs) < self.FEW:
                    self._epochs.add(epoch)
        if losses.accuracies is not None:
            accuracy = losses.accuracies[-1]
            self._accuracy = accuracy / 100.0 if accuracy > 1.0 else accuracy


def _chance(value: float, mean: float) -> int | None:
    """The number of classes, up to twelve, among which a network guesses whose mean log loss is ``mean``.

    Guessing is never better than ln C for long, and the noise of the weights makes it a little worse.
    """
    loss = math.exp(mean) if value > 0 and mean < 700 else 0.0
    return next((classes for classes in range(2, 13) if -0.003 < loss / math.log(classes) - 1.0 < 0.02), None)


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
            frame, "info", subject=seen.key("loss"), title="The loss has stopped falling",
            fact=f"Over the last {len(last) * course.blocks.length} losses the mean changed by {change:.1%}.",
            inference="At these settings it comes no further, be that where it should be or not.",
            evidence=[evidence("metric", seen.key("loss"), "relative: change over the last 40 %",
                               change, 0.01, None, frame.step)],
        )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All before the next look that is due."""
        return max(self._due - 1 - seen.course.seen, 0)
