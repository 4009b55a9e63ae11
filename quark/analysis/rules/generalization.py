"""Rules that hold training against validation."""

import math
from collections import deque
from statistics import median

from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..latch import Streak
from ..robust import ratio
from ..stretch import Losses
from .base import LOSS, OTHER, VALIDATION, Levels, Rule, Seen, evidence, number


class OverfittingOnset(Rule):
    """Validation gets worse while training gets better.

    Sees: training and validation loss, and the validation accuracy if there is one.

    Decides: the weighted mean (0.4) of the validation loss rises above its best by more than 10 % and 2.5 times the
    median change from one evaluation to the next, and by twice as much as long as only two evaluations say so, while
    the training loss is 3 % and more than its noise lower than it was at that best and the relative gap (validation -
    training) / validation is at least .2 (error .4, critical .7). A rise by less than 5 % of the first validation loss
    is that of a run that has converged. With a validation accuracy that does not fall it is overconfidence, a warning
    at most. A gap alone is no overfitting. Where you have set a gap, the gap alone counts.

    Without a training loss the validation loss alone speaks: a warning where it stands above its best by twice as much
    for five evaluations.

    Data that are memorised are a warning too: the training loss is below 5 % of its beginning and a tenth of the
    validation loss, which is above 15 % of where training began and in three evaluations has not come 2 % below its
    best; unless nine of ten answers on the validation data are right and no fewer than before.

    Source: Prechelt, Early stopping: but when?, 1998.
    """

    name = "overfitting_onset"
    category = "generalization"
    topics = frozenset((LOSS, VALIDATION, OTHER))
    needs = "a validation loss of at least three evaluations, and mostly a training loss"
    consequence = "From here on training makes the network worse on data that it has not seen."
    actions = (
        "Take the checkpoint of the best evaluation.",
        "Stop early, or regularize: weight decay, dropout, augmentation.",
        "Get more data, or take a smaller network.",
    )  # fmt: skip
    clears = "A validation loss back at its best."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._gaps = Levels(self.limits, "overfitting_{}_gap")
        self._least = self.limits.overfitting_min_points
        self._accuracy: float | None = None
        self._best_accuracy = -math.inf
        self._train: float | None = None
        self._begin()

    def _begin(self) -> None:
        """No evaluation was seen yet."""
        self._count = 0
        self._mean = 0.0
        self._last = self._first = 0.0
        self._best = math.inf
        self._best_at: int | None = None
        self._best_when = self._gained_when = "the start"
        self._gained = math.inf
        self._since_gain = 0
        self._train_then = math.inf
        self._since_best = 0
        self._changes: deque[float] = deque(maxlen=31)

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if seen.loss is not None:
            old = self._train
            if old is None and self._count:  # there was no training loss to hold these evaluations against
                self._begin()
                self.clear()
            rate = max(0.1, 1.0 / min(seen.course.seen, 1000))
            self._train = seen.loss if old is None else old + rate * (seen.loss - old)
        if seen.validation_accuracy is not None:
            self._accuracy = seen.validation_accuracy
            self._best_accuracy = max(self._best_accuracy, seen.validation_accuracy)
        if seen.validation is None:
            return
        self._count += 1
        if self._count >= self._least:
            self.judged = True
        if self._train is None:
            self._alone(frame, seen)
            return
        gap = _gap(seen.validation, self._train)
        if self.absolute or self._gaps.literal:
            self._literal(frame, seen, gap)
        if not self.absolute and seen.validation > 0:
            self._relative(frame, seen, gap)
            self._memorised(frame, seen)

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All, once there is a mean of the training loss: without a validation loss nothing is compared."""
        return 0 if self._train is None else len(losses)

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """They are part of the mean."""
        mean = self._train or 0.0
        for loss in losses.losses:
            mean = mean + 0.1 * (loss - mean)
        self._train = mean

    def _relative(self, frame: Frame, seen: Seen, gap: float) -> None:
        train = self._train or 0.0
        if self._is_best(frame, seen.validation or 0.0, train):
            return
        rise = ratio(self._mean, self._best) - 1.0
        needed = max(0.10, 2.5 * median(self._changes)) * (1.0 + 2.0 / max(self._since_best, 2))
        falls = train < math.exp(-0.03 - 0.5 * seen.course.noise) * self._train_then
        material = self._mean - self._best > 0.05 * self._first
        if self._since_best < 2 or self._count < self._least or rise <= needed or not (falls and material) or gap < 0.2:
            return
        severity, limit = self._gaps.reached(gap)
        severity = severity or "warning"
        drop = self._best_accuracy - (self._accuracy if self._accuracy is not None else math.inf)
        confident = self._accuracy is not None and drop < 0.01 * max(abs(self._best_accuracy), 1e-9)
        if confident and severity != "warning":
            severity = "warning"
        self.alert(
            frame, severity, since=self._best_at, subject=seen.key("validation_loss"),
            title="The network overfits: validation got worse while training got better"
            if not confident else "The network grows overconfident: validation loss rises, accuracy holds",
            fact=f"The validation loss is {rise:.0%} above its best at {self._best_when}; the training loss fell "
            f"from {number(self._train_then)} to {number(train)} since. The relative gap is {gap:.2f}.",
            inference="It learns what is special about the training data.",
            evidence=[evidence("metric", seen.key("validation_loss"),
                               "relative: rise above its best", rise, needed, self._best_at, frame.step),
                      evidence("metric", seen.key("validation_loss"),
                               "relative gap of validation to training", gap, limit, self._best_at, frame.step)],
        )  # fmt: skip

    def _is_best(self, frame: Frame, value: float, train: float) -> bool:
        """Take a validation loss in; whether it, or the mean with it, is the lowest so far."""
        if self._count == 1:
            self._mean = self._first = value
        else:
            self._changes.append(abs(math.log(value) - math.log(self._last)) if self._last > 0 else 0.0)
            self._mean += 0.4 * (value - self._mean)
        self._last = value
        lowest = min(self._mean, value)
        if lowest < self._best:
            self._best, self._best_at, self._train_then, self._since_best = lowest, frame.step, train, 0
            self._best_when = _when(frame)
            self.clear()
            return True
        self._since_best += 1
        return False

    def _alone(self, frame: Frame, seen: Seen) -> None:
        """No training loss says why the validation loss rises."""
        value = seen.validation or 0.0
        if self.absolute or value <= 0.0 or self._is_best(frame, value, math.inf) or self._since_best < 5:
            return
        rise, needed = ratio(self._mean, self._best) - 1.0, max(0.20, 5.0 * median(self._changes))
        if rise <= needed or self._mean - self._best <= 0.05 * self._first:
            return
        self.alert(
            frame, "warning", since=self._best_at, subject=seen.key("validation_loss"),
            title="The validation loss rises and does not come back",
            fact=f"The validation loss is {rise:.0%} above its best at {self._best_when}, after {self._since_best} "
            "further evaluations.",
            inference="The network overfits, or training diverges: without a training loss nobody can tell which.",
            actions=("Log the training loss too.", *self.actions),
            evidence=[evidence("metric", seen.key("validation_loss"), "relative: rise above its best", rise, needed,
                               self._best_at, frame.step)],
        )  # fmt: skip

    def _memorised(self, frame: Frame, seen: Seen) -> None:
        """The training data are known by heart, and the others are not."""
        course = seen.course
        if self._mean < (0.9 if self.up(MEMORISED) else 0.98) * self._gained:
            self._gained, self._gained_when, self._since_gain = self._mean, _when(frame), 0
            self.clear(MEMORISED)
            return
        self._since_gain += 1
        if self._since_gain < 3 or self._count < self._least or not (course.known and course.positive) or self.up():
            return
        began = course.loss_at(max(course.first, course.start))
        train = min(self._train or 0.0, course.loss_at(course.mean))
        accuracy = self._accuracy
        if accuracy is not None:
            able = (accuracy / 100.0 if accuracy > 1.0 else accuracy) >= 0.9
            if able and accuracy >= 0.99 * self._best_accuracy:
                return
        if train > 0.05 * began or self._mean < 0.15 * began or train > 0.1 * self._mean:
            return
        gap = _gap(self._mean, train)
        self.alert(
            frame, "warning", topic=MEMORISED, since=self._best_at, subject=seen.key("validation_loss"),
            title="The training data are memorised",
            fact=f"The training loss has come to {number(train)} from {number(began)}; the validation loss stands at "
            f"{number(self._mean)} and has not improved since {self._gained_when}.",
            inference="What is learned of the training data does not carry over to others.",
            consequence="Further training teaches nothing that helps on other data.",
            evidence=[evidence("metric", seen.key("validation_loss"),
                               "relative gap of validation to training", gap, 0.9, self._best_at, frame.step)],
        )  # fmt: skip

    def _literal(self, frame: Frame, seen: Seen, gap: float) -> None:
        severity, limit = self._gaps.reached(gap)
        if severity is None:
            self.clear("gap")
        elif self._count >= self._least:
            self.alert(
                frame, severity, topic="gap", subject=seen.key("validation_loss"),
                title="The gap of validation to training is above your limit",
                fact=f"The relative gap (validation - training) / validation is {gap:.2f}.",
                inference="The network does better on the data that it was trained on.",
                evidence=[evidence("metric", seen.key("validation_loss"),
                                   "absolute: relative gap", gap, limit, frame.step, frame.step)],
            )  # fmt: skip


MEMORISED = "memorised"


def _when(frame: Frame) -> str:
    if frame.step is not None:
        return f"step {frame.step}"
    return "its lowest value" if frame.epoch is None else f"epoch {frame.epoch}"


def _gap(validation: float, train: float) -> float:
    return max(-1e6, (validation - train) / abs(validation)) if validation else 0.0


class TrainEvalMismatch(Rule):
    """The same data give another loss in eval mode than in train mode.

    Sees: the training loss, and a loss of training data in eval mode under a name such as `train_eval/loss` or
    `eval/train_loss`.

    Decides: the loss in eval mode is more than 1.5 times the mean of the training loss in 3 evaluations in a row.
    Dropout and augmentation make it lower, not higher.
    """

    name = "train_eval_mismatch"
    category = "generalization"
    topics = frozenset((LOSS, OTHER))
    needs = "a loss of training data in eval mode, such as train_eval/loss"
    consequence = "Validation and deployment judge another network than the one that is trained."
    actions = (
        "Check batch normalization: momentum, small batches, frozen statistics.",
        "Check that preprocessing and normalization are the same in both modes.",
    )  # fmt: skip
    clears = "An evaluation in which both agree."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._run = Streak()

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        course = seen.course
        if seen.train_eval is None or not course.known or course.value <= 0:
            return
        self.judged = True
        usual = math.exp(course.mean)
        times = ratio(seen.train_eval, usual)
        run = self._run.see(times > 1.5)
        if not run:
            self.clear()
        elif run >= 3:
            self.alert(
                frame, "error" if times > 3 else "warning", subject=seen.key("train_eval_loss"),
                title="Training data do worse in eval mode",
                fact=f"In eval mode the loss of training data is {number(times)} times that in train mode.",
                inference="Layers behave differently in the two modes.",
                evidence=[evidence("metric", seen.key("train_eval_loss"),
                                   "relative: loss in eval mode by loss in train mode", times, 1.5, None, frame.step)],
            )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All: they hold nothing that this rule looks at."""
        return len(losses)
