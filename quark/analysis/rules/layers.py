"""Rules that look at layers and parameters: they stand still, are left out, or their activations collapse."""

from statistics import median
from typing import Any

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame, Layer, Parameter
from ..latch import Latch
from ..robust import ratio
from .base import EVENT, PROBE, SEVERITIES, Levels, Rule, Seen, evidence, number
from .gradients import gradient_layers

ELEMENTWISE = frozenset((
    "ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Softplus",
    "Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh", "Hardswish", "LogSigmoid", "Softsign", "Tanhshrink", "Threshold",
    "NewGELUActivation", "GELUActivation", "FastGELUActivation", "QuickGELUActivation", "SiLUActivation",
))  # fmt: skip
SATURATING = frozenset(("Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh"))


class StagnantLayers(Rule):
    """A layer stands still while the others move.

    Sees: norms of weights, gradients and updates of weight matrices; else gradients of layers.

    Decides: the relative update |dw|/|w| of a weight is less than 1/1000 of the median of all weights for 4 looks in
    a row (error 6, critical 8: the documented 2, 4 and 6 and two more) and at least 10 steps, or no gradient reaches
    it although it is trainable. Frozen weights are left out, and a run in which everything stands still is the
    matter of other rules. A layer that is in no parameter group is named too. Without parameters and without a loss,
    and where you have set the limits, a gradient norm at or below `stagnant_layer_gradient_norm` for so many looks in
    a row counts.
    """

    name = "stagnant_layers"
    topics = frozenset((PROBE, EVENT))
    needs = "summaries of parameters or gradients"
    consequence = "The layer stays as it was initialized, and the rest learns around it."
    clears = "A look in which the layer moves like the others."
    _ACTIONS = {
        "no gradient reaches it": (
            "Look for detach(), no_grad(), an argmax or a branch that is never taken behind the layer.",
            "Set requires_grad=False if it is meant to be frozen.",
        ),
        "its gradient is zero": (
            "Look at what follows the layer: dead units, a multiplication by zero, a mask.",
            "Check the initialization of the layer behind it.",
        ),
        "its gradient is far smaller than the others": (
            "Use normalization layers, residual connections or activations that do not saturate.",
            "Initialize for the activations in use, or use an optimizer that adapts to each weight, such as Adam.",
        ),
        "it has a gradient and gets no update": (
            "Pass its parameters to the optimizer.", "Check the learning rate of its parameter group.",
        ),
        "its updates are too small": (
            "Check the learning rate of its parameter group.",
            "Normalize its inputs, or use an optimizer that adapts to each weight, such as Adam.",
        ),
    }  # fmt: skip

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        limits = self.limits
        probes = [getattr(limits, f"stagnant_layer_{level}_probes") for level in SEVERITIES[1:]]
        self._probes = probes
        default = type(limits)()
        self._own = limits.stagnant_layer_gradient_norm != default.stagnant_layer_gradient_norm or any(
            getattr(limits, f"stagnant_layer_{level}_probes") != getattr(default, f"stagnant_layer_{level}_probes")
            for level in SEVERITIES[1:]
        )
        self._rows: dict[str, tuple[int, int, int | None]] = {}
        self._norms: dict[str, int] = {}
        self._frozen: set[str] = set()
        self._left_out: set[str] = set()

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for event in frame.events:
            if event.event_type == "parameters_watched":
                self._frozen.update(_names(event.payload.get("frozen")))
                self._left_out.update(_names(event.payload.get("not_optimized")))
        if not self.absolute and frame.parameters:
            self._relative(frame, seen)
        layers = gradient_layers(frame)
        if layers and (self.absolute or self._own or (seen.course.count == 0 and not seen.has_parameters)):
            self._literal(frame, layers)

    def _relative(self, frame: Frame, seen: Seen) -> None:
        weights = [
            one for one in frame.parameters
            if len(one.parameter_shape or ()) >= 2 and one.weight_norm and one.parameter_name not in self._frozen
        ]  # fmt: skip
        moved = [ratio(one.update_norm, one.weight_norm) for one in weights if one.update_norm and one.weight_norm]
        if len(weights) < 2 or not moved:
            return
        self.judged = True
        peers = median(moved)
        usual = max((one.gradient_norm or 0.0 for one in weights), default=0.0)
        stuck: list[tuple[int, Parameter, str, float]] = []
        for one in weights:
            share = ratio(ratio(one.update_norm or 0.0, one.weight_norm or 1.0), peers)
            factor = 1e-5 if "emb" in one.parameter_name.lower() else 1e-3
            if share >= factor:
                self._rows.pop(one.parameter_name, None)
                continue
            looks, first, since = self._rows.get(one.parameter_name, (0, seen.steps, frame.step))
            self._rows[one.parameter_name] = (looks + 1, first, since)
            if looks + 1 >= self._probes[0] + 2 and seen.steps - first >= 10:
                stuck.append((looks + 1, one, _why(one, usual), share))
        if not stuck:
            self.clear()
            return
        looks, one, why, share = max(stuck, key=lambda row: row[0])
        levels = [limit + 2 for limit in self._probes]
        severity: AlertSeverity = SEVERITIES[1 + sum(looks >= limit for limit in levels[1:])]  # type: ignore[assignment]
        self._say(frame, severity, stuck, one.parameter_name, why, share, self._rows[one.parameter_name][2])

    def _say(self, frame: Frame, severity: AlertSeverity, stuck: list[Any], name: str, why: str, share: float,
             since: int | None) -> None:  # fmt: skip
        others = f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
        self.alert(
            frame, severity, subject=name, since=since, title=f"{name}{others} does not learn: {why}",
            fact=f"For {max(row[0] for row in stuck)} looks in a row {name} moved {number(share)} times as much as the "
            f"median weight; {why}.",
            inference="This part of the network is cut off from learning." if "no" in why.split() else
            "This part of the network learns far more slowly than the rest.",
            evidence=[evidence("parameter", row[1].parameter_name, f"relative: update by the median one; {row[2]}",
                               row[3], 1e-3, since, frame.step) for row in stuck[:5]],
            actions=self._ACTIONS[why],
        )  # fmt: skip

    def _literal(self, frame: Frame, layers: list[Layer]) -> None:
        self.judged = True
        limit = self.limits.stagnant_layer_gradient_norm
        worst = (0, "", 0.0)
        for layer in layers:
            if layer.norm is None or layer.norm > limit:
                self._norms.pop(layer.module_name, None)
                continue
            looks = self._norms[layer.module_name] = self._norms.get(layer.module_name, 0) + 1
            if looks > worst[0]:
                worst = looks, layer.module_name, layer.norm
        looks, name, norm = worst
        reached = sum(looks >= probes for probes in self._probes)
        if not reached:
            self.clear("norm")
            return
        severity: AlertSeverity = SEVERITIES[reached]  # type: ignore[assignment]
        self.alert(
            frame, severity, subject=name, topic="norm", title=f"{name} stands still",
            fact=f"The gradient norm of {name} was {number(norm)} or less for {looks} looks in a row.",
            inference="Next to no gradient reaches this layer.", actions=self._ACTIONS["its gradient is zero"],
            evidence=[evidence("layer_summary", name, "absolute: looks in a row at or below the gradient norm",
                               float(looks), float(self._probes[reached - 1]), None, frame.step)],
        )  # fmt: skip


