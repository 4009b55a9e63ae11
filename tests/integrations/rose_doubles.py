"""Doubles of the objects that ROSE documents for its trackers, with the ends that its loops really report.

ROSE needs its own runtime for HPC tasks. What a tracker sees of it is small and documented: a manifest, states of
iterations, three calls. The learner here makes these calls as ROSE's does: success is its default reason, and only an
ordinary exception of a task changes it; what leaves the loop otherwise is not told apart.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TaskManifest:
    func_name: str
    func_module: str
    as_executable: bool
    decor_kwargs: dict[str, Any] = field(default_factory=dict)
    log_params: dict[str, Any] = field(default_factory=dict)


@dataclass
class CriterionManifest(TaskManifest):
    metric_name: str = ""
    threshold: float = 0.0
    operator: str = ""


@dataclass
class PipelineManifest:
    learner_type: str
    tasks: dict[str, TaskManifest] = field(default_factory=dict)
    criterion: CriterionManifest | None = None
    parallel_count: int | None = None


@dataclass
class TaskConfig:
    kwargs: dict[str, Any]
    args: tuple[Any, ...] = ()


@dataclass
class LearnerConfig:
    training: TaskConfig | None = None

    def get_task_config(self, task_name: str, iteration: int) -> TaskConfig | None:
        return self.training if task_name == "training" else None


@dataclass
class IterationState:
    iteration: int
    metric_name: str | None = None
    metric_value: float | None = None
    metric_threshold: float | None = None
    metric_history: list[float] = field(default_factory=list)
    should_stop: bool = False
    current_config: Any = None
    learner_id: Any = None
    state: dict[str, Any] = field(default_factory=dict)


class Learner:
    """An asynchronous learner of one task, or several beside each other."""

    def __init__(self, work: Any, *, threshold: float = -1.0, learners: list[Any] | None = None) -> None:
        self.work, self.threshold, self.learners = work, threshold, learners
        self.trackers: list[Any] = []
        self.config: Any = None
        self._stopped = False

    def add_tracker(self, tracker: Any) -> None:
        decor = {"num_gpus": 4, "auth": "canary-backend"}
        task = TaskManifest("train", __name__, False, decor, {"kernel": "rbf", "made_by": object, "depth": 3})
        goal = CriterionManifest("check", __name__, False, metric_name="mse", threshold=self.threshold, operator="<")
        tracker.on_start(PipelineManifest("SequentialActiveLearner", {"training": task}, goal, None))
        self.trackers.append(tracker)

    def stop(self) -> None:
        self._stopped = True

    async def start(self, max_iter: int) -> Any:
        parallel = self.learners is not None
        last: dict[Any, IterationState] = {}
        reason = "max_iter_reached"
        try:
            for iteration in range(max_iter):
                for learner in self.learners or [None]:
                    if self._stopped:
                        reason = reason if parallel else "stopped"
                        return
                    if last.get(learner) is not None and last[learner].should_stop:
                        continue
                    result = self.work(iteration, learner)
                    value = result["mse"]
                    state = IterationState(
                        iteration, "mse", value, self.threshold, should_stop=bool(value < self.threshold),
                        current_config=self.config, learner_id=learner, state=result,
                    )  # fmt: skip
                    last[learner] = state
                    for tracker in self.trackers:
                        tracker.on_iteration(state)
                    yield state
                    if state.should_stop and not parallel:
                        reason = "criterion_met"
                        return
        except Exception:
            reason = "error"
            raise
        finally:
            final = None if parallel else last.get(None)
            for tracker in self.trackers:
                tracker.on_stop(final, reason)
