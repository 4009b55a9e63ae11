"""The rule about activations that no longer tell inputs apart."""

from typing import Any

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame, Layer
from ..latch import Latch
from ..robust import ratio
from .base import PROBE, SEVERITIES, Levels, Rule, Seen, evidence, number

ELEMENTWISE = frozenset((
    "ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Softplus",
    "Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh", "Hardswish", "LogSigmoid", "Softsign", "Tanhshrink", "Threshold",
    "NewGELUActivation", "GELUActivation", "FastGELUActivation", "QuickGELUActivation", "SiLUActivation",
))  # fmt: skip
SATURATING = frozenset(("Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh"))


class ActivationCollapse(Rule):
    """The activations of a layer no longer tell inputs apart: its units are dead, saturated or constant.

    Sees: summaries of the outputs of elementwise activations (ReLU, GELU, Tanh, Sigmoid and their likes).

    Decides: in 3 of 5 looks the share of units that are zero for the whole batch reaches .8, .92 or .98; or of
    saturated values of sigmoids and tanhs .9, .97 or .995; or the deviation of the outputs falls to .2 x .05, .01 or
    .001 of their own size. A unit that is often zero is not dead: that is what ReLU is for. Where you have set a
    limit, it is taken as it is: the deviation too, and the share of elements where units are not known.

    Source: Lu et al., Dying ReLU and initialization, 2019; Glorot and Bengio, 2010.
    """

    name = "activation_collapse"
    category = "representation"
    topics = frozenset((PROBE,))
    needs = "summaries of activations"
    consequence = "Capacity is lost: dead and saturated units get no gradient and do not come back by themselves."
    actions = (
        "Lower the learning rate; a single large step can push units out of their range.",
        "Check biases and initialization, and normalize the layer's inputs.",
        "Use LeakyReLU, GELU or SiLU in the place of ReLU.",
    )  # fmt: skip
    clears = "Five looks in which the layer is below the limits."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._dead = Levels(self.limits, "activation_collapse_{}_dead_unit_ratio")
        self._saturated = Levels(self.limits, "activation_collapse_{}_saturation_ratio")
        self._flat = Levels(self.limits, "activation_collapse_{}_std", below=True)
        self._latches: dict[str, Latch] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        worst: tuple[int, Layer, Any] | None = None
        for layer in frame.layers:
            if layer.summary_type != "activation" or (layer.module_type not in ELEMENTWISE and not self.absolute):
                continue
            self.judged = True
            found = self._judge(layer, seen.unopposed)
            name = f"{layer.module_name}{layer.metadata.path}"
            latch = self._latches.get(name)
            if latch is None:
                latch = self._latches[name] = Latch(3, 5, 5)
            if latch.see(found is not None, frame.step) and found is not None:
                rank = SEVERITIES.index(found[0])
                if worst is None or rank > worst[0]:
                    worst = rank, layer, found
        if worst is not None:
            self._say(frame, worst[1], *worst[2])
        elif self.up() and not any(latch.raised for latch in self._latches.values()):
            self.clear()

    def _judge(self, layer: Layer, bare: bool) -> tuple[AlertSeverity, str, float, float] | None:
        """The worst that is wrong with a layer: how bad, what, the number and the limit."""
        found = []
        units = layer.metadata.unit_dead_ratio
        dead = units
        if self.absolute or (units is None and (bare or self._dead.literal)):
            dead = layer.dead_unit_ratio
        for value, levels, what in ((dead, self._dead, "dead"), (layer.saturation_ratio, self._saturated, "saturated")):
            severity, limit = levels.reached(value)
            if severity and value is not None:
                found.append((severity, what, value, limit))
        if layer.std is not None and layer.element_count > 1:
            size = ratio(layer.norm or 0.0, layer.element_count**0.5)
            literal = self.absolute or self._flat.literal
            value = layer.std if literal else 5.0 * ratio(layer.std, size) if size > 0.0 else 0.0
            severity, limit = self._flat.reached(value)
            if severity:
                found.append((severity, "constant", value, limit))
        return max(found, key=lambda one: SEVERITIES.index(one[0]), default=None)

    def _say(self, frame: Frame, layer: Layer, severity: AlertSeverity, what: str, value: float, limit: float) -> None:
        name = layer.module_name
        since = self._latches[f"{name}{layer.metadata.path}"].since
        facts = {
            "dead": f"{value:.1%} of the units of {name} were zero for every input of the batch.",
            "saturated": f"{value:.1%} of the outputs of {name} were at the limits of its range.",
            "constant": f"The outputs of {name} hardly differ: deviation {number(layer.std or 0.0)}.",
        }  # fmt: skip
        self.alert(
            frame, severity, subject=name, since=since, title=f"Activations of {name} collapsed: {what}",
            fact=facts[what], inference="The layer passes on next to nothing of its inputs.",
            evidence=[evidence("layer_summary", name, f"absolute: {what}", value, limit, since, frame.step)],
        )  # fmt: skip
