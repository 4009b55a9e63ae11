"""One iteration of a loop: the tasks in their order, what they returned, and the value of the criterion."""

import inspect
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from ..core.lifecycle import StepState
from ..errors import ConfigurationError, WrongTypeError
from ..records.grammar import to_float
from ..session.loop import worker_name
from .declared import Criterion, LoopTask


class Call(Protocol):
    """How a task is called and, if it is asynchronous, awaited."""

    async def __call__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """What the function returned."""
        ...

    def close(self) -> None:
        """No more calls."""
        ...


class CallHere:
    """Calls tasks where it stands, outside of an event loop; what they await runs on a loop of its own."""

    def __init__(self) -> None:
        self._runner: Any = None

    async def __call__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """What the function returned."""
        result = function(**arguments)
        return self._wait_for(result) if inspect.isawaitable(result) else result

    def _wait_for(self, awaitable: Any) -> Any:
        import asyncio

        if _inside_event_loop():
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise ConfigurationError(
                "an async task cannot run here, inside a running event loop; write: async for state in loop.start(...)"
            )

        async def waiting() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(waiting())

    def close(self) -> None:
        """Close the event loop, if one was needed."""
        if self._runner is not None:
            self._runner.close()


def _inside_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class CallAwaiting:
    """Calls and awaits tasks on the running event loop; with ``threads`` those that would block it run beside it."""

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads

    async def __call__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """What the function returned."""
        if self._threads and not inspect.iscoroutinefunction(function):
            import asyncio

            result = await asyncio.to_thread(function, **arguments)
        else:
            result = function(**arguments)
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class Worker:
    """One line of iterations: the whole loop, or one of several beside each other."""

    id: int | str | None
    step: int
    config: dict[str, Any]
    shown_config: Mapping[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    previous: StepState | None = None
    met: bool = False
    reason: str | None = None

    @property
    def name(self) -> str | None:
        """Its name in metric keys; None if it is the only one."""
        return worker_name(self.id)


@dataclass(slots=True)
class Control:
    """What the loop's owner asked for while it runs."""

    stop_requested: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an iteration made."""

    results: dict[str, Any]
    goal: float | None
    times_ms: dict[str, float]


async def iterate(
    tasks: Mapping[str, LoopTask], criterion: Criterion | None, run: Any, worker: Worker, call: Call
) -> Outcome:
    """Run the tasks; later ones see what earlier ones of the same iteration returned."""
    results: dict[str, Any] = {}
    times: dict[str, float] = {}
    so_far = StepState(worker.step, state=MappingProxyType(results), worker_id=worker.id)
    given = {
        "step": worker.step, "state": so_far, "previous": worker.previous, "worker_id": worker.id, "run": run,
        "config": MappingProxyType(worker.config),
    }  # fmt: skip
    for task in tasks.values():
        began = time.perf_counter()
        try:
            result = await call(task.function, {name: given[name] for name in task.takes})
        except Exception as error:
            error.add_note(f"in task {task.name!r} of the loop, {_where(worker)}")
            raise
        times[task.name] = round((time.perf_counter() - began) * 1e3, 4)
        if isinstance(result, Mapping):
            results.update(result)
        elif result is not None:
            results[task.name] = result
    goal = None
    if criterion is not None and criterion.function is not None:
        value = await call(criterion.function, {name: given[name] for name in criterion.takes})
        goal = None if value is None else to_float(value, "what the criterion returned")
    return Outcome(results, goal, times)


def _where(worker: Worker) -> str:
    return f"step {worker.step}" if worker.id is None else f"step {worker.step} of {worker.name}"


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise ConfigurationError("this needs an event loop; write: async for state in loop.start(...)")


def numbers(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers among what tasks returned, by metric key; nested mappings give ``outer/inner``."""
    for name, value in values.items():
        if not isinstance(name, str) or isinstance(value, (str, bytes)):
            continue
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{name}/")
        elif getattr(value, "shape", ()) == ():
            try:
                yield prefix + name, to_float(value)
            except WrongTypeError:  # an object, a complex number: it stays in the state and is no metric
                continue
