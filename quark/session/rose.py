"""Trackers that were written for ROSE (``on_iteration``) hear of a Quark run in ROSE's own terms."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ..core.lifecycle import RunManifest, StepState

_REASONS = {"max_steps": "max_iter_reached", "completed": "max_iter_reached", "stop_requested": "stopped"}
"""ROSE's words for an end, where it has one; ``interrupted`` has none and stays, for it is neither of the others."""


def is_rose_tracker(tracker: Any) -> bool:
    """Whether a tracker speaks ROSE's protocol: it has ``on_iteration`` and no ``on_step``."""
    return hasattr(tracker, "on_iteration") and not hasattr(tracker, "on_step")


class RoseTracker:
    """A tracker of ROSE's protocol as one of Quark's."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self._manifest: Any = None
        self._histories: dict[int | str | None, list[float]] = {}
        for name in ("on_start", "on_stop"):  # a method that the tracker lacks is one that it is not told of
            if not hasattr(tracker, name):
                setattr(self, name, None)

    @property
    def told(self) -> Any:
        """The tracker itself."""
        return self._tracker

    def on_start(self, manifest: RunManifest) -> None:
        """Tell it of the tasks and the criterion."""
        self._manifest = manifest
        self._tracker.on_start(RoseManifest(manifest))

    def on_step(self, state: StepState) -> None:
        """Tell it of an iteration."""
        self._tracker.on_iteration(self._state(state, remember=True))

    def on_stop(self, final_state: StepState | None, reason: str) -> None:
        """Tell it of the end."""
        final = None if final_state is None else self._state(final_state, remember=False)
        self._tracker.on_stop(final, _REASONS.get(reason, reason))

    def _state(self, state: StepState, *, remember: bool) -> "RoseState":
        history = self._histories.setdefault(state.worker_id, [])
        if remember and state.criterion_value is not None:
            history.append(state.criterion_value)
        return RoseState(state, self._manifest, list(history))


class _Named:
    """Something of Quark with further names; names that neither has are None, as they are in ROSE."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._of, name, None)


class RoseManifest(_Named):
    """A RunManifest with the names of ROSE's PipelineManifest too."""

    def __init__(self, manifest: RunManifest) -> None:
        super().__init__(manifest)
        self.learner_type = "Loop" if manifest.tasks else "TrainingSession"
        self.tasks = {name: _task(task) for name, task in manifest.tasks.items()}
        goal = manifest.criterion
        self.criterion = None if goal is None else _task(
            goal, metric_name=goal.metric_name, threshold=goal.threshold, operator=goal.operator
        )  # fmt: skip
        self.parallel_count = manifest.workers


def _task(task: Any, **more: Any) -> SimpleNamespace:
    names = {"func_name": getattr(task, "func_name", ""), "func_module": getattr(task, "func_module", "")}
    params = dict(getattr(task, "log_params", {}))
    return SimpleNamespace(**names, as_executable=False, decor_kwargs={}, log_params=params, **more)


class RoseState(_Named):
    """A StepState with the names of ROSE's IterationState too."""

    def __init__(self, state: StepState, manifest: RunManifest | None, history: list[float]) -> None:
        super().__init__(state)
        goal = None if manifest is None else manifest.criterion
        self.iteration = state.step
        self.metric_name = None if goal is None else goal.metric_name
        self.metric_threshold = None if goal is None else goal.threshold
        self.metric_value = state.criterion_value
        self.metric_history = history
        self.should_stop = state.should_stop
        self.learner_id = state.worker_id
        self.current_config = RoseConfig(state.config, manifest.tasks if manifest else {}) if state.config else None
        self.state = dict(state.state or state.metrics)

    def get(self, key: str, default: Any = None) -> Any:
        """The value that a task returned, or the metric, under ``key``."""
        return self._of.get(key, default)

    def to_dict(self) -> dict[str, Any]:
        """The iteration as ROSE shows it."""
        names = ("iteration", "metric_name", "metric_value", "metric_threshold", "metric_history", "should_stop",
                 "learner_id")  # fmt: skip
        return {name: getattr(self, name) for name in names} | {
            "current_config": None if self.current_config is None else dict(self.current_config),
            "state": dict(self.state),
        }


class RoseConfig(dict[str, Any]):
    """A configuration that also answers like ROSE's LearnerConfig: every task has it as its keywords."""

    def __init__(self, config: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._tasks = frozenset(tasks)

    def get_task_config(self, task_name: str, iteration: int = 0) -> SimpleNamespace | None:
        """The configuration of a task; None for one that the loop does not have."""
        return SimpleNamespace(args=(), kwargs=dict(self)) if task_name in self._tasks else None
