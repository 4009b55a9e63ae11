"""All rules, in the order in which they look at a frame: causes before what follows from them."""

from .activations import ActivationCollapse
from .base import Finding, Rule, RuleOutcome
from .clipping import ClipRate
from .data import DeadShard, LabelSkew
from .generalization import OverfittingOnset, TrainEvalMismatch
from .gradients import ExplodingGradients
from .layers import ParametersNotOptimized, StagnantLayers
from .loss import LossSpike, NoLearning, Plateau
from .machine import GpuUnderutilised, MemoryGrowth
from .modes import TrainingInEvalMode
from .numerics import NonfiniteValues
from .presence import CheckpointGap, EvalGap, Stalled
from .ranks import DdpStraggler
from .rate import LearningRateTooHigh, LearningRateTooLow
from .runtime import DataloaderStarvation, RuntimeBottleneckRisk, ThroughputRegression
from .vanishing import VanishingGradients

RULES: tuple[type[Rule], ...] = (
    NonfiniteValues, ExplodingGradients, VanishingGradients, ClipRate, ParametersNotOptimized, StagnantLayers,
    ActivationCollapse, TrainingInEvalMode, LossSpike, LearningRateTooHigh, LearningRateTooLow, NoLearning, Plateau,
    OverfittingOnset, TrainEvalMismatch, LabelSkew, DeadShard, RuntimeBottleneckRisk, DataloaderStarvation,
    ThroughputRegression, MemoryGrowth, GpuUnderutilised, Stalled, CheckpointGap, EvalGap, DdpStraggler,
)  # fmt: skip

__all__ = ["RULES", "Finding", "Rule", "RuleOutcome"]
