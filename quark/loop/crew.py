"""Who runs the iterations: the loop itself, or several workers beside each other on threads or on an event loop."""

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from .iteration import Call, CallAwaiting, CallHere, Outcome, Worker, drive

Iterate = Callable[[Worker, Call], Coroutine[Any, Any, Outcome]]


class Crew(Protocol):
    """Runs one iteration of a worker at a time, and those of several workers at once."""

    def begin(self, worker: Worker) -> None:
        """Begin the worker's next iteration."""
        ...

    def busy(self) -> bool:
        """Whether an iteration was begun and not yet handed out."""
        ...

    async def next(self) -> tuple[Worker, Outcome]:
        """The next iteration that is done; raises what its task raised."""
        ...

    def close(self, deadline: float) -> None:
        """No more iterations; those in progress may end until ``deadline`` (monotonic) and are forgotten."""
        ...


class Alone:
    """One worker, in the thread of the loop."""

    def __init__(self, iterate: Iterate, call: Call) -> None:
        self._iterate = iterate
        self._call = call
        self._waiting: Worker | None = None

    def begin(self, worker: Worker) -> None:
        """See Crew."""
        self._waiting = worker

    def busy(self) -> bool:
        """See Crew."""
        return self._waiting is not None

    async def next(self) -> tuple[Worker, Outcome]:
        """See Crew."""
        worker, self._waiting = self._waiting, None
        if worker is None:
            raise RuntimeError("no iteration was begun")
        return worker, await self._iterate(worker, self._call)

    def close(self, deadline: float) -> None:
        """See Crew."""
        self._call.close()


class OnThreads:
    """A thread for each worker. They are daemons: a task that hangs must not keep the process."""

    def __init__(self, iterate: Iterate) -> None:
        self._iterate = iterate
        self._done: queue.SimpleQueue[tuple[Worker, Outcome | None, BaseException | None]] = queue.SimpleQueue()
        self._orders: dict[int | str | None, queue.SimpleQueue[Worker | None]] = {}
        self._threads: list[threading.Thread] = []
        self._begun = 0

    def begin(self, worker: Worker) -> None:
        """See Crew."""
        if worker.id not in self._orders:
            self._orders[worker.id] = queue.SimpleQueue()
            context = contextvars.copy_context()  # the current run is the same in there
            thread = threading.Thread(
                target=context.run, args=(self._work, self._orders[worker.id]), name=f"quark-loop-{worker.name}",
                daemon=True,
            )  # fmt: skip
            self._threads.append(thread)
            thread.start()
        self._begun += 1
        self._orders[worker.id].put(worker)

    def busy(self) -> bool:
        """See Crew."""
        return self._begun > 0

    async def next(self) -> tuple[Worker, Outcome]:
        """See Crew."""
        worker, outcome, error = self._done.get()
        self._begun -= 1
        if outcome is None:
            raise error or RuntimeError("a worker ended without an outcome")
        return worker, outcome

    def close(self, deadline: float) -> None:
        """See Crew."""
        for orders in self._orders.values():
            orders.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, orders: "queue.SimpleQueue[Worker | None]") -> None:
        call = CallHere()
        while (worker := orders.get()) is not None:
            try:
                self._done.put((worker, drive(self._iterate(worker, call)), None))
            except BaseException as error:  # noqa: BLE001  it is raised where the loop is iterated
                self._done.put((worker, None, error))
        call.close()


class OnEventLoop:
    """An asyncio task for each iteration; a synchronous task of the user runs in a thread beside the event loop."""

    def __init__(self, iterate: Iterate) -> None:
        self._iterate = iterate
        self._call = CallAwaiting(threads=True)
        self._tasks: dict[Any, Worker] = {}

    def begin(self, worker: Worker) -> None:
        """See Crew."""
        import asyncio

        self._tasks[asyncio.ensure_future(self._iterate(worker, self._call))] = worker

    def busy(self) -> bool:
        """See Crew."""
        return bool(self._tasks)

    async def next(self) -> tuple[Worker, Outcome]:
        """See Crew."""
        import asyncio

        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = next(task for task in self._tasks if task.done())
        return self._tasks.pop(task), task.result()

    def close(self, deadline: float) -> None:
        """See Crew."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            if not task.get_loop().is_closed():
                task.add_done_callback(_taken)
                task.cancel()


def _taken(task: Any) -> None:
    """Look at the error of a task that nobody waits for, or the event loop complains of it."""
    if not task.cancelled():
        task.exception()


def crew_for(iterate: Iterate, *, parallel: bool, asynchronous: bool) -> Crew:
    """The crew of a loop."""
    if parallel:
        return OnEventLoop(iterate) if asynchronous else OnThreads(iterate)
    return Alone(iterate, CallAwaiting(threads=False) if asynchronous else CallHere())
