"""The rule about gradients that become small on their way back through the layers."""

import math

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame, Layer, Parameter
from ..latch import Latch
from ..robust import ratio
from .base import PROBE, Levels, Rule, Seen, evidence, is_own, number, worse
from .probes import gradient_layers, weights_of


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
        self._own = self._shares.literal or is_own(self.limits, "vanishing_gradient_norm")
        self._low = Latch(max(4, self.limits.vanishing_gradient_min_samples), 8, 8)
        self._counts: dict[str, tuple[int, int]] = {}
        self._first: int | None = None

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        layers = gradient_layers(frame)
        if layers and (self.absolute or self._own or seen.unopposed):
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
        if not self._low.see(hit, frame.step):
            self.clear()
        elif hit and course.known and seen.steps - self._first >= 15:
            since = self._low.since
            severity = self._shares.severity(share) or "warning"
            self.alert(
                frame, severity, subject=name, since=since,
                title=f"Gradients vanish: {share:.0%} of the layers get next to none",
                fact=f"{share:.0%} of the layers below the last one have gradients of less than 1/1000 of the largest; "
                f"{name} has {number(small)} of it. The loss is at {course.fallen:.0%} of its beginning.",
                inference="The signal dies on its way back through the network.",
                evidence=[evidence("parameter" if frame.parameters else "layer_summary", name,
                                   "relative: RMS gradient by the largest one", small, 1e-3, since, frame.step),
                          evidence("gradient", "all layers", "share of layers that lie low", share, 0.5, since,
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
