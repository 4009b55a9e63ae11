"""The signatures and defaults that the usage document promises, read off the objects themselves."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import quark

AT = "step=None, epoch=None"
RANGE = "step=None, step_min=None, step_max=None, epoch=None, epoch_min=None, epoch_max=None"
FILTERS = f"{RANGE}, limit=None"
START = "*, project, config=None, tags=None, parent_run_id=None, storage_dir=None, strict_mode=False"
MESSAGE = f"message, *, identifier='Info', {AT}, status=None, payload=None, timestamp=None, event_type='user_log'"

# Written as in the document, annotations left out.
METHODS = {
    "TrainingSession.start_run": START,
    "TrainingSession.resume_run": "*, run_id, storage_dir=None",
    "TrainingSession.reload": "self",
    "TrainingSession.add_tag": "self, tag",
    "TrainingSession.add_log": f"self, {MESSAGE}",
    "TrainingSession.end_run": "self, status='completed'",
    "TrainingSession.to_dict": "self",
    "start_run": START,
    "resume_run": "*, run_id, storage_dir=None",
    "MetricsLogger": "session, *, batch_size=100",
    "MetricsLogger.log": f"self, metric, value, *, {AT}, namespace=None, description=None, metadata=None, "
    "timestamp=None",
    "MetricsLogger.read": f"self, *, metric_key=None, namespace=None, metric_name=None, {FILTERS}",
    "MetricsLogger.flush": "self",
    "MetricsLogger.close": "self",
    "EventLogger": "session, *, batch_size=100",
    "EventLogger.log": f"self, event_type, *, severity=None, {AT}, status=None, payload=None, timestamp=None",
    "EventLogger.add_log": f"self, {MESSAGE}",
    "EventLogger.read": f"self, *, event_type=None, event_types=None, severity=None, {FILTERS}",
    "EventLogger.flush": "self",
    "EventLogger.close": "self",
    "SystemTelemetry": "session, *, config=None, batch_size=20",
    "SystemTelemetry.start_step": "self, step, *, epoch=None, metadata=None",
    "SystemTelemetry.sample": f"self, *, {AT}, metadata=None, timestamp=None",
    "SystemTelemetry.record_step": "self, step, *, epoch=None, step_time_ms=None, data_time_ms=None, "
    "compute_time_ms=None, overflow_occurred=False, skipped_step=False, metadata=None, timestamp=None",
    "SystemTelemetry.read": f"self, *, boundary=None, {FILTERS}",
    "SystemTelemetry.flush": "self",
    "SystemTelemetry.close": "self",
    "StepTelemetryScope.mark_data_ready": "self",
    "StepTelemetryScope.finish": "self",
    "HookEngine": "session, model, optimizer=None, *, config=None",
    "HookEngine.should_probe": "self, step",
    "HookEngine.begin_step": "self, step, *, epoch=None",
    "HookEngine.end_step": "self",
    "HookEngine.step": "self, step, *, epoch=None",
    "HookEngine.flush": "self",
    "HookEngine.read": "self, *, module_name=None, module_type=None, summary_type=None, hook_direction=None, "
    f"{FILTERS}",
    "HookEngine.close": "self",
    "ArtifactStore": "session, *, retention_hooks=None, raise_on_retention_error=None",
    "ArtifactStore.store": f"self, artifact_type, name, payload, *, {AT}, namespace=None, payload_format=None, "
    "metadata=None, timestamp=None",
    "ArtifactStore.log_histogram": f"self, name, *, bins, counts, {AT}, namespace=None, metadata=None, timestamp=None",
    "ArtifactStore.log_snapshot": f"self, name, payload, *, snapshot_type='batch_diagnostics_snapshot', {AT}, "
    "namespace=None, payload_format=None, metadata=None, timestamp=None",
    "ArtifactStore.read": "self, *, artifact_id=None, artifact_type=None, artifact_types=None, namespace=None, "
    f"artifact_name=None, artifact_key=None, payload_format=None, {FILTERS}",
    "ArtifactStore.load": "self, artifact",
    "ArtifactStore.close": "self",
    "DataDiagnostics": "session, *, config=None",
    "DataDiagnostics.log_batch": f"self, loss, *, {AT}, batch=None, batch_size=None, labels=None, sample_ids=None, "
    "sequence_lengths=None, metadata=None, timestamp=None",
    "DataDiagnostics.flush": "self",
    "DataDiagnostics.read": f"self, *, sample_id=None, {FILTERS}",
    "DataDiagnostics.summarize_exposure": f"self, *, {RANGE}",
    "DataDiagnostics.find_hard_batches": f"self, *, {RANGE}, limit=10",
    "DataDiagnostics.summarize": f"self, *, {RANGE}, hard_batch_limit=10",
    "DataDiagnostics.close": "self",
    "migrate_store": "storage_dir, *, generated_at=None",
    "validate_record": "record",
    "dump_record": "record",
}

CONFIGS: dict[str, dict[str, Any]] = {
    "SystemTelemetryConfig": {
        "sample_every_n_steps": 1, "emit_scalar_metrics": True, "capture_cpu": True, "capture_gpu": True,
        "gpu_index": None,
    },
    "HookScheduleConfig": {"every_n_steps": 1, "start_step": 0, "stop_step": None, "explicit_steps": []},
    "LayerFilterConfig": {
        "include_names": [], "exclude_names": [], "include_types": [], "exclude_types": [], "include_name_patterns": [],
        "exclude_name_patterns": [], "leaf_modules_only": True,
    },
    "HookEngineConfig": {
        "capture_forward": True, "capture_backward": True, "batch_size": 100, "raise_on_error": None,
        "dead_unit_epsilon": 0.0, "saturation_threshold": 0.95,
        "saturation_module_types": ["Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh", "ReLU6"],
    },
    "ParameterDiagnosticsConfig": {
        "include_name_patterns": [], "exclude_name_patterns": [], "capture_updates": True,
        "capture_optimizer_state": False, "emit_scalar_metrics": False, "batch_size": 100, "raise_on_error": None,
    },
    "DataDiagnosticsConfig": {
        "batch_size": 100, "adapter": None, "outlier_z_score_threshold": 2.5, "outlier_iqr_multiplier": 1.5,
        "hard_batch_percentile": 0.9, "min_batches_for_outlier_detection": 5,
    },
    "AnalyzerEngineConfig": {
        "replace_existing_outputs": True,
        "step_time_metric_keys": ["system/runtime/step_time_ms", "system/step_time_ms"],
        "data_time_metric_keys": ["system/runtime/data_time_ms", "system/data_time_ms"],
        "compute_time_metric_keys": ["system/runtime/compute_time_ms", "system/compute_time_ms"],
    },
    "PhaseAnalyzerConfig": {
        "replace_existing_outputs": True,
        "train_loss_metric_keys": ["train/loss", "training/loss"],
        "val_loss_metric_keys": ["val/loss", "validation/loss"],
        "train_accuracy_metric_keys": ["train/accuracy", "training/accuracy", "train/acc"],
        "val_accuracy_metric_keys": ["val/accuracy", "validation/accuracy", "val/acc"],
    },
    "ComparisonEngineConfig": {"metric_targets": []},
    "AnalyzerThresholds": {
        "exploding_gradient_warning_norm": 10.0, "exploding_gradient_error_norm": 25.0,
        "exploding_gradient_critical_norm": 50.0, "vanishing_gradient_norm": 1e-4,
        "vanishing_gradient_warning_ratio": 0.5, "vanishing_gradient_error_ratio": 0.75,
        "vanishing_gradient_critical_ratio": 0.9, "vanishing_gradient_min_samples": 4,
        "stagnant_layer_gradient_norm": 1e-4, "stagnant_layer_warning_probes": 2, "stagnant_layer_error_probes": 4,
        "stagnant_layer_critical_probes": 6, "activation_collapse_warning_dead_unit_ratio": 0.8,
        "activation_collapse_error_dead_unit_ratio": 0.92, "activation_collapse_critical_dead_unit_ratio": 0.98,
        "activation_collapse_warning_saturation_ratio": 0.9, "activation_collapse_error_saturation_ratio": 0.97,
        "activation_collapse_critical_saturation_ratio": 0.995, "activation_collapse_warning_std": 0.05,
        "activation_collapse_error_std": 0.01, "activation_collapse_critical_std": 0.001,
        "overfitting_warning_gap": 0.2, "overfitting_error_gap": 0.4, "overfitting_critical_gap": 0.7,
        "overfitting_min_points": 3, "runtime_warning_step_time_ms": 250.0, "runtime_error_step_time_ms": 500.0,
        "runtime_critical_step_time_ms": 1000.0, "runtime_warning_data_fraction": 0.4,
        "runtime_error_data_fraction": 0.6, "runtime_critical_data_fraction": 0.75,
        "runtime_warning_jitter_ratio": 0.25, "runtime_error_jitter_ratio": 0.5, "runtime_critical_jitter_ratio": 0.75,
    },
    "PhaseAnalyzerThresholds": {
        "initialization_points": 2, "rapid_learning_min_relative_change": 0.18, "stagnation_max_relative_change": 0.01,
        "overfitting_min_gap": 0.12, "overfitting_min_train_relative_change": 0.015,
        "overfitting_min_validation_regression": 0.015, "divergence_min_relative_regression": 0.15,
        "divergence_from_best_ratio": 0.25,
    },
}  # fmt: skip


def found(dotted: str) -> Callable[..., Any]:
    """The public function, class or method of a dotted name."""
    name, _, method = dotted.partition(".")
    value = getattr(quark, name)
    return inspect.getattr_static(value, method).__get__(None, value) if method else value


def parameters(dotted: str) -> dict[str, inspect.Parameter]:
    """The parameters of a public object; of a class method without the class."""
    return dict(inspect.signature(found(dotted)).parameters)


@pytest.mark.parametrize("dotted", METHODS)
def test_a_documented_signature_holds(dotted: str) -> None:
    """Each documented parameter has its place, kind and default; additions are keyword-only and optional."""
    promised = inspect.signature(eval(f"lambda {METHODS[dotted]}: None")).parameters
    actual = parameters(dotted)
    keyword, free = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    positional = [name for name, one in promised.items() if one.kind is not keyword]
    assert [name for name, one in actual.items() if one.kind is not keyword] == positional
    for name, one in promised.items():
        assert (actual[name].kind is keyword) == (one.kind is keyword), name
        if one.default is not free or name != "project":
            assert actual[name].default == one.default, name
    assert [name for name in set(actual) - set(promised) if actual[name].default is free] == []


@pytest.mark.parametrize("name", CONFIGS)
def test_documented_defaults_hold(name: str) -> None:
    """A configuration built without arguments has the documented values."""
    actual = getattr(quark, name)().to_dict()
    assert {key: actual[key] for key in CONFIGS[name]} == CONFIGS[name]


def test_nested_defaults_are_default_configurations() -> None:
    """A nested configuration is the default of its own class."""
    assert quark.HookEngineConfig().schedule == quark.HookScheduleConfig()
    assert quark.HookEngineConfig().filters == quark.LayerFilterConfig()
    assert quark.AnalyzerEngineConfig().thresholds == quark.AnalyzerThresholds()
    assert quark.PhaseAnalyzerConfig().thresholds == quark.PhaseAnalyzerThresholds()


@pytest.mark.parametrize("name", sorted(name for name in quark._HOMES if name.endswith(("Config", "Thresholds"))))
def test_a_configuration_has_no_undocumented_twin(name: str) -> None:
    """Every public configuration is frozen, and none is missing from this table."""
    assert name in CONFIGS
    assert getattr(quark, name).__dataclass_params__.frozen
    assert dataclasses.is_dataclass(getattr(quark, name))
