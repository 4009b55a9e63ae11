"""The settings of the analyzers: from which values on something counts as wrong."""

from typing import Annotated

from msgspec import Meta

from .base import frozen
from .configs import Config, Names
from .fields import Ratio, Text, says
from .given import GivenConfig
from .literals import AnalysisMode

Limit = Annotated[float, Meta(ge=0)]
Points = Annotated[int, Meta(ge=1)]
Keys = Annotated[tuple[Text, ...], Meta(min_length=1)]


@frozen
class AnalyzerThresholds(GivenConfig):
    """Limits of the alert rules, three levels each; the most severe level whose limit is reached counts.

    One that is given is taken literally, also if it is given its default; see docs/diagnosis.md.
    """

    exploding_gradient_warning_norm: Annotated[Limit, says("gradient norm of a layer, warning")] = 10.0
    exploding_gradient_error_norm: Annotated[Limit, says("gradient norm of a layer, error")] = 25.0
    exploding_gradient_critical_norm: Annotated[Limit, says("gradient norm of a layer, critical")] = 50.0
    vanishing_gradient_norm: Annotated[Limit, says("gradient norm at or below which a gradient has vanished")] = 1e-4
    vanishing_gradient_warning_ratio: Annotated[Ratio, says("share of vanished gradients, warning")] = 0.5
    vanishing_gradient_error_ratio: Annotated[Ratio, says("share of vanished gradients, error")] = 0.75
    vanishing_gradient_critical_ratio: Annotated[Ratio, says("share of vanished gradients, critical")] = 0.9
    vanishing_gradient_min_samples: Annotated[Points, says("gradients seen before the rule speaks")] = 4
    stagnant_layer_gradient_norm: Annotated[Limit, says("gradient norm at or below which a layer stands still")] = 1e-4
    stagnant_layer_warning_probes: Annotated[Points, says("probes in a row without movement, warning")] = 2
    stagnant_layer_error_probes: Annotated[Points, says("probes in a row without movement, error")] = 4
    stagnant_layer_critical_probes: Annotated[Points, says("probes in a row without movement, critical")] = 6
    activation_collapse_warning_dead_unit_ratio: Annotated[Ratio, says("share of dead units, warning")] = 0.8
    activation_collapse_error_dead_unit_ratio: Annotated[Ratio, says("share of dead units, error")] = 0.92
    activation_collapse_critical_dead_unit_ratio: Annotated[Ratio, says("share of dead units, critical")] = 0.98
    activation_collapse_warning_saturation_ratio: Annotated[Ratio, says("share of saturated units, warning")] = 0.9
    activation_collapse_error_saturation_ratio: Annotated[Ratio, says("share of saturated units, error")] = 0.97
    activation_collapse_critical_saturation_ratio: Annotated[Ratio, says("share of saturated units, critical")] = 0.995
    activation_collapse_warning_std: Annotated[Limit, says("deviation of activations at or below it, warning")] = 0.05
    activation_collapse_error_std: Annotated[Limit, says("deviation of activations at or below it, error")] = 0.01
    activation_collapse_critical_std: Annotated[Limit, says("deviation of activations at or below it, critical")] = (
        0.001
    )
    overfitting_warning_gap: Annotated[Limit, says("relative gap of validation to training, warning")] = 0.2
    overfitting_error_gap: Annotated[Limit, says("relative gap of validation to training, error")] = 0.4
    overfitting_critical_gap: Annotated[Limit, says("relative gap of validation to training, critical")] = 0.7
    overfitting_min_points: Annotated[Points, says("validation points before the rule speaks")] = 3
    runtime_warning_step_time_ms: Annotated[Limit, says("time of a step in ms, warning")] = 250.0
    runtime_error_step_time_ms: Annotated[Limit, says("time of a step in ms, error")] = 500.0
    runtime_critical_step_time_ms: Annotated[Limit, says("time of a step in ms, critical")] = 1000.0
    runtime_warning_data_fraction: Annotated[Ratio, says("share of a step spent on data, warning")] = 0.4
    runtime_error_data_fraction: Annotated[Ratio, says("share of a step spent on data, error")] = 0.6
    runtime_critical_data_fraction: Annotated[Ratio, says("share of a step spent on data, critical")] = 0.75
    runtime_warning_jitter_ratio: Annotated[Limit, says("deviation of step times over their mean, warning")] = 0.25
    runtime_error_jitter_ratio: Annotated[Limit, says("deviation of step times over their mean, error")] = 0.5
    runtime_critical_jitter_ratio: Annotated[Limit, says("deviation of step times over their mean, critical")] = 0.75


