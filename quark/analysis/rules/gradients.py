"""The rule about gradients that grow until training breaks."""

import math

from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame, Layer
from ..latch import Latch
from ..robust import Usual, log_of, norm_of
from ..stretch import Losses
from .base import EVENT, LOSS, OTHER, PROBE, Levels, Rule, Seen, evidence, number
from .probes import gradient_layers, motion

GROWTH = 10.0
"""Gradients that are so many times their usual size have grown beyond noise."""


class ExplodingGradients(Rule):
    """Gradients grow until the steps that they cause destroy what was learned.

    Sees: norms of gradients (parameters, else layers, else a metric such as `train/grad_norm`), norms of weights and
    updates, the training loss.

    Decides: (a) the loss or a gradient stops being finite after the loss, the gradients or the updates had grown at
    least tenfold: critical at once. (b) The gradient norm is 10 times its usual size and more than 6 scales above it
    (in logarithms) in 2 of 6 looks, and the loss follows: more than twice its best and more than half of its
    beginning for 4 steps. (c) While there is no past yet: the update is more than half as large as the weights in 3
    of 6 looks while the loss has not fallen; or the loss has risen by a tenth, the elasticity |g||w|/L is above 10
    and the predicted change |g||dw|/L above 1. Growth without a consequence is not reported. The documented norms 10,
    25 and 50 count where there is neither a loss nor a parameter to contradict them, and where you have set them.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013.
    """

    name = "exploding_gradients"
    topics = frozenset((LOSS, PROBE, EVENT, OTHER))
    needs = "gradients of layers or parameters, or a metric of the gradient norm"
    consequence = "The weights leave the region in which they had learned; soon the loss is no longer finite."
    actions = (
        "Lower the learning rate, or lengthen its warm-up.",
        "Clip the gradient norm, for instance at its usual size.",
        "Look at the batches of these steps for broken inputs or targets.",
    )  # fmt: skip
    clears = "Twenty looks in which gradients are within ten times their usual size."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._levels = Levels(self.limits, "exploding_gradient_{}_norm")
        self._usual = Usual(floor=0.2)
        self._grown = Latch(2, 6, 20)
        self._huge = Latch(3, 6, 20)
        self._worst = 0.0
        self._jump = 0.0

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        total = self._total(frame, seen)
        if total is not None:
            self.judged = True
            self._literal(frame, seen)
            if not self.absolute:
                self._follow(frame, seen, total)
        if seen.broken or (seen.loss is None and _nonfinite_gradient(frame)):
            self._broken(frame, seen)
        elif seen.loss is not None and self._grown.raised and seen.course.high >= 4 and not self.absolute:
            self._consequence(frame, seen)

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All: they hold nothing that this rule looks at."""
        return len(losses)

    def _total(self, frame: Frame, seen: Seen) -> float | None:
        if seen.gradient_norm is not None:
            return abs(seen.gradient_norm)
        norms = [one.gradient_norm for one in frame.parameters if one.gradient_norm is not None]
        if not norms:
            norms = [one.norm for one in gradient_layers(frame) if one.norm is not None]
        return norm_of(norms) if norms else None

    def _follow(self, frame: Frame, seen: Seen, total: float) -> None:
        level = log_of(total)
        z = self._usual.z(level)
        times = math.exp(min(level - self._usual.location, 700.0)) if self._usual.count else 1.0
        self._jump = max(self._jump * 0.9, times)
        grown = z >= 6.0 and times >= GROWTH
        was = self._grown.raised
        if self._grown.see(grown, frame.step):
            self._worst = max(self._worst, times)
        elif was:
            self._worst = 0.0
            self.clear()
        self._usual.add(level)
        self._early(frame, seen)

    def _early(self, frame: Frame, seen: Seen) -> None:
        """The updates are of the size of the weights, and the loss has nothing to show for it."""
        whole = motion(frame)
        if whole is None:
            return
        moved = whole.share
        self._jump = max(self._jump, moved * 20.0)
        course = seen.course
        fallen = course.known and (course.fallen < 0.9)
        risen = course.mean > course.first + 0.1
        predicted = elasticity = 0.0
        loss = abs(course.value) if course.count else 0.0
        if loss > 0.0:
            predicted, elasticity = whole.gradient * whole.update / loss, whole.gradient * whole.weight / loss
        hit = (
            whole.weight > 0
            and not fallen
            and course.count > 0
            and (moved > 0.5 or (risen and elasticity > 10 and predicted > 1))
        )
        if self._huge.see(hit) and hit and course.seen >= 3:
            what = "Updates are as large as the weights" if moved > 0.5 else "Steps are too large for their gradients"
            self.alert(
                frame, "error", title=f"{what}, and the loss does not fall",
                fact=f"An update was {number(moved)} times the norm of the weights; by its gradient it should have "
                f"changed the loss {number(predicted)} fold.",
                inference="The learning rate is too large for these gradients: each step lands somewhere else.",
                evidence=[evidence("parameter", "all parameters", "relative: norm of the update by that of the weights",
                                   moved, 0.5, frame.step, frame.step),
                          evidence("parameter", "all parameters", "relative: |gradient| |update| / loss", predicted,
                                   1.0, frame.step, frame.step)],
            )  # fmt: skip

    def _consequence(self, frame: Frame, seen: Seen) -> None:
        times, above = self._worst, seen.course.above_best()
        self.alert(
            frame, "critical" if times > 1000 else "error", since=self._grown.since,
            title="Gradients exploded and the loss followed",
            fact=f"The gradient norm reached {number(times)} times its usual size; the loss is {number(above)} times "
            "its best.",
            inference="The steps have become too large: what was learned is being destroyed.",
            evidence=[evidence("gradient", "all gradients", "relative: norm by its usual size", times, GROWTH,
                               self._grown.since, frame.step),
                      evidence("metric", seen.key("loss"), "relative: loss by its best", above, 2.0,
                               self._grown.since, frame.step)],
        )  # fmt: skip

    def _broken(self, frame: Frame, seen: Seen) -> None:
        course = seen.course
        grown = math.exp(min(course.worst, 700.0)) if course.seen else 1.0
        most = max(grown, self._jump)
        if most < GROWTH or self.absolute:
            return
        self.judged = True
        self.alert(
            frame, "critical", since=self._grown.since, title="Training blew up: values are no longer finite",
            fact=f"Before the values became NaN or infinite the loss had grown {number(grown)} fold above its best and "
            f"gradients or updates {number(self._jump)} fold.",
            inference="Growing steps drove the weights out of the range of numbers; it is no single broken batch.",
            evidence=[evidence("metric", seen.key("loss"), "relative: growth before the break", most,
                               GROWTH, self._grown.since, frame.step)],
            consequence="Every weight that met a NaN is lost: the run cannot recover from here.",
            actions=("Start again from the last checkpoint before the growth, with a lower learning rate.",
                     *self.actions[1:]),
        )  # fmt: skip

    def _literal(self, frame: Frame, seen: Seen) -> None:
        """The documented norms, where they are the user's or nothing contradicts them."""
        if not (self.absolute or self._levels.literal or seen.unopposed):
            return
        worst: tuple[float, Layer] | None = None
        for layer in gradient_layers(frame):
            if layer.norm is not None and (worst is None or layer.norm > worst[0]):
                worst = layer.norm, layer
        if worst is None:
            return
        severity, limit = self._levels.reached(worst[0])
        if severity is None:
            return
        name = worst[1].module_name
        self.alert(
            frame, severity, subject=name, topic="norm", title=f"Gradients of {name} are large",
            fact=f"The gradient norm of {name} was {number(worst[0])}.",
            inference="Gradients of this size usually make the next step too large.",
            evidence=[evidence("layer_summary", name, "absolute: gradient norm", worst[0], limit, frame.step,
                               frame.step)],
        )  # fmt: skip


def _nonfinite_gradient(frame: Frame) -> bool:
    return any("gradient" in one.metadata.nonfinite for one in frame.parameters)
