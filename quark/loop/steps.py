"""The iterations of a loop that was started: an iterator and a context manager, both also for ``async``."""

import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import CodeType, MappingProxyType, TracebackType
from typing import Any

from ..core.lifecycle import StepState
from ..errors import ConfigurationError
from ..producers.events import log_event
from ..redaction import redact
from ..session import TrainingSession
from ..session.leaving import being_cancelled, caller_of_finalizer, left_on_purpose
from .crew import Crew, crew_for
from .declared import Criterion, LoopTask
from .iteration import Control, Outcome, Worker, drive, iterate, numbers

JOIN_S = 10.0
"""A thread of a worker whose task goes on when the loop is left is waited for this long."""


class LoopSteps:
    """The iterations of a started loop, each a frozen ``StepState``. Use it with ``with``, or in a bare ``for``.

    With ``with`` (or ``async with``) everything that leaves the block decides how the run ends. A bare ``for`` cannot
    see an exception of its own body: the run then stays open until the process ends, and that decides.
    """

    __module__ = "quark"

    def __init__(
        self, run: TrainingSession, tasks: Mapping[str, LoopTask], criterion: Criterion | None,
        workers: list[Worker], control: Control, *, max_steps: int | None, owns_run: bool,
    ) -> None:  # fmt: skip
        self._run = run
        self._iterate = partial(iterate, tasks, criterion, run)  # no method: nobody but the user may hold this object
        self._criterion = criterion
        self._workers = workers
        self._control = control
        self._max_steps = max_steps
        self._owns_run = owns_run
        self._parallel = workers[0].id is not None
        self._idle = list(workers)
        self._crew: Crew | None = None
        self._asynchronous: bool | None = None
        self._states: dict[int | str, StepState] = {}
        self._managed = self._over = False
        self._consumer: CodeType | None = None
        self._last: StepState | None = None

    @property
    def final_state(self) -> StepState | None:
        """The last state so far; that of a parallel loop holds the last one of each worker in ``workers``."""
        return self._last

    @property
    def final_states(self) -> Mapping[int | str, StepState]:
        """The last state of each worker of a parallel loop, by its id."""
        return MappingProxyType(self._states)

    # Going through it

    def __iter__(self) -> "LoopSteps":
        return self

    def __next__(self) -> StepState:
        self._consumer = sys._getframe(1).f_code
        if self._over:
            raise StopIteration
        with self._attempt(asynchronous=False):
            state = drive(self._advance())
        if state is None:
            self._exhausted()
            raise StopIteration
        return state

    def __aiter__(self) -> "LoopSteps":
        return self

    def __anext__(self) -> Coroutine[Any, Any, StepState]:
        self._consumer = sys._getframe(1).f_code
        return self._anext()

    async def _anext(self) -> StepState:
        if self._over:
            raise StopAsyncIteration
        with self._attempt(asynchronous=True):
            state = await self._advance()
        if state is None:
            self._exhausted()
            raise StopAsyncIteration
        return state

    @contextmanager
    def _attempt(self, *, asynchronous: bool) -> Iterator[None]:
        """What is raised in here ends the loop."""
        self._begin(asynchronous=asynchronous)
        try:
            yield
        except BaseException as error:
            self._failed(error)
            raise

    def _begin(self, *, asynchronous: bool) -> None:
        if self._crew is not None:
            if asynchronous is not self._asynchronous:
                raise ConfigurationError("the loop was begun with 'for' or 'async for' and has to go on with the same")
            return
        self._asynchronous = asynchronous
        self._crew = crew_for(self._iterate, parallel=self._parallel, asynchronous=asynchronous)

    async def _advance(self) -> StepState | None:
        """The next state, or None when every worker has ended."""
        crew = self._crew
        if crew is None:
            raise RuntimeError("the loop was not begun")
        for worker in self._idle:
            worker.reason = self._reason_to_end(worker)
            if worker.reason is None:
                self._begin_iteration(worker)
                crew.begin(worker)
            elif worker.id is not None:
                self._note_end(worker)
        self._idle = []
        if not crew.busy():
            return None
        worker, outcome = await crew.next()
        state = self._complete(worker, outcome)
        self._idle = [worker]
        return state

    # One iteration

    def _reason_to_end(self, worker: Worker) -> str | None:
        run = self._run
        if run.status != "running":
            return run.context.run.reason or "stopped"
        if worker.met:
            return "criterion_met"
        stopping = run.stops_before(worker.step)
        if self._control.stop_requested or stopping:
            return run.stop_reason if stopping else "stopped"
        return "max_steps" if self._max_steps is not None and worker.count >= self._max_steps else None

    def _begin_iteration(self, worker: Worker) -> None:
        changed = {k: value for k, value in worker.changes.items() if _differs(worker.config.get(k, self), value)}
        worker.changes = {}
        if changed:
            worker.config = {**worker.config, **changed}
            worker.shown_config = MappingProxyType(redact(worker.config))
            payload = {"changed": redact(changed)} | ({} if worker.id is None else {"worker_id": worker.id})
            log_event(self._run, "config_changed", step=worker.step, payload=payload)
        if not self._parallel:
            self._run.begin_step(worker.step)

    def _complete(self, worker: Worker, outcome: Outcome) -> StepState:
        """Record an iteration and tell the trackers."""
        metrics = dict(numbers(outcome.results))
        criterion, goal = self._criterion, outcome.goal
        if criterion is not None:
            name = criterion.manifest.metric_name
            if criterion.function is None:
                goal = metrics.get(name)
                if goal is None:
                    self._run.report("criterion", f"no task returned the number {name!r}, so the loop cannot reach it")
            elif goal is not None:
                metrics[name] = goal
            worker.met = criterion.met(goal)
        self._record(worker, metrics, outcome.times_ms)
        state = StepState(
            step=worker.step, metrics=MappingProxyType(metrics), state=MappingProxyType(outcome.results),
            worker_id=worker.id, config=worker.shown_config, criterion_value=goal, timestamp_ns=time.time_ns(),
            elapsed_s=self._run.elapsed_s,
            should_stop=worker.met or self._control.stop_requested or self._run.stop_requested,
        )  # fmt: skip
        worker.previous = state
        worker.step += 1
        worker.count += 1
        if worker.id is not None:
            self._states[worker.id] = state
        self._last = replace(state, workers=self.final_states) if self._parallel else state
        self._run.will_end(self._verdict("stopped"))
        self._run.end_step(state, self._last)
        return state

    def _record(self, worker: Worker, metrics: dict[str, float], times_ms: dict[str, float]) -> None:
        name = worker.name
        values = metrics if name is None else {f"{name}/{key}": value for key, value in metrics.items()}
        prefix = "system/tasks/" if name is None else f"system/tasks/{name}/"
        times = {f"{prefix}{task}_ms": taken for task, taken in times_ms.items()}
        self._run.log_values({**values, **times}, step=worker.step)

    def _note_end(self, worker: Worker) -> None:
        if self._run.status == "running":
            payload = {"worker_id": worker.id, "reason": worker.reason, "steps": worker.count}
            log_event(self._run, "worker_ended", step=max(0, worker.step - 1), payload=payload)

    # How it ends

    def _verdict(self, unproven: str) -> str:
        """The reason of the whole loop: the goal is reached when every worker has reached it."""
        reasons = {"criterion_met" if worker.met else worker.reason or unproven for worker in self._workers}
        order = (unproven, "interrupted", "error", "stop_requested", "stopped", "max_steps", "criterion_met")
        return next((reason for reason in order if reason in reasons), unproven)

    def _exhausted(self) -> None:
        self._close()
        self._run.will_end(self._verdict("stopped"))
        if self._owns_run and not self._managed:
            self._run.__exit__(None, None, None)

    def _failed(self, error: BaseException) -> None:
        self._close(wait_s=0.0)
        if self._owns_run and not self._managed:
            self._run.__exit__(type(error), error, error.__traceback__)

    def _close(self, wait_s: float = JOIN_S) -> None:
        self._over = True
        self._run.begin_step(None)
        if self._crew is not None:
            self._crew.close(time.monotonic() + wait_s)

    def __enter__(self) -> "LoopSteps":
        self._managed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self._close(JOIN_S if error is None else 0.0)
        if self._owns_run:
            self._run.__exit__(kind, error, trace)

    async def __aenter__(self) -> "LoopSteps":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __del__(self) -> None:
        if self._over or self._managed or self._crew is None:
            return
        on_purpose, cancelled = left_on_purpose(caller_of_finalizer(), self._consumer), being_cancelled()
        self._close(JOIN_S if on_purpose else 0.0)
        if self._owns_run and (on_purpose or cancelled):
            self._run.finish("interrupted" if cancelled else self._verdict("stopped"))


def _differs(before: Any, now: Any) -> bool:
    """Whether a value has changed; one that cannot be compared, such as an array, counts as changed."""
    try:
        return bool(before != now)
    except Exception:  # noqa: BLE001  it may be any object
        return True
