"""The rule about the mode in which a network trains."""

from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..latch import Streak
from .base import PROBE, Rule, Seen, evidence
from .probes import gradient_layers

MATTER = ("Dropout", "BatchNorm", "SyncBatchNorm", "DropPath", "InstanceNorm")
"""Types of layers, by a part of their names, that compute something else in eval mode."""


class TrainingInEvalMode(Rule):
    """The network is trained in eval mode: without dropout, and with frozen statistics of batch normalization.

    Sees: summaries of gradients of layers, which say in which mode the layer was.

    Decides: in five looks in a row every layer that got a gradient was in eval mode, and the network has layers for
    which that matters (dropout, batch normalization and the like). Single layers in eval mode, such as normalization
    that is frozen for a fine-tuning, are left alone.
    """

    name = "training_in_eval_mode"
    topics = frozenset((PROBE,))
    needs = "summaries of gradients of layers, some of dropout or batch normalization"
    scored = False
    consequence = "Dropout does nothing, and batch normalization keeps the statistics that it had."
    actions = (
        "Call model.train() at the beginning of each epoch, above all behind a validation that called model.eval().",
        "Silence this rule if it is meant to be so.",
    )  # fmt: skip
    clears = "A look in which a layer trains in train mode."
    LOOKS = 5

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._run = Streak()
        self._matters = ""

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if not self._matters:
            types = (layer.module_type for layer in frame.layers)
            self._matters = next((kind for kind in types if any(part in kind for part in MATTER)), "")
        modes = [layer.metadata.training for layer in gradient_layers(frame) if layer.metadata.training is not None]
        if not modes or not self._matters:
            return
        self.judged = True
        looks = self._run.see(not any(modes), frame.step)
        if not looks:
            self.clear()
        elif looks >= self.LOOKS:
            self.alert(
                frame, "warning", subject=self._matters, since=self._run.since,
                title="The network trains in eval mode",
                fact=f"In {looks} looks in a row all {len(modes)} layers that got a gradient were in eval mode, "
                f"although the network has layers such as {self._matters}.",
                inference="model.eval() was called, and model.train() was not called since.",
                evidence=[evidence("layer_summary", self._matters, "absolute: looks in a row in eval mode",
                                   float(looks), float(self.LOOKS), self._run.since, frame.step)],
            )  # fmt: skip
