"""Quark watches neural networks train: every public name, imported when it is first used."""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_imported_by = os.getpid()
"""Another id means that this process was forked from the one that imported Quark."""

_HOMES: dict[str, str] = {
    "ARTIFACT_STORAGE_LAYOUT": "records.artifact",
    "AlertRecord": "records.analysis",
    "AnalyzerEngine": "analysis.engine",
    "AnalyzerEngineConfig": "records.thresholds",
    "AnalyzerResult": "analysis.engine",
    "AnalyzerThresholds": "records.thresholds",
    "ArtifactRecord": "records.artifact",
    "ArtifactStore": "producers.artifacts",
    "BatchDiagnosticRecord": "records.batch",
    "BatchMetadata": "records.configs",
    "BatchMetadataAdapter": "producers.diagnostics",
    "BestValue": "analysis.best",
    "BlueprintError": "errors",
    "CURRENT_SCHEMA_VERSION": "records.base",
    "Chart": "core.reader",
    "Checkpoint": "producers.reports",
    "ClosedError": "errors",
    "ComparisonEngine": "analysis.comparison.engine",
    "ComparisonEngineConfig": "records.configs",
    "ConfigurationError": "errors",
    "ConsoleSink": "sinks.console",
    "CriterionManifest": "core.lifecycle",
    "DataDiagnostics": "producers.diagnostics",
    "DataDiagnosticsConfig": "records.configs",
    "DataDiagnosticsSummary": "producers.diagnostics",
    "DisabledSession": "session.disabled",
    "EventLogger": "producers.events",
    "EventRecord": "records.event",
    "EvidenceRecord": "records.analysis",
    "ExposureSummary": "producers.diagnostics",
    "GroupComparisonResult": "analysis.comparison.group",
    "HardBatchFinding": "producers.diagnostics",
    "HealthScoreRecord": "records.analysis",
    "HookEngine": "producers.hooks",
    "HookEngineConfig": "records.configs",
    "HookScheduleConfig": "records.configs",
    "InvalidRunStateError": "errors",
    "JsonlSink": "sinks.jsonl",
    "LayerFilterConfig": "records.configs",
    "LayerSummaryRecord": "records.layer",
    "LiveAnalyzer": "analysis.live",
    "LocalSessionStore": "session.service_store",
    "LogIdentifier": "records.literals",
    "Loop": "loop",
    "LoopSteps": "loop",
    "LoopTask": "loop",
    "LossSummary": "producers.diagnostics",
    "MappingBatchMetadataAdapter": "producers.diagnostics",
    "MemorySink": "sinks.memory",
    "MetricRecord": "records.metric",
    "MetricTargetSpec": "records.configs",
    "MetricsLogger": "producers.metrics",
    "MissingDependencyError": "errors",
    "Page": "core.reader",
    "ParameterDiagnostics": "producers.hooks",
    "ParameterDiagnosticsConfig": "producers.hooks",
    "ParameterSummaryRecord": "records.parameter",
    "PhaseAnalysisResult": "analysis.phases.analyzer",
    "PhaseAnalyzer": "analysis.phases.analyzer",
    "PhaseAnalyzerConfig": "records.thresholds",
    "PhaseAnalyzerThresholds": "records.thresholds",
    "PhaseRecord": "records.analysis",
    "ProgressReport": "producers.reports",
    "ProjectRecord": "records.run",
    "QuarkError": "errors",
    "RECORD_KINDS": "records.kinds",
    "Record": "records.base",
    "RecordBatch": "core.batch",
    "RecordFilter": "core.reader",
    "Rule": "analysis.rules.base",
    "RunComparisonResult": "analysis.comparison.result",
    "RunContext": "records.run",
    "RunControl": "core.control",
    "RunGroup": "session.groups",
    "RunManifest": "core.lifecycle",
    "RunMark": "core.batch",
    "RunNotFoundError": "errors",
    "RunRecord": "records.run",
    "STATUSES": "records.literals",
    "SchemaMigrationError": "errors",
    "SchemaValidationError": "errors",
    "Series": "core.reader",
    "ServiceSink": "sinks.service",
    "SessionStoreError": "errors",
    "Sink": "core.sink",
    "StepState": "core.lifecycle",
    "StepTelemetryScope": "producers.telemetry",
    "StopReason": "core.lifecycle",
    "StoreSink": "sinks.store",
    "SystemTelemetry": "producers.telemetry",
    "SystemTelemetryConfig": "producers.telemetry",
    "SystemTelemetryRecord": "records.telemetry",
    "TaskManifest": "core.lifecycle",
    "Throughput": "producers.throughput",
    "TrackerBase": "core.lifecycle",
    "TrainingSession": "session",
    "UnrecordedValues": "producers.reports",
    "Verdict": "analysis.verdict",
    "WebhookSink": "sinks.webhook",
    "WrongTypeError": "errors",
    "add_log": "session",
    "add_tag": "session",
    "connect": "reading",
    "current_run": "session",
    "derive_run_id": "session.derived_ids",
    "dump_record": "records.validation",
    "end_run": "session",
    "finish": "session.shortcuts",
    "init": "session.shortcuts",
    "jsonable": "records.jsonable",
    "log": "session.shortcuts",
    "metric_key": "records.naming",
    "migrate_store": "storage.migrate",
    "new_run_id": "session.derived_ids",
    "open": "reading",
    "record_kind": "records.kinds",
    "register_rule": "analysis.rules.registry",
    "resume_run": "session",
    "run_group": "session.groups",
    "set_blueprint": "session.blueprints",
    "start_run": "session",
    "status_of": "core.lifecycle",
    "store_files": "session.folders",
    "validate_config": "session.blueprints",
    "validate_record": "records.validation",
}
"""The module of each public name. ``__init__.pyi`` says the same to type checkers; a test holds the two equal."""

# `open` is left out: a star import must not shadow the builtin.
__all__ = sorted({"__version__", *_HOMES} - {"open"})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'quark' has no attribute {name!r}{_hint(name)}", name=name)
    value = getattr(import_module(f"quark.{home}"), name)
    if getattr(value, "__module__", "").startswith("quark."):
        value.__module__ = "quark"  # reprs, tracebacks and pickles then survive a move inside
    globals()[name] = value
    return value


def _hint(name: str) -> str:
    from .core.hints import MODULE_WORDS, hint

    return hint(name, MODULE_WORDS, _HOMES) or "; dir(quark) lists its public names"


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