@frozen
class AnalyzerEngineConfig(Config):
    """How a run is analyzed: limits, metrics, and what happens to earlier outputs."""

    thresholds: Annotated[AnalyzerThresholds, says("limits of the alert rules")] = AnalyzerThresholds()
    replace_existing_outputs: Annotated[bool, says("whether a new analysis replaces the alerts and scores before")] = (
        True
    )
    step_time_metric_keys: Annotated[Keys, says("metrics with the time of a step; the first that exists is taken")] = (
        "system/runtime/step_time_ms",
        "system/step_time_ms",
    )
    data_time_metric_keys: Annotated[Keys, says("metrics with the time spent on data")] = (
        "system/runtime/data_time_ms",
        "system/data_time_ms",
    )
    compute_time_metric_keys: Annotated[Keys, says("metrics with the time spent on computing")] = (
        "system/runtime/compute_time_ms",
        "system/compute_time_ms",
    )
    train_loss_metric_keys: Annotated[Names, says("metrics with the training loss; empty: told by their names")] = ()
    validation_loss_metric_keys: Annotated[
        Names, says("metrics with the validation loss; empty: told by their names")
    ] = ()
    mode: Annotated[
        AnalysisMode, says("adaptive: a default limit may be vetoed by contrary evidence; absolute: limits are literal")
    ] = "adaptive"
    silenced_rules: Annotated[Names, says("rules that do not speak")] = ()


@frozen
class PhaseAnalyzerThresholds(Config):
    """Limits by which a run is cut into phases; changes are relative to the run's own values."""

    initialization_points: Annotated[Points, says("points at the start that count as adaptation")] = 2
    rapid_learning_min_relative_change: Annotated[Limit, says("improvement from which learning is rapid")] = 0.18
    stagnation_max_relative_change: Annotated[Limit, says("change up to which training stagnates")] = 0.01
    overfitting_min_gap: Annotated[Limit, says("gap of validation to training from which it overfits")] = 0.12
    overfitting_min_train_relative_change: Annotated[Limit, says("improvement in training that goes with it")] = 0.015
    overfitting_min_validation_regression: Annotated[Limit, says("worsening in validation that goes with it")] = 0.015
    divergence_min_relative_regression: Annotated[Limit, says("worsening from which training diverges")] = 0.15
    divergence_from_best_ratio: Annotated[Limit, says("distance from the best value from which it diverges")] = 0.25


@frozen
class PhaseAnalyzerConfig(Config):
    """How a run is cut into phases: limits, metrics, and what happens to earlier outputs."""

    thresholds: Annotated[PhaseAnalyzerThresholds, says("limits of the phases")] = PhaseAnalyzerThresholds()
    replace_existing_outputs: Annotated[bool, says("whether a new analysis replaces the phases before")] = True
    train_loss_metric_keys: Annotated[Keys, says("metrics with the training loss; the first that exists is taken")] = (
        "train/loss",
        "training/loss",
    )
    val_loss_metric_keys: Annotated[Keys, says("metrics with the validation loss")] = ("val/loss", "validation/loss")
    train_accuracy_metric_keys: Annotated[Keys, says("metrics with the training accuracy")] = (
        "train/accuracy",
        "training/accuracy",
        "train/acc",
    )
    val_accuracy_metric_keys: Annotated[Keys, says("metrics with the validation accuracy")] = (
        "val/accuracy",
        "validation/accuracy",
        "val/acc",
    )
