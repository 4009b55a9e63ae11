"""The lifecycle protocol: what a tracker is told when a run starts, steps and stops."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

StopReason = Literal["completed", "max_steps", "criterion_met", "stopped", "stop_requested", "interrupted", "error"]
"""Why a run ended. A run whose process vanished is closed with the reason ``lost`` by ``quark sync``."""

STOP_REASONS: tuple[str, ...] = get_args(StopReason)


def status_of(reason: str) -> str:
    """The run status that a stop reason means: failed for ``error`` and ``lost``, ``interrupted``, else completed."""
    if reason in ("error", "lost"):
        return "failed"
    return "interrupted" if reason == "interrupted" else "completed"


@dataclass(frozen=True, slots=True)
class TaskManifest:
    """A declared task of a tracked loop; keywords of its backend are never recorded."""

    func_name: str
    func_module: str
    log_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CriterionManifest:
    """When a tracked loop stops by itself: ``metric_name operator threshold``, computed by a function or not."""

    metric_name: str
    threshold: float
    operator: str = "<"
    func_name: str = ""
    func_module: str = ""


@dataclass(frozen=True, slots=True)
class RunManifest:
    """Everything that is known of a run when it starts; ``params`` holds what the user gave, secrets redacted."""

    run_id: str
    project: str
    name: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    tasks: Mapping[str, TaskManifest] = field(default_factory=dict)
    criterion: CriterionManifest | None = None
    workers: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    git_commit: str | None = None
    parent_run_id: str | None = None
    attempt: int = 1
    rank: int = 0
    world_size: int = 1
    run_path: str = ""
    storage_dir: str = ""
    started_at: str = ""
    model: Mapping[str, Any] | None = None
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of a run as trackers and loops see it; keys of ``state`` and ``metrics`` read as attributes.

    ``worker_id`` is None outside parallel loops; 0 is a worker. ``workers`` is empty but in the final state of a
    parallel loop, which holds the last state of each worker there. ``config`` is what a tracked loop's tasks were
    given, secrets redacted.
    """

    step: int
    epoch: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    worker_id: int | str | None = None
    criterion_value: float | None = None
    should_stop: bool = False
    timestamp_ns: int = 0
    elapsed_s: float = field(default=0.0)
    workers: "Mapping[int | str, StepState]" = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """The value that a task returned, or the metric, under ``key``."""
        if key in self.state:
            return self.state[key]
        return self.metrics.get(key, default)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for values in (self.state, self.metrics):
                if name in values:
                    return values[name]
        known = ", ".join([*self.state, *self.metrics]) or "nothing"
        raise AttributeError(f"this step has no {name!r}; it has {known}")


class TrackerBase:
    """An observer of a run. Every method is optional; any object with these names is a tracker.

    ``on_start`` fires inside ``add_tracker``; ``on_step`` in the training thread once a step; ``on_stop`` exactly once,
    on every way out. What a tracker raises is reported and harms neither the run nor the other trackers.
    """

    __module__ = "quark"

    def on_start(self, manifest: RunManifest) -> None:
        """The run has started, or the tracker joined it."""

    def on_step(self, state: StepState) -> None:
        """A step is done."""

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """The run has ended; ``final_state`` is the last step's, or None if there was none."""


for _public in (TaskManifest, CriterionManifest, RunManifest, StepState):
    _public.__module__ = "quark"
