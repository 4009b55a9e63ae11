"""Records a ROSE learner as a Quark run: ``learner.add_tracker(QuarkTracker(project="surrogate"))``."""

import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import quark

_REASONS = {"criterion_met": "criterion_met", "stopped": "stopped", "error": "error"}
_TASKS = ("simulation", "training", "prediction", "active_learn", "environment", "update", "criterion")


class QuarkTracker:
    """A tracker of ROSE's protocol that records into a run of its own, or into an open session.

    What is recorded: the learner's type, the criterion and each task's ``log_params`` as the run's configuration;
    every number of an iteration's state, the criterion's metric and numbers of the learner's configuration as metrics
    at the iteration; the true reason of the end. Keywords of ROSE's backend are never read.

    The run ends when ROSE says so. Where ROSE cannot know why its loop was left (it was broken off, or an exception
    left its body), the run stays open until ``close``, the end of a ``with`` block around the loop, or the end of the
    process, and that decides.

    Args:
        project: name of the project; QUARK_PROJECT if omitted.
        session: an open run to record into; it goes on after the learner.
        **options: as in ``quark.start_run``: name, config, tags, storage_dir, trackers, ...

    Attributes:
        run: the session; None before ``add_tracker``.
    """

    def __init__(self, project: str | None = None, *, session: Any = None, **options: Any) -> None:
        if session is not None and (project is not None or options):
            raise quark.ConfigurationError("session= is an open run; give its project and options to start_run")
        self.run: Any = None
        self._session = session
        self._options = {"project": project, **options}
        self._managed = False
        self._context: BaseException | None = None
        self._last: dict[Any, tuple[int, bool]] = {}

    # ROSE's protocol

    def on_start(self, manifest: Any) -> None:
        """The learner has this tracker now: start the run.

        Raises:
            InvalidRunStateError: the tracker was added to a learner before.
            SchemaValidationError, WrongTypeError, ConfigurationError: an option of the run is wrong.
        """
        if self.run is not None:
            raise quark.InvalidRunStateError("this QuarkTracker has a learner already; make one for each learner")
        self._context = sys.exception()
        described = _described(manifest)
        if self._session is not None:
            self.run = self._session
            self.run.add_log("ROSE pipeline", event_type="rose_pipeline", payload=described)
            return
        config = dict(self._options.pop("config", None) or {})
        self.run = quark.start_run(config={**config, "rose": described}, **self._options)
        self.run.will_end("interrupted")  # unless ROSE, or who left its loop, says otherwise

    def on_iteration(self, state: Any) -> None:
        """An iteration of the learner, or of one of several, is done."""
        if self.run is None:
            return
        learner = getattr(state, "learner_id", None)
        step = int(state.iteration)
        self._last[learner] = (step, bool(getattr(state, "should_stop", False)))
        self.run.step(step, dict(_metrics(state)), worker_id=_plain_id(learner))

    def on_stop(self, final_state: Any, reason: str) -> None:
        """The learner's loop has ended; ROSE's word for it is taken where nothing else is known."""
        if self.run is None or self.run.status != "running":
            return
        error = sys.exception()
        if error is self._context:  # the whole loop runs inside of somebody's except block
            error = None
        if isinstance(error, GeneratorExit) or (error is not None and _in_the_closing_of_a_generator()):
            self.run.will_end("criterion_met" if self._all_met() else "stopped")
        elif error is not None:
            self._end_by(error)
        else:
            self._end(_REASONS.get(reason) or self._of_a_full_loop(reason))

    # Ending

    def close(self) -> None:
        """End the run, if it is still open, with the reason that is known by now."""
        if self.run is not None and self._session is None:
            self.run.__exit__(None, None, None)

    def __enter__(self) -> "QuarkTracker":
        self._managed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.run is not None and self._session is None:
            self.run.__exit__(kind, error, trace)

    def _end(self, reason: str) -> None:
        if self._session is None and (reason == "error" or not self._managed):
            self.run.finish(reason)
        else:
            self.run.will_end(None if reason == "error" else reason)

    def _end_by(self, error: BaseException) -> None:
        if self._session is None:
            self.run.__exit__(type(error), error, error.__traceback__)

    def _all_met(self) -> bool:
        return bool(self._last) and all(met for _, met in self._last.values())

    def _of_a_full_loop(self, reason: str) -> str:
        """ROSE says ``max_iter_reached`` also of parallel learners that were stopped, which came not equally far."""
        if self._all_met():
            return "criterion_met"
        ends = {step for step, met in self._last.values() if not met}
        return "max_steps" if reason == "max_iter_reached" and len(ends) == 1 else "stopped"


