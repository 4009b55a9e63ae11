"""Trackers that were written for ROSE are told of a Quark run in ROSE's own terms."""

from collections.abc import Mapping
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, Self

from ..core.lifecycle import RunManifest, StepState, TrackerBase

_REASONS = {"max_steps": "max_iter_reached", "completed": "max_iter_reached", "stop_requested": "stopped"}
"""ROSE's words for an end, where it has one; ``interrupted`` has none and stays, for it is neither of the others."""


def is_rose_tracker(tracker: Any) -> bool:
    """Whether a tracker may be written for ROSE: it has no ``on_step`` of its own.

    ``on_iteration`` says so for certain. One with ``on_start`` or ``on_stop`` alone may be written for either protocol,
    and is told so that both read what they expect.
    """
    if callable(getattr(tracker, "on_iteration", None)):
        return not _has_own(tracker, "on_step")
    return not isinstance(tracker, TrackerBase) and not _has_own(tracker, "on_step")


def _has_own(tracker: Any, method: str) -> bool:
    """Whether it has the method, and not merely from TrackerBase, where it does nothing."""
    inherited = getattr(type(tracker), method, None) is getattr(TrackerBase, method)
    return callable(getattr(tracker, method, None)) and not inherited


class RoseTracker:
    """A tracker of ROSE's protocol as one of Quark's."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self._iterates = callable(getattr(tracker, "on_iteration", None))
        self._manifest: Any = None
        self._histories: dict[int | str | None, list[float]] = {}
        for name in ("on_start", "on_stop"):  # a method that the tracker lacks is not called
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
        if state.criterion_value is not None:
            self._histories.setdefault(state.worker_id, []).append(state.criterion_value)
        if self._iterates:
            self._tracker.on_iteration(self._state(state))

    def on_stop(self, final_state: StepState | None, reason: str) -> None:
        """Tell it of the end."""
        word = _REASONS.get(reason, reason)
        if not self._iterates:
            word = EitherWord(reason, word)
        self._tracker.on_stop(None if final_state is None else self._state(final_state), word)

    def _state(self, state: StepState) -> "RoseState":
        return RoseState(state, self._manifest, list(self._histories.get(state.worker_id, ())))


class EitherWord(str):
    """A reason as Quark says it, which also equals ROSE's word for it."""

    __slots__ = ("_other",)
    _other: str

    def __new__(cls, word: str, other: str) -> Self:
        """``word``, that is equal to ``other`` too."""
        made = super().__new__(cls, word)
        made._other = other
        return made

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) is True or self._other == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


def _take_over(made: Any, of: Any) -> None:
    """Give ``made``, of a subclass, the fields of ``of``."""
    for field in fields(of):
        object.__setattr__(made, field.name, getattr(of, field.name))


class RoseManifest(RunManifest):
    """A RunManifest with the names of ROSE's PipelineManifest too; names that neither has are None, as in ROSE."""

    learner_type: str
    parallel_count: int | None

    def __init__(self, manifest: RunManifest) -> None:
        _take_over(self, manifest)
        goal = manifest.criterion
        more = {
            "learner_type": "Loop" if manifest.tasks else "TrainingSession",
            "tasks": {name: _task(task) for name, task in manifest.tasks.items()},
            "criterion": None if goal is None else _task(
                goal, metric_name=goal.metric_name, threshold=goal.threshold, operator=goal.operator
            ),
            "parallel_count": manifest.workers,
            "_of": manifest,
        }  # fmt: skip
        for name, value in more.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

    def __eq__(self, other: object) -> bool:
        return self._of == (other._of if isinstance(other, RoseManifest) else other)


def _task(task: Any, **more: Any) -> SimpleNamespace:
    names = {"func_name": getattr(task, "func_name", ""), "func_module": getattr(task, "func_module", "")}
    params = dict(getattr(task, "log_params", {}))
    return SimpleNamespace(**names, as_executable=False, decor_kwargs={}, log_params=params, **more)


class RoseState(StepState):
    """A StepState with the names of ROSE's IterationState too; names that neither has are None, as in ROSE."""

    iteration: int
    metric_name: str | None
    metric_threshold: float | None
    metric_value: float | None
    metric_history: list[float]
    learner_id: int | str | None
    current_config: "RoseConfig | None"

    def __init__(self, state: StepState, manifest: RunManifest | None, history: list[float]) -> None:
        _take_over(self, state)
        goal = None if manifest is None else manifest.criterion
        more = {
            "iteration": state.step,
            "metric_name": None if goal is None else goal.metric_name,
            "metric_threshold": None if goal is None else goal.threshold,
            "metric_value": state.criterion_value,
            "metric_history": history,
            "learner_id": state.worker_id,
            "current_config": RoseConfig(state.config, manifest.tasks if manifest else {}) if state.config else None,
            "state": dict(state.state or state.metrics),
            "_of": state,
        }
        for name, value in more.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._of, name, None)

    def __eq__(self, other: object) -> bool:
        return self._of == (other._of if isinstance(other, RoseState) else other)

    def get(self, key: str, default: Any = None) -> Any:
        """The value that a task returned, or the metric, under ``key``."""
        return self._of.get(key, default)

    def to_dict(self) -> dict[str, Any]:
        """The iteration as ROSE shows it: what the tasks returned stands beside its own names."""
        names = ("iteration", "metric_name", "metric_value", "metric_threshold", "metric_history", "should_stop",
                 "learner_id")  # fmt: skip
        config = None if self.current_config is None else dict(self.current_config)
        return {**self.state, **{name: getattr(self, name) for name in names}, "current_config": config}


class RoseConfig(dict[str, Any]):
    """A configuration that also answers like ROSE's LearnerConfig: every task has it as its keywords."""

    def __init__(self, config: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._tasks = frozenset(tasks)

    def get_task_config(self, task_name: str, iteration: int = 0) -> SimpleNamespace | None:
        """The configuration of a task; None for one that the loop does not have."""
        return SimpleNamespace(args=(), kwargs=dict(self)) if task_name in self._tasks else None
