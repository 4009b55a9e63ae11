"""Rules about the size of the steps: a learning rate that is too high, or too low."""

import math

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..course import UNDONE, Course
from ..frames import Frame
from ..latch import Latch, Streak
from ..robust import eased, ratio
from ..stretch import Losses
from .base import LOSS, PROBE, SEVERITIES, Rule, Seen, evidence, number
from .probes import Motion, motion


class LearningRateTooHigh(Rule):
    """Steps are so large that the loss does not fall, or rises.

    Sees: norms of updates and weights, the training loss.

    Decides: while the loss is above 0.9 of its beginning, after 20 steps, the exponentially weighted mean of |dw|/|w|
    over all weights is above 3 % a step in 8 of 10 looks, or the weights have grown to five times their first norm in
    4 of 6 and the loss is not below the very first one; or the mean loss stands above 1.5 times its beginning,
    or above three times its best and above half of its beginning, or has lost 60 % of what it had fallen (a warning up
    to 90 %), for 20 steps, and by more than its noise explains. Losses that are not positive have no such shares:
    there only the updates are judged. Nor is the loss where a return, a reward or a rate of success grows: the loss of
    values that bootstrap rises with them.
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
    clears = "A mean loss below 0.9 of its beginning, and ten looks at the updates without a hit."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._moved: float | None = None
        self._weight = 0.0
        self._fast = Latch(8, 10, 10)
        self._swollen = Latch(4, 6, 10)
        self._high = Streak()

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if frame.parameters:
            self._updates(frame, seen)
        if seen.loss is None or not course.known or not course.positive:
            return
        self.judged = True
        far = course.far
        high = self._high.see(far, frame.step)
        if course.learning and not far and not self._held:
            self.clear()
        if high >= 20 and not seen.rewarded:
            self._risen(frame, seen)

    def _risen(self, frame: Frame, seen: Seen) -> None:
        course = seen.course
        times, undone = math.exp(min(course.mean - course.best, 700.0)), course.undone
        share = "all" if undone >= 1.0 else f"{undone:.0%}"
        lost = f", and {share} of what it had fallen is lost" if undone > UNDONE and times < 3.0 else ""
        self.alert(
            frame, _severity(course), since=self._high.since, subject=seen.key("loss"),
            title="The loss rises and does not come back",
            fact=f"For 20 steps the mean loss has been {number(times)} times its best{lost}.",
            inference="The steps are too large for this loss, or the weights, the optimizer's state or the data have "
            "changed."
            if lost else "The steps are too large for this loss.",
            evidence=[evidence("metric", seen.key("loss"), "relative: mean loss by its best", times,
                               None if lost else 1.5, self._high.since, frame.step)],
        )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All, unless the loss is far above what it was and that is still to be said."""
        course = seen.course
        far = course.positive and course.far and not seen.rewarded
        return 0 if far and self._up.get(None, 0) < SEVERITIES.index(_severity(course)) else len(losses)

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """The loss is still as far away as it was, or it is not and may have come back."""
        if not seen.course.positive:
            return
        self.judged = True
        self._high.repeat(seen.course.far, len(losses), int(losses.stretch.steps[0]))
        if losses.learned and not seen.course.far and not self._held:
            self.clear()

    @property
    def _held(self) -> bool:
        """Whether what was seen of the steps still stands: then the alert does, or it would come at every look anew."""
        return self._fast.raised or self._swollen.raised

    def _updates(self, frame: Frame, seen: Seen) -> None:
        whole = motion(frame)
        if whole is None or whole.weight <= 0.0:
            return
        self._moved = eased(self._moved, whole.share, 0.3)
        self._weight = self._weight or whole.weight
        course = seen.course
        grown = ratio(whole.weight, self._weight)
        poor = course.known and course.fallen > 0.9
        fast = self._fast.see(poor and self._moved > 0.03)
        worse_off = course.known and course.mean > course.first - 0.1
        swollen = self._swollen.see(worse_off and grown > 5.0)
        if ((fast and poor) or (swollen and worse_off)) and course.seen >= 20:
            title, inference = _words(self._moved, grown)
            self.alert(
                frame, "warning", subject="learning rate", title=f"{title}, and the loss does not fall",
                fact=f"A step changes the weights by {self._moved:.1%} of their norm, which is {number(grown)} times "
                f"that of the first look; the loss is at {course.fallen:.0%} of its beginning.",
                inference=inference,
                evidence=[evidence("parameter", "all parameters", "relative: norm of the update by that of the weights",
                                   self._moved, 0.03, None, frame.step),
                          evidence("parameter", "all parameters", "relative: norm of the weights by the first one",
                                   grown, 5.0, None, frame.step)],
            )  # fmt: skip


