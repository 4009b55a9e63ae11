"""All rules, in the order in which they look at a frame: causes before what follows from them."""

from .base import Finding, Rule, Verdict
from .clipping import ClipRate
from .data import DeadShard, LabelSkew
from .generalization import OverfittingOnset, TrainEvalMismatch
from .gradients import ExplodingGradients, VanishingGradients
from .layers import ActivationCollapse, ParametersNotOptimized, StagnantLayers
from .loss import LearningRateTooHigh, LearningRateTooLow, LossSpike, NoLearning, Plateau
from .machine import GpuUnderutilised, MemoryGrowth
from .numerics import NonfiniteValues
from .presence import CheckpointGap, EvalGap, Stalled
from .ranks import DdpStraggler
from .runtime import DataloaderStarvation, RuntimeBottleneckRisk, ThroughputRegression

RULES: tuple[type[Rule], ...] = (
    NonfiniteValues, ExplodingGradients, VanishingGradients, ClipRate, ParametersNotOptimized, StagnantLayers,
    ActivationCollapse, LossSpike, LearningRateTooHigh, LearningRateTooLow, NoLearning, Plateau, OverfittingOnset,
    TrainEvalMismatch, LabelSkew, DeadShard, RuntimeBottleneckRisk, DataloaderStarvation, ThroughputRegression,
    MemoryGrowth, GpuUnderutilised, Stalled, CheckpointGap, EvalGap, DdpStraggler,
)  # fmt: skip

__all__ = ["RULES", "Finding", "Rule", "Verdict"]