def _names(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, (list, tuple)) else []


def _why(one: Parameter, usual_gradient: float) -> str:
    if one.gradient_norm is None:
        return "no gradient reaches it"
    if one.gradient_norm == 0.0:
        return "its gradient is zero"
    if one.gradient_norm < 1e-3 * usual_gradient:
        return "its gradient is far smaller than the others"
    return "its updates are too small" if one.update_norm else "it has a gradient and gets no update"


class ParametersNotOptimized(Rule):
    """Trainable parameters are in no parameter group of the optimizer. Exact, at the start, at no cost.

    Sees: the event `parameters_watched` that `run.watch(model, optimizer)` leaves when it compares both.

    Decides: a parameter with `requires_grad=True` that no parameter group holds will never be changed.
    """

    name = "parameters_not_optimized"
    topics = frozenset((EVENT, PROBE))
    needs = "a model watched together with its optimizer"
    consequence = "These parameters keep their initial values for ever."
    actions = (
        "Build the optimizer from model.parameters() after the model is complete, or add the group with "
        "optimizer.add_param_group.",
        "Register submodules as attributes, in a ModuleList or a ModuleDict, not in a list.",
        "Set requires_grad=False if they are meant to be frozen.",
    )  # fmt: skip
    clears = "A new call of run.watch with an optimizer that holds them."

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        self.judged = self.judged or bool(frame.parameters)
        for event in frame.events:
            if event.event_type != "parameters_watched":
                continue
            self.judged = True
            names = _names(event.payload.get("not_optimized"))
            count = max(len(names), int(event.payload.get("not_optimized_count") or 0))
            if not names:
                continue
            more = f" and {count - 1} more" if count > 1 else ""
            self.alert(
                frame, "error", subject=names[0], topic=names[0],
                title=f"{names[0]}{more} will not be trained: in no parameter group",
                fact=f"{count} trainable parameters are in no parameter group: {', '.join(names[:5])}.",
                inference="The optimizer was built without them.",
                evidence=[evidence("parameter", name, "absolute: trainable and in no parameter group", 0.0, 1.0,
                                   frame.step, frame.step) for name in names[:5]],
            )  # fmt: skip


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
        self._since: dict[str, int | None] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        worst: tuple[int, Layer, Any] | None = None
        bare = seen.course.count == 0 and not seen.has_parameters
        for layer in frame.layers:
            if layer.summary_type != "activation" or (layer.module_type not in ELEMENTWISE and not self.absolute):
                continue
            self.judged = True
            found = self._judge(layer, bare)
            name = f"{layer.module_name}{layer.metadata.path}"
            latch = self._latches.get(name)
            if latch is None:
                latch = self._latches[name] = Latch(3, 5, 5)
            if found is not None and not latch.hits:
                self._since[name] = frame.step
            if latch.see(found is not None) and found is not None:
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
        facts = {
            "dead": f"{value:.1%} of the units of {name} were zero for every input of the batch.",
            "saturated": f"{value:.1%} of the outputs of {name} were at the limits of its range.",
            "constant": f"The outputs of {name} hardly differ: deviation {number(layer.std or 0.0)}.",
        }  # fmt: skip
        self.alert(
            frame, severity, subject=name, since=self._since.get(f"{name}{layer.metadata.path}"),
            title=f"Activations of {name} collapsed: {what}", fact=facts[what],
            inference="The layer passes on next to nothing of its inputs.",
            evidence=[evidence("layer_summary", name, f"absolute: {what}", value, limit,
                               self._since.get(f"{name}{layer.metadata.path}"), frame.step)],
        )  # fmt: skip
