"""The closed vocabularies of the records: one Literal type each, with its values as a tuple."""

from typing import Literal, get_args

RunStatus = Literal["running", "completed", "failed", "interrupted"]
EventSeverity = Literal["debug", "info", "warning", "error", "critical"]
AlertSeverity = Literal["info", "warning", "error", "critical"]
AlertCategory = Literal["optimization", "representation", "generalization", "runtime"]
ScoreKey = Literal["overall", "optimization", "representation", "generalization", "runtime"]
ScoreStatus = Literal["healthy", "watch", "degraded", "critical"]
TelemetryBoundary = Literal["step", "time"]
SummaryType = Literal["activation", "gradient"]
HookDirection = Literal["forward", "backward"]
PayloadFormat = Literal["json", "text", "bytes"]
LogIdentifier = Literal["Debug", "Info", "Warning", "Error"]
TargetDirection = Literal["at_least", "at_most"]
CompiledMode = Literal["eager", "skip"]
BestMode = Literal["max", "min"]
ComparisonMode = Literal["pairwise", "baseline"]
AnalysisMode = Literal["adaptive", "absolute"]
PhaseName = Literal[
    "initialization_adaptation", "rapid_learning", "stabilization", "stagnation", "overfitting_onset", "divergence"
]

RUN_STATUSES: tuple[str, ...] = get_args(RunStatus)
STATUSES = RUN_STATUSES
"""The statuses of runs, under their public name."""
CHECKPOINT_STATUSES: tuple[str, ...] = ("incomplete", "complete")
PROGRESS, CHECKPOINT, NOTE, SUMMARY = "progress", "checkpoint", "note", "summary"
UNRECORDED = "run_unrecorded"
ANALYZED = "run_analyzed"
"""Types of the events by which a run tells of itself; ``producers.reports`` says what they hold."""
EVENT_SEVERITIES: tuple[str, ...] = get_args(EventSeverity)
PAYLOAD_FORMATS: tuple[str, ...] = get_args(PayloadFormat)
LOG_IDENTIFIERS: tuple[str, ...] = get_args(LogIdentifier)
PHASE_NAMES: tuple[str, ...] = get_args(PhaseName)
