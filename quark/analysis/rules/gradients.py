"""Rules that look at gradients: they explode, or they vanish on their way through the layers."""

import math

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame, Layer, Parameter
from ..latch import Latch
from ..robust import Usual, log_of, norm_of, ratio
from .base import EVENT, LOSS, OTHER, PROBE, Levels, Rule, Seen, evidence, number, worse

GROWTH = 10.0
"""Gradients that are so many times their usual size have grown beyond noise."""


def gradient_layers(frame: Frame) -> list[Layer]:
    """The gradient summaries of a frame's layers."""
    return [layer for layer in frame.layers if layer.summary_type == "gradient"]


def weights_of(frame: Frame) -> list[Parameter]:
    """The matrices and kernels among a frame's parameters that have a gradient: biases and scales have other scales."""
    return [
        one for one in frame.parameters
        if len(one.parameter_shape or ()) >= 2 and one.gradient_norm is not None and one.weight_norm is not None
    ]  # fmt: skip


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
        self._onset: int | None = None

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
        if grown and not self._grown.hits:
            self._onset = frame.step
        was = self._grown.raised
        if self._grown.see(grown):
            self._worst = max(self._worst, times)
        elif was:
            self._worst = 0.0
            self.clear()
        self._usual.add(level)
        self._early(frame, seen)

    def _early(self, frame: Frame, seen: Seen) -> None:
        """The updates are of the size of the weights, and the loss has nothing to show for it."""
        updates = [one.update_norm for one in frame.parameters if one.update_norm is not None]
        if not updates:
            return
        weight = norm_of([one.weight_norm for one in frame.parameters if one.weight_norm is not None])
        moved = ratio(norm_of(updates), weight)
        self._jump = max(self._jump, moved * 20.0)
        course = seen.course
        fallen = course.known and (course.fallen < 0.9)
        risen = course.mean > course.first + 0.1
        predicted = elasticity = 0.0
        loss = abs(course.value) if course.count else 0.0
        if loss > 0.0:
            gradient = norm_of([one.gradient_norm for one in frame.parameters if one.gradient_norm is not None])
            predicted, elasticity = gradient * norm_of(updates) / loss, gradient * weight / loss
        hit = (
            weight > 0
            and not fallen
            and course.count > 0
            and (moved > 0.5 or (risen and elasticity > 10 and predicted > 1))
        )
        if self._huge.see(hit) and hit and course.seen >= 3:
            self.alert(
                frame, "error", title="Updates are as large as the weights, and the loss does not fall",
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
            frame, "critical" if times > 1000 else "error", since=self._onset,
            title="Gradients exploded and the loss followed",
            fact=f"The gradient norm reached {number(times)} times its usual size; the loss is {number(above)} times "
            "its best.",
            inference="The steps have become too large: what was learned is being destroyed.",
            evidence=[evidence("gradient", "all gradients", "relative: norm by its usual size", times, GROWTH,
                               self._onset, frame.step),
                      evidence("metric", seen.roles.key("loss") or "loss", "relative: loss by its best", above, 2.0,
                               self._onset, frame.step)],
        )  # fmt: skip

    def _broken(self, frame: Frame, seen: Seen) -> None:
        course = seen.course
        grown = math.exp(min(course.worst, 700.0)) if course.seen else 1.0
        most = max(grown, self._jump)
        if most < GROWTH or self.absolute:
            return
        self.judged = True
        self.alert(
            frame, "critical", since=self._onset, title="Training blew up: values are no longer finite",
            fact=f"Before the values became NaN or infinite the loss had grown {number(grown)} fold above its best and "
            f"gradients or updates {number(self._jump)} fold.",
            inference="Growing steps drove the weights out of the range of numbers; it is no single broken batch.",
            evidence=[evidence("metric", seen.roles.key("loss") or "loss", "relative: growth before the break", most,
                               GROWTH, self._onset, frame.step)],
            consequence="Every weight that met a NaN is lost: the run cannot recover from here.",
            actions=("Start again from the last checkpoint before the growth, with a lower learning rate.",
                     *self.actions[1:]),
        )  # fmt: skip

    def _literal(self, frame: Frame, seen: Seen) -> None:
        """The documented norms, where they are the user's or nothing contradicts them."""
        unopposed = seen.course.count == 0 and not seen.has_parameters
        if not (self.absolute or self._levels.literal or unopposed):
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


