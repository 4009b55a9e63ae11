"""Values that are no numbers any more."""

from ...records.naming import NONFINITE, nonfinite_name
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..latch import Streak
from ..roles import LOSS, VALIDATION_LOSS, is_measured_as_loss, may_be_loss, role_of
from ..stretch import Losses
from .base import EVENT, PROBE, TELEMETRY, Rule, Seen, evidence
from .base import LOSS as LOSS_TOPIC

SETTLES = 20
"""Steps in which a loss scale that is halved at each overflow has found its place, or never does."""


class NonfiniteValues(Rule):
    """A NaN or an infinity in the loss, an activation, a gradient or a weight.

    Sees: the event `metric_nonfinite` that Quark keeps of every such metric, counts of such elements in summaries of
    layers, norms of parameters, overflow counts of mixed precision.

    Decides: exact. The first layer in forward order is named, the first weight, and the last gradient, which is the
    first in the backward pass. In mixed precision a step that is skipped for an overflow is how loss scaling works;
    more than one in ten, gradients that overflow in three looks in a row and for
    20 steps, or gradients that are not finite although no
    loss is scaled, are a fault. A metric that may be a loss, by a name such as `d_loss` or where no other is known
    to be the loss, gives a warning, from the third value on an error; any other metric gives information only.
    """

    name = "nonfinite_values"
    topics = frozenset((EVENT, PROBE, TELEMETRY, LOSS_TOPIC))
    needs = "a loss, or summaries of layers or parameters"
    every_rank = True
    scored = False
    consequence = "Whatever is computed from a NaN is NaN: after the next step the weights are lost."
    actions = (
        "Look at the batch of this step: inputs, targets, lengths of zero.",
        "Guard log, sqrt, division and softmax with an epsilon; run once under torch.autograd.detect_anomaly.",
        "Go back to the last checkpoint, and clip gradients or lower the learning rate.",
    )  # fmt: skip
    clears = "Fifty steps with finite losses."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._broken = 0
        self._clean = 0
        self._scaled = False
        self._overflown = Streak()
        self._others: dict[str, int] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        self.judged = True
        if frame.events:
            self._events(frame, seen)
        if frame.layers or frame.parameters:
            self._summaries(frame)
        if frame.telemetry:
            self._overflows(frame, seen)
        if seen.loss is not None and self.up("loss"):
            self._clean += 1
            if self._clean >= 50:
                self._clean = self._broken = 0
                self.clear("loss")

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All but the fiftieth finite loss, with which it is over."""
        return max(49 - self._clean, 0) if self.up("loss") else len(losses)

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """They are finite."""
        self.judged = True
        if self.up("loss"):
            self._clean += len(losses)

    def _events(self, frame: Frame, seen: Seen) -> None:
        for event in frame.events:
            if event.event_type != NONFINITE:
                continue
            key = nonfinite_name(event.payload) or "metric"
            value = str(event.payload.get("value", "nan"))
            found = role_of(key)
            role = found[0] if found else None
            if key == seen.roles.key(LOSS) or role in (LOSS, VALIDATION_LOSS):
                self._broken += 1
                self._clean = 0
                severity = "critical" if self._broken >= 3 else "error"
                topic = "loss"
            elif may_be_loss(key) and (is_measured_as_loss(key) or seen.roles.key(LOSS) is None):
                count = self._others[key] = self._others.get(key, 0) + 1
                severity, topic = "error" if count >= 3 else "warning", key
            else:
                severity, topic = "info", key
            self.alert(
                frame, severity, subject=key, topic=topic, title=f"{key} is {value}",
                fact=f"{key} was {value} at step {frame.step}."
                + (f" It is the {self._broken}th such value." if topic == "loss" and self._broken > 3 else ""),
                inference="Something in the computation left the range of numbers.",
                evidence=[evidence("metric", key, f"absolute: value is {value}", None, None, frame.step, frame.step)],
                consequence=None if severity != "info" else "The metric has a gap; training need not be affected.",
            )  # fmt: skip

    def _summaries(self, frame: Frame) -> None:
        for layer in frame.layers:
            self._scaled = self._scaled or layer.metadata.loss_scale not in (None, 1.0)
        activation = next(
            (one for one in frame.layers if one.metadata.nonfinite_count and one.summary_type == "activation"), None
        )
        weight = next((one for one in frame.parameters if "weight" in one.metadata.nonfinite), None)
        gradients = [one.parameter_name for one in frame.parameters if "gradient" in one.metadata.nonfinite]
        if activation is not None:
            self._found(frame, "activations", activation.module_name, activation.metadata.nonfinite_count)
        if weight is not None:
            self._found(frame, "weight", weight.parameter_name, None)
        if self._scaled:
            self._overflow(frame, bool(gradients))
        elif gradients and weight is None:
            self._found(frame, "gradient", gradients[-1], None)

    def _overflow(self, frame: Frame, gradients: bool) -> None:
        """Scaled gradients overflow now and then; if they do each time, no step is made."""
        hit = gradients or any(one.metadata.nonfinite_count for one in frame.layers if one.summary_type == "gradient")
        looks = self._overflown.see(hit, frame.step)
        if not hit:
            self.clear("scaled gradients")
        elif looks >= 3 and (frame.step or 0) - (self._overflown.since or 0) >= SETTLES:
            self.alert(
                frame, "error", topic="scaled gradients", subject="loss scale", since=self._overflown.since,
                title="Gradients overflow at every look: no step is made",
                fact=f"Scaled gradients were not finite in {looks} looks in a row, since step {self._overflown.since}.",
                inference="Each of these steps is skipped: nothing is trained.",
                evidence=[evidence("gradient", "loss scale", "absolute: looks in a row with gradients that overflow",
                                   float(looks), 3.0, self._overflown.since, frame.step)],
                consequence="The run holds its hardware and learns nothing.",
                actions=("Look at the loss scale: one that cannot settle has met a NaN that does not come of scaling.",
                         "Use bfloat16.", "Lower the learning rate, or clip gradients after unscaling."),
            )  # fmt: skip

    def _found(self, frame: Frame, what: str, name: str, count: float | None) -> None:
        said = f"{int(count)} values" if count else "Values"
        backward = what == "gradient"
        self.alert(
            frame, "critical" if what == "weight" else "error", subject=name, topic=what,
            title=f"The weight {name} is not finite" if what == "weight"
            else f"The {what} of {name} {'is' if backward else 'are'} not finite",
            fact=f"{said} of the {what} of {name} were NaN or infinite at step {frame.step}; it is the "
            + ("last in the order of the network, and so the first in the backward pass."
               if backward else "first in the order of the network."),
            inference="The fault comes from the loss, or from what lies between it and here."
            if backward else "The fault enters here or in what feeds it.",
            evidence=[evidence("parameter" if what != "activations" else "layer_summary", name,
                               "absolute: elements that are not finite", count, 0.0, frame.step, frame.step)],
        )  # fmt: skip

    def _overflows(self, frame: Frame, seen: Seen) -> None:
        for one in frame.telemetry:
            count = max(one.overflow_count, one.skipped_step_count)
            self._scaled = self._scaled or count > 0
            if count >= 10 and seen.steps >= 50 and count > 0.1 * seen.steps:
                self.alert(
                    frame, "warning", topic="overflow", subject="loss scale",
                    title="More than one in ten steps is skipped for an overflow",
                    fact=f"{count} of {seen.steps} steps were skipped.",
                    inference="The loss scale cannot settle: gradients overflow the half-precision range again and "
                    "again.",
                    evidence=[evidence("telemetry", "skipped_step_count", "relative: skipped steps", count / seen.steps,
                                       0.1, None, frame.step)],
                    consequence="Skipped steps are lost work.",
                    actions=("Use bfloat16.", "Clip gradients after unscaling.", "Lower the learning rate."),
                )  # fmt: skip
