"""The tracked loop: tasks and a criterion are declared, the loop runs, records and ends as what happened says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from ..errors import ConfigurationError, InvalidRunStateError, SchemaValidationError, WrongTypeError
from ..producers.events import log_event
from ..records.grammar import check_index, check_json, check_key, shown
from ..redaction import redact
from ..session import TrainingSession
from .declared import Criterion, LoopTask, make_criterion, make_task, name_of, parameters_of
from .iteration import Control, Worker
from .steps import LoopSteps

F = TypeVar("F", bound=Callable[..., Any])


class Loop:
    """A loop of declared tasks: active learning, simulation, tuning; any loop whose steps have names.

    A task takes, by name, what it wants of: ``step``, ``state`` (what earlier tasks of this iteration returned),
    ``previous`` (the last iteration's state, or None), ``config``, ``worker_id`` and ``run``. The dictionary that it
    returns is merged into the iteration's state; numbers are recorded as metrics.

    Args:
        project, config, tags, parent_run_id, storage_dir, strict_mode, name, run_id, trackers, close_timeout_s: as in
            ``start_run``; the run is started by the first ``add_tracker`` or by ``start``, and ends with the loop.
        session: a run that is open already; it goes on after the loop.
        workers: how many workers run the loop beside each other, or their names; ids count from 0.

    Raises:
        ConfigurationError: ``session`` together with options of a new run.
    """

    __module__ = "quark"

    def __init__(
        self, *, project: str | None = None, config: Mapping[str, Any] | None = None, tags: Iterable[str] | None = None,
        parent_run_id: str | None = None, storage_dir: str | Path | None = None, strict_mode: bool = False,
        name: str | None = None, run_id: str | None = None, trackers: Iterable[Any] | str = (),
        close_timeout_s: float | None = None, session: TrainingSession | None = None,
        workers: int | Iterable[str] | None = None,
    ) -> None:  # fmt: skip
        self._options: dict[str, Any] = {
            "project": project, "config": config, "tags": tags, "parent_run_id": parent_run_id,
            "storage_dir": storage_dir, "strict_mode": strict_mode, "name": name, "run_id": run_id,
            "trackers": trackers, "close_timeout_s": close_timeout_s,
        }  # fmt: skip
        if session is not None:
            given = [key for key, value in self._options.items() if value not in (None, (), False)]
            if given:
                raise ConfigurationError(
                    f"session= is an open run, so {given[0]}= has no place; give it to start_run, or leave session= out"
                )
            if not isinstance(session, TrainingSession):
                raise WrongTypeError(f"session must be a TrainingSession, got {shown(session)}")
        self._given = session
        self._run: TrainingSession | None = None
        self._tasks: dict[str, LoopTask] = {}
        self._criterion: Criterion | None = None
        self._worker_ids = _worker_ids(workers)
        self._changes: list[tuple[int | str | None, dict[str, Any]]] = []
        self._workers: list[Worker] = []
        self._control = Control()
        self._started = False

    def __repr__(self) -> str:
        return f"<Loop of {', '.join(self._tasks) or 'no tasks'}: {self._run.status if self._run else 'not started'}>"

    @property
    def run(self) -> TrainingSession | None:
        """The session of the loop's run; None before the first ``add_tracker`` or ``start``."""
        return self._run

    @property
    def tasks(self) -> Mapping[str, LoopTask]:
        """The declared tasks, in their order; ``tasks[name].backend`` holds the keywords that are never recorded."""
        return MappingProxyType(self._tasks)

    @property
    def _is_strict(self) -> bool:
        return bool(self._options["strict_mode"]) if self._given is None else self._given.strict

    # Declaring

    def task(
        self, name: str | None = None, /, *, log_params: Mapping[str, Any] | None = None, **backend: Any
    ) -> Callable[[F], F]:
        """Declare the decorated function as the next task; it stays the function that it is.

        Args:
            name: the task's name; the function's if omitted.
            log_params: what trackers and the run's records shall know of the task; converted as a configuration is.
            **backend: everything else: kept in ``tasks[name].backend`` and never recorded nor told to trackers.

        Raises:
            InvalidRunStateError: a tracker was added or the loop was started before.
            SchemaValidationError, WrongTypeError: a name that is taken or malformed, a parameter that is unknown.
        """

        def declare(function: F) -> F:
            word = getattr(function, "__name__", "") if name is None else name
            self._check_open_to(f"task {word!r}")
            if word in self._tasks:
                raise SchemaValidationError(f"there is a task {word!r} already; give this one another name")
            self._tasks[word] = make_task(word, function, log_params, backend, strict=self._is_strict)
            return function

        return declare

    def criterion(self, metric: str, threshold: float, operator: str = "<") -> Callable[[F], F]:
        """Declare when the loop has reached its goal: ``metric operator threshold``.

        As it is, the metric is taken from what the tasks returned. As a decorator of a function, the function is
        called after the tasks, and what it returns is the metric.

        Args:
            metric: a metric key such as ``val/mse``; ``{"val": {"mse": 0.1}}`` has it too.
            threshold: a finite number.
            operator: ``<``, ``<=``, ``>``, ``>=`` or ``==``.

        Raises:
            InvalidRunStateError: a tracker was added or the loop was started before.
            SchemaValidationError, WrongTypeError: an argument breaks a rule.
        """
        self._check_open_to("a criterion")
        made = self._criterion = make_criterion(metric, threshold, operator)

        def declare(function: F) -> F:
            self._check_open_to("a criterion")
            takes = parameters_of(function, "the criterion")
            self._criterion = Criterion(replace(made.manifest, **name_of(function)), function, takes)
            return function

        return declare

    def _check_open_to(self, what: str) -> None:
        if self._run is not None:
            raise InvalidRunStateError(
                f"{what} came after add_tracker or start, so trackers were told of a loop without it; "
                "declare all tasks and the criterion first"
            )

    def add_tracker(self, tracker: Any, *, name: str | None = None) -> Any:
        """Attach a tracker or a sink; its ``on_start`` fires at once, with all tasks, the criterion and the workers.

        Raises:
            InvalidRunStateError: no task is declared yet.
            ConfigurationError: there is no sink of this name.
        """
        return self._open().add_tracker(tracker, name=name)

    def _open(self) -> TrainingSession:
        """Start the run, or take the one that was given; from now on the declaration stands."""
        if self._run is not None:
            return self._run
        if not self._tasks:
            raise InvalidRunStateError("the loop has no task; declare its tasks with @loop.task(...) first")
        declared: dict[str, Any] = {
            "tasks": MappingProxyType({name: task.manifest for name, task in self._tasks.items()}),
            "criterion": self._criterion.manifest if self._criterion else None,
            "workers": len(self._worker_ids) or None,
        }
        if self._given is None:
            from ..session.start import begin

            run = begin(**self._options, declared=declared)
        else:
            run = self._given
            run.declare(**declared)
        self._run = run
        run.will_end("stopped")  # until the loop has shown another reason
        return run

    # Running

    def start(self, *, max_steps: int | None = None, start: int | None = None) -> LoopSteps:
        """Start the loop: ``with loop.start(max_steps=20) as steps: for state in steps: ...``.

        A bare ``for state in loop.start(...)`` works too, and so do ``async with`` and ``async for``.

        Args:
            max_steps: iterations of the loop, of each worker in a parallel one; without it, until the criterion or
                a stop.
            start: number of the first step; by default one more than the run's last step.

        Raises:
            InvalidRunStateError: the loop was started before, or no task is declared.
            SchemaValidationError, WrongTypeError: a number that makes no sense. Trackers that were told of the start
                are then told of its end, an error.
        """
        if self._started:
            raise InvalidRunStateError("this loop was started before; make a new Loop for another run")
        run = self._open()
        try:
            limit, first = check_index(max_steps, "max_steps"), check_index(start, "start")
            if limit == 0:
                raise SchemaValidationError(
                    "max_steps must be at least 1, got 0; leave it out to go on until the criterion or a stop"
                )
        except (SchemaValidationError, TypeError) as error:
            if self._given is None:
                run.__exit__(type(error), error, error.__traceback__)
            raise
        given = self._options["config"] if self._given is None else None
        config = dict(given if isinstance(given, Mapping) else run.context.run.config)
        number = run.next_step if first is None else first
        shown_config = MappingProxyType(redact(config))
        self._workers = [Worker(i, number, dict(config), shown_config) for i in self._worker_ids or (None,)]
        for worker_id, changes in self._changes:
            self._change(worker_id, changes)
        self._record_start(run, limit)
        self._started = True
        return LoopSteps(
            run, self._tasks, self._criterion, self._workers, self._control, max_steps=limit,
            owns_run=self._given is None,
        )  # fmt: skip

    def _record_start(self, run: TrainingSession, max_steps: int | None) -> None:
        tasks = {
            name: {"function": f"{made.func_module}.{made.func_name}", "log_params": dict(made.log_params)}
            for name, made in ((name, task.manifest) for name, task in self._tasks.items())
        }
        goal = self._criterion.manifest if self._criterion else None
        payload: dict[str, Any] = {"tasks": tasks, "max_steps": max_steps, "workers": list(self._worker_ids) or None}
        if goal is not None:
            payload["criterion"] = {"metric": goal.metric_name, "operator": goal.operator, "threshold": goal.threshold}
        log_event(run, "loop_started", payload=payload)

    def stop(self) -> None:
        """Ask the loop to end: iterations that have begun are finished, recorded and handed out; no others begin."""
        self._control.stop_requested = True

    def set_next_config(self, config: Mapping[str, Any], *, worker_id: int | str | None = None) -> None:
        """Change the configuration from the next iteration on; the keys that are not named stay as they are.

        The change is recorded as an event ``config_changed``, secrets redacted. Tasks that take ``config`` see it.

        Args:
            config: the keys that change; tasks get the values as they are, records what ``jsonable`` makes of them.
            worker_id: only this worker's; all workers' if omitted.

        Raises:
            WrongTypeError, SchemaValidationError: no mapping, in strict mode no JSON object, or no such worker.
        """
        if self._is_strict:
            check_json(config, "config")
        if not isinstance(config, Mapping):
            raise WrongTypeError(f"config must be a mapping of what changes, got {shown(config)}; use {{'lr': 0.1}}")
        changes = dict(config)
        if worker_id is not None and worker_id not in self._worker_ids:
            known = ", ".join(map(repr, self._worker_ids)) or "none, as the loop is not parallel"
            raise SchemaValidationError(f"there is no worker {worker_id!r}; there is {known}")
        if not self._started:
            self._changes.append((worker_id, changes))
        self._change(worker_id, changes)

    def _change(self, worker_id: int | str | None, changes: dict[str, Any]) -> None:
        for worker in self._workers:
            if worker_id is None or worker.id == worker_id:
                worker.changes = {**worker.changes, **changes}


def _worker_ids(workers: Any) -> tuple[int | str, ...]:
    """The ids of the workers: 0, 1, 2, ... or their names; empty for a loop that is not parallel."""
    if workers is None:
        return ()
    if isinstance(workers, int) and not isinstance(workers, bool):
        if workers < 1:
            raise SchemaValidationError(f"workers must be at least 1, got {workers}; leave it out for a plain loop")
        return tuple(range(workers))
    if isinstance(workers, (str, bool)) or not isinstance(workers, Iterable):
        raise WrongTypeError(f"workers must be a number or a list of names, got {shown(workers)}")
    names = tuple(check_key(name, what="worker's name") for name in workers)
    if not names or len(set(names)) < len(names):
        raise SchemaValidationError(f"workers must be names that differ, at least one, got {shown(names)}")
    return names
