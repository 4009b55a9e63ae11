"""Rules that look at parameters: they stand still, or are left out of the optimizer."""

from statistics import median
from typing import Any

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame, Layer, Parameter
from ..robust import ratio
from .base import EVENT, PROBE, SEVERITIES, Rule, Seen, evidence, is_own, number
from .probes import gradient_layers


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
        names = [f"stagnant_layer_{level}_probes" for level in SEVERITIES[1:]]
        self._probes = [getattr(limits, name) for name in names]
        self._own = is_own(limits, "stagnant_layer_gradient_norm", *names)
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
        if layers and (self.absolute or self._own or seen.unopposed):
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