def _in_the_closing_of_a_generator() -> bool:
    """Whether asyncio closes a loop that was left before; it may cancel that very task, and nobody was interrupted."""
    asyncio = sys.modules.get("asyncio")
    try:
        task = asyncio and asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return False
    return bool(task) and type(task.get_coro()).__name__ == "async_generator_athrow"


def _described(manifest: Any) -> dict[str, Any]:
    """The pipeline as JSON values; of the tasks nothing but what their users declared for trackers."""
    goal = getattr(manifest, "criterion", None)
    return {
        "learner_type": str(getattr(manifest, "learner_type", "")),
        "parallel_learners": getattr(manifest, "parallel_count", None),
        "criterion": None if goal is None else {
            "metric": str(goal.metric_name), "threshold": _json(goal.threshold), "operator": str(goal.operator),
        },
        "tasks": {
            str(name): {
                "function": f"{task.func_module}.{task.func_name}", "log_params": _json(_log_params(task)),
                "as_executable": bool(getattr(task, "as_executable", False)),
            }
            for name, task in dict(getattr(manifest, "tasks", {})).items()
        },
    }  # fmt: skip


def _log_params(task: Any) -> Any:
    return getattr(task, "log_params", None) or {}


def _json(value: Any) -> Any:
    """A value that ``log_params`` may hold as JSON; what JSON does not know as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json(item) for item in value]
    number = _number(value)
    return number if number is not None and number - number == 0 else str(value)[:500]


def _metrics(state: Any) -> Iterator[tuple[str, float]]:
    """The numbers of an iteration by metric key. The criterion's metric is itself, whatever a task calls so."""
    for key, value in dict(getattr(state, "state", None) or {}).items():
        number = _number(value)
        if number is not None:
            yield str(key), number
    yield from _config_metrics(getattr(state, "current_config", None), int(state.iteration))
    value = _number(getattr(state, "metric_value", None))
    if value is not None:
        yield str(getattr(state, "metric_name", None) or "metric"), value


def _config_metrics(config: Any, iteration: int) -> Iterator[tuple[str, float]]:
    """The numbers that tasks are configured with, ``config/TASK/NAME``; text may hold secrets and stays away."""
    if isinstance(config, Mapping):
        parts = {"": config}
    elif hasattr(config, "get_task_config"):
        found = ((name, config.get_task_config(name, iteration)) for name in _TASKS)
        parts = {f"{name}/": getattr(task, "kwargs", None) or {} for name, task in found if task is not None}
    else:
        return
    for prefix, values in parts.items():
        for key, value in values.items():
            number = _number(value)
            if number is not None:
                yield f"config/{prefix}{str(key).lstrip('-')}", number


def _number(value: Any) -> float | None:
    """A Python, NumPy or torch scalar as a float, True as 1.0; None for everything else."""
    if value is None or isinstance(value, (str, bytes)) or getattr(value, "shape", ()) != ():
        return None
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError):
        return None


def _plain_id(learner: Any) -> int | str | None:
    """ROSE numbers its learners or names them; 0 is one of them."""
    if learner is None or isinstance(learner, str):
        return learner
    return int(learner) if hasattr(learner, "__index__") else str(learner)