def _severity(course: Course) -> AlertSeverity:
    """Of a loss that is ``far``: a warning while some of what it had fallen is left."""
    return "warning" if UNDONE < course.undone < 0.9 and course.mean - course.best < 1.1 else "error"


def _words(moved: float, grown: float) -> tuple[str, str]:
    """What large updates come to, by what they make of the weights: a title and an inference."""
    if grown < 0.5:
        return "The weights shrink", "Weight decay is stronger than what is learned, or the learning rate is too high."
    if moved <= 0.03:
        too_large = "The learning rate is too high, or targets and inputs are far from the network's scale: normalize."
        return "The weights grow", too_large
    return "Large steps", "The learning rate is too high."


class LearningRateTooLow(Rule):
    """Steps are so small that nothing is learned.

    Sees: norms of updates and weights, the training loss, the learning rate if it is logged.

    Decides: the weighted mean of |dw|/|w| over all weights is below 1e-5 while the loss is above 0.9 of its
    beginning after 25 steps, in 4 of 5 looks. While the learning rate still rises it is a warm-up; and a loss far above
    its beginning is what large steps have left behind, in weights so big that each further step is small beside them.
    Updates of exactly zero are no matter of size: where gradients arrive, the optimizer makes no step. And a logged
    learning rate that is exactly zero for 20 losses in a row, and a twentieth of all so far, has ended the training.
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
        self._still = Latch(4, 5, 1)
        self._rate: float | None = None
        self._rising = False
        self._ended = Streak()

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if seen.learning_rate is not None:
            if self._rate is not None and seen.learning_rate != self._rate:
                self._rising = seen.learning_rate > self._rate
            self._rate = seen.learning_rate
        if seen.loss is not None and self._rate is not None:
            self._end(frame, seen)
        whole = motion(frame)
        if whole is None:
            return
        course = seen.course
        self.judged = self.judged or course.count > 0
        if self._rate != 0.0:
            self._stand(frame, whole)
        if whole.update == 0.0:
            return
        self._moved = eased(self._moved, whole.share, 0.3)
        poor = course.known and course.fallen > 0.9 and not course.far and course.seen >= 25
        hit = poor and self._moved < 1e-5 and not self._rising
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

    def _end(self, frame: Frame, seen: Seen) -> None:
        """The learning rate is zero, and training goes on."""
        count = self._ended.see(self._rate == 0.0, frame.step)
        if not count:
            self.clear("zero")
        elif count >= 20 and count >= 0.05 * seen.course.seen and seen.course.seen > count:
            key = seen.key("learning_rate")
            self.alert(
                frame, "warning", topic="zero", subject=key, since=self._ended.since,
                title="The learning rate is 0, and training goes on",
                fact=f"{key} has been exactly 0 for {count} losses in a row.",
                inference="The schedule has come to its end before the training has.",
                consequence="No weight changes any more: the rest of the run is for nothing.",
                actions=("Give the schedule the number of steps that the training really has.",
                         "Stop here if the loss is where it should be."),
                evidence=[evidence("metric", key, "absolute: losses in a row with a learning rate of 0", float(count),
                                   20.0, self._ended.since, frame.step)],
            )  # fmt: skip

    def _stand(self, frame: Frame, whole: Motion) -> None:
        """No weight moves at all although gradients arrive."""
        still = self._still.see(whole.update == 0.0 and whole.gradient > 0.0, frame.step)
        if not still:
            self.clear("still")
        elif whole.update == 0.0:
            self.alert(
                frame, "error", topic="still", subject="all parameters", since=self._still.since,
                title="No weight moves, although gradients arrive",
                fact=f"The update of every parameter was exactly 0 in {self._still.hits} of the last 5 looks; the norm "
                f"of the gradient is {number(whole.gradient)}.",
                inference="The optimizer makes no step, holds other parameters, or its learning rate is 0.",
                actions=("Check that optimizer.step() is called, and that no GradScaler skips every step.",
                         "Build the optimizer from the parameters of this model.", "Look at the learning rate."),
                evidence=[evidence("parameter", "all parameters", "absolute: norm of the update", 0.0, None,
                                   self._still.since, frame.step)],
            )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All, as no update is in them, up to where the learning rate becomes zero or is so no more."""
        said = self.up("zero")
        if losses.rates is None:
            return len(losses) if said or self._rate != 0.0 else 0
        return next((place for place, rate in enumerate(losses.rates) if (rate == 0.0) is not said), len(losses))

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """The learning rate is known, and which way it went."""
        self._ended.repeat(self.up("zero"), len(losses))
        for rate in losses.rates or ():
            if self._rate is not None and rate != self._rate:
                self._rising = rate > self._rate
            self._rate = rate