class VanishingGradients(Rule):
    """Gradients become so small on their way back that the early layers do not learn.

    Sees: norms of gradients, weights and updates of the weight matrices in the order of the network; else gradients
    of layers.

    Decides: a weight lies low if its gradient is, element by element (RMS), less than 1/1000 of the largest one, its
    elasticity |g||w|/L is below 1/1000, and the optimizer does not make up for it (update by weight less than 1/100
    of the fastest weight's, or the loss does not fall). The rule speaks if at least half of all but the last
    layers lie low, among them most of the first half, in 4 of 8 looks. It is silent while the loss has fallen below
    0.8 of its beginning, and when gradients are small everywhere, which is convergence. Shares .5, .75 and .9 grade
    the severity. Without loss and parameters, and where you have set `vanishing_gradient_norm`, the share of a
    layer's own gradients at or below that norm counts.

    Source: Hochreiter, The vanishing gradient problem, 1998; Glorot and Bengio, 2010.
    """

    name = "vanishing_gradients"
    topics = frozenset((PROBE,))
    needs = "gradients of at least three layers or weight matrices"
    consequence = "The early layers stay as they were initialized; the network learns with its last layers only."
    actions = (
        "Use ReLU-like activations, normalization layers or residual connections.",
        "Initialize with He or Xavier for the activations in use.",
    )  # fmt: skip
    clears = "Eight looks in which fewer than half of the layers lie low, or a loss below 0.8 of its beginning."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._shares = Levels(self.limits, "vanishing_gradient_{}_ratio")
        self._own = self._shares.literal or (
            self.limits.vanishing_gradient_norm != type(self.limits)().vanishing_gradient_norm
        )
        self._low = Latch(max(4, self.limits.vanishing_gradient_min_samples), 8, 8)
        self._counts: dict[str, tuple[int, int]] = {}
        self._first: int | None = None
        self._since: int | None = None

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        layers = gradient_layers(frame)
        if layers and (self.absolute or self._own or (seen.course.count == 0 and not seen.has_parameters)):
            self._literal(frame, layers)
        if self.absolute:
            return
        found = self._share(frame, layers, seen)
        if found is None:
            return
        self.judged = True
        self._first = self._first if self._first is not None else seen.steps
        share, name, small = found
        course = seen.course
        hit = share >= 0.5 and not (course.known and course.fallen < 0.8) and course.count > 0
        if hit and not self._low.hits:
            self._since = frame.step
        if not self._low.see(hit):
            self.clear()
        elif hit and course.known and seen.steps - self._first >= 15:
            severity = self._shares.severity(share) or "warning"
            self.alert(
                frame, severity, subject=name, since=self._since,
                title=f"Gradients vanish: {share:.0%} of the layers get next to none",
                fact=f"{share:.0%} of the layers below the last one have gradients of less than 1/1000 of the largest; "
                f"{name} has {number(small)} of it. The loss is at {course.fallen:.0%} of its beginning.",
                inference="The signal dies on its way back through the network.",
                evidence=[evidence("parameter" if frame.parameters else "layer_summary", name,
                                   "relative: RMS gradient by the largest one", small, 1e-3, self._since, frame.step),
                          evidence("gradient", "all layers", "share of layers that lie low", share, 0.5, self._since,
                                   frame.step)],
            )  # fmt: skip

    def _share(self, frame: Frame, layers: list[Layer], seen: Seen) -> tuple[float, str, float] | None:
        """The share of the layers that lie low, the lowest of them, and how low that is."""
        weights = weights_of(frame)
        if len(weights) >= 3:
            rows = [
                (one.parameter_name, ratio(one.gradient_norm or 0.0, math.sqrt(one.element_count or 1)),
                 self._slow(one, weights, seen)) for one in weights
            ]  # fmt: skip
        else:
            firsts = {layer.module_name: layer for layer in reversed(layers) if layer.norm is not None}
            rows = [
                (name, ratio(one.norm or 0.0, math.sqrt(one.element_count or 1)), True)
                for name, one in firsts.items()
            ]  # fmt: skip
        if len(rows) < 3:
            return None
        peak = max(size for _, size, _ in rows)
        if peak <= 0.0:
            return None
        body = rows[:-1]
        low = [size < 1e-3 * peak and slow for _, size, slow in body]
        first = low[: (len(low) + 1) // 2]
        if sum(first) * 2 < len(first) or not any(low):
            return 0.0, body[0][0], body[0][1] / peak
        name, small, _ = min(body, key=lambda row: row[1])
        return sum(low) / len(low), name, small / peak

    def _slow(self, one: Parameter, weights: list[Parameter], seen: Seen) -> bool:
        course = seen.course
        elastic = (one.gradient_norm or 0.0) * (one.weight_norm or 0.0)
        if course.count and course.value and ratio(elastic, abs(course.value)) > 1e-3:
            return False
        if one.update_norm is None or (course.known and course.fallen > 0.95):
            return True
        fastest = max((ratio(w.update_norm or 0.0, w.weight_norm) for w in weights if w.weight_norm), default=0.0)
        return ratio(one.update_norm, one.weight_norm or 0.0) < 1e-2 * fastest

    def _literal(self, frame: Frame, layers: list[Layer]) -> None:
        worst: tuple[float, str, AlertSeverity] | None = None
        for layer in layers:
            if layer.norm is None:
                continue
            looks, low = self._counts.get(layer.module_name, (0, 0))
            looks, low = looks + 1, low + (layer.norm <= self.limits.vanishing_gradient_norm)
            self._counts[layer.module_name] = looks, low
            if looks >= self.limits.vanishing_gradient_min_samples:
                self.judged = True
                severity = self._shares.severity(low / looks)
                if severity and (worst is None or worse(severity, worst[2]) != worst[2]):
                    worst = low / looks, layer.module_name, severity
        if worst is not None:
            share, name, severity = worst
            self.alert(
                frame, severity, subject=name, topic="norm", title=f"Gradients of {name} vanish",
                fact=f"{share:.0%} of the gradients of {name} had a norm of at most "
                f"{number(self.limits.vanishing_gradient_norm)}.",
                inference="Next to no signal reaches this layer.",
                evidence=[evidence("layer_summary", name, "absolute: share of gradients at or below the norm", share,
                                   self._shares.reached(share)[1], None, frame.step)],
            )  # fmt: skip
