"""How a session ends: once, on every way out, with a true reason."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, cast

from ..core.lifecycle import CriterionManifest, RunManifest, StepState, TaskManifest, status_of
from ..delivery import exits, unasked
from ..delivery.dispatcher import Dispatcher
from ..delivery.proof import cause_of, reason_of
from ..delivery.worker import SinkWorker
from ..errors import InvalidRunStateError, QuarkError
from ..producers.attach import forget_handle, register_handle
from ..producers.events import log_event
from ..records.base import format_timestamp
from ..records.grammar import one_of
from ..records.run import RunContext
from ..settings import setting
from .current import enter, leave
from .distributed import JOIN_VARIABLE
from .failure import described, record_failure
from .heartbeat import Heartbeat
from .home import Home, remember_home
from .interrupts import HeldInterrupt
from .leaving import consumer_of_generator, reason_of_generator
from .leftovers import Leftovers
from .loop import Stepper
from .progress import is_watched
from .recorder import Recorder
from .trackers import TrackerStack

if TYPE_CHECKING:
    from .session import TrainingSession

logger = logging.getLogger("quark")

_REASON_OF = {"completed": "completed", "failed": "error", "interrupted": "interrupted"}
SIGNAL_CLOSE_S = 2.0
_BEGAN = time.monotonic()


class Ending(Recorder):
    """A recorder that ends: by ``end_run``, by leaving its ``with`` block, or with its process."""

    shared = False
    leftovers: Leftovers | None = None
    heartbeat: Heartbeat | None = None
    stop_requested = False
    stop_step: int | None = None
    stop_reason = "stopped"
    analyze_at_end: bool | None = None
    _reason: str | None = None
    _signal: str | None = None
    followers: "tuple[TrainingSession, ...]" = ()
    """Runs that stop when this one is asked to: the members of a group."""
    _told_of: BaseException | None = None
    _crashed = False
    _consumer: CodeType | None = None

    def __init__(
        self, context: RunContext, manifest: RunManifest, delivery: Dispatcher, store_worker: SinkWorker | None,
        home: Home, *,
        close_timeout_s: float = 10.0,
    ) -> None:  # fmt: skip
        super().__init__(context, delivery, store_worker, home)
        self._manifest = manifest
        self.flush_timeout_s = self._close_timeout_s = close_timeout_s
        self._trackers = TrackerStack(delivery.health)
        self._stepper = Stepper(cast("TrainingSession", self))
        self._finishing = threading.RLock()
        self._end_written = False
        enter(self)
        delivery.tick = self.tick
        if store_worker is not None and self._origin.rank == 0:
            delivery.on_place_deleted = self._say_start_again
        register_handle(self)
        self._consumer = consumer_of_generator()
        exits.watch(self)

    def end_run(self, status: str = "completed") -> RunContext:
        """End the run with ``status``: completed, failed or interrupted.

        Raises:
            SchemaValidationError: another status.
            InvalidRunStateError: the run has ended already with another status.
        """
        wanted = one_of(status, tuple(_REASON_OF), "status")
        if self._reason is not None:
            if status_of(self._reason) == wanted:
                return self._context
            raise InvalidRunStateError(
                f"run {self.run_id} has ended as {self._context.run.status}; it cannot end as {wanted}"
            )
        self.finish((self._stepper.reason if wanted == "completed" else None) or _REASON_OF[wanted])
        return self._context

    def stop(self) -> None:
        """Ask the loop over ``steps`` to end after the current step."""
        self.stop_step = None
        self.stop_requested = True
        for follower in self.followers:
            follower.stop()

    def asked_to_stop(self, before_step: int | None = None) -> None:
        """Somebody asked from afar that the run stops; ``before_step``: what all ranks of a job agreed on."""
        self.stop_reason = "stop_requested"
        self.stop_step = before_step
        self.stop_requested = True
        if before_step is None:  # the ranks of a job agree for each run by itself: its store asks every member
            for follower in self.followers:
                follower.asked_to_stop()

    def stops_before(self, step: int) -> bool:
        """Whether a loop is to end before this step."""
        return self.stop_requested and (self.stop_step is None or step >= self.stop_step)

    @property
    def next_step(self) -> int:
        """The number that follows the last step of a loop."""
        return self._stepper.next_step

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began in this process."""
        return self._stepper.elapsed_s()

    def will_end(self, reason: str | None) -> None:
        """Say why the run ends, should nothing go wrong from now on; None takes it back."""
        self._stepper.reason = reason

    def share(self, shared: bool = True) -> None:
        """Whether ``start_run`` in this context (thread, task) joins this run rather than opens another.

        For whoever starts a run around code that starts one itself, such as a launcher. While the run is shared, to end
        it only says why it will end; its owner takes it back with ``share(False)`` and ends it.
        """
        self.shared = shared

    def declare(
        self, tasks: Mapping[str, TaskManifest], criterion: CriterionManifest | None, workers: int | None
    ) -> None:
        """What a tracked loop consists of; trackers that are attached from now on see it in their manifest."""
        self._manifest = replace(self._manifest, tasks=tasks, criterion=criterion, workers=workers)
        self._delivery.manifest = self._manifest

    def configured(self, config: dict[str, Any]) -> None:
        """The configuration has changed; trackers that are attached from now on see it in their manifest."""
        self._context = replace(self._context, run=replace(self._context.run, config=config))
        self._manifest = replace(self._manifest, params=config)
        if not self.disabled:
            self._delivery.manifest = self._manifest

    def learned_of_environment(self, values: Mapping[str, Any]) -> None:
        """Record what was found out of the run's environment after its start; it replaces what ``values`` names."""
        self.lifecycle("environment", {"values": values})
        environment = {**self._context.run.environment, **values}
        self._context = replace(self._context, run=replace(self._context.run, environment=environment))

    @property
    def stepper(self) -> Stepper:
        """Where the run is in its loop."""
        return self._stepper

    @property
    def current_step(self) -> int | None:
        """The step of the loop that is under way; None between steps."""
        return self._stepper.step_now

    @property
    def latest_step(self) -> int | None:
        """The step that is under way, else the last one that was; None before the first."""
        return self._stepper.latest_step

    def begin_step(self, step: int | None, epoch: int | None = None) -> None:
        """A step of a loop begins: ``log`` without a step means this one. None: no step is going on."""
        self._stepper.begin(step, epoch)

    def end_step(self, state: StepState, final: StepState) -> None:
        """A step of a loop is done, its metrics are recorded; ``final``: what ``on_stop`` is told if it is the last."""
        self._stepper.watching.end()
        self._stepper.told(state)
        self._stepper.last_state = final

    def finish(self, reason: str | None = None, *, timeout_s: float | None = None) -> None:
        """End the run once, for a stop reason; completed if none is given and none is known. Later calls do nothing."""
        reason = reason or self._reason_if_left_well()
        if self.shared:
            self.will_end(reason)
            return
        with self._finishing:
            if self._reason is not None or self._forked:
                return
            self._reason = reason
        with HeldInterrupt() as interrupt:
            self._finish(reason, timeout_s, interrupt)

    def _finish(self, reason: str, timeout_s: float | None, interrupt: HeldInterrupt) -> None:
        """Whatever fails on the way, the run gets its end and lets go of the process."""
        deadline = time.monotonic() + (self._close_timeout_s if timeout_s is None else timeout_s)
        self._try("close_steps", self._stepper.close, interrupt)
        if self.heartbeat is not None:
            self.heartbeat.end()
        self._close_producers(lambda what, close: self._try(what, close, interrupt))
        self._try("close_devices", lambda: self._devices.drain(wait=timeout_s is None), interrupt)
        self._try("close_unrecorded", self._unrecorded.write, interrupt)
        final, began = self._stepper.last_state, time.monotonic()
        self._try("trackers", lambda: self._trackers.on_stop(final, reason), interrupt)
        if timeout_s is None:  # the time is that of the sinks; a slow tracker has taken its own
            deadline += time.monotonic() - began
            if self._origin.rank == 0 and reason != "interrupted":
                self._try("analysis", lambda: interrupt.wait(lambda: self._analyze(deadline) is None), interrupt)
        self._write_end(reason)
        complete = interrupt.wait(lambda: self._delivery.close(final, reason, deadline))
        if interrupt.came:
            self._delivery.abandon()  # the journal keeps what is left
        self._let_go()
        if self.leftovers is not None and not interrupt.came:
            interrupt.wait(lambda: self._deliver_leftovers(deadline))
        if not complete and self._store_worker is not None:
            self._say_what_is_left()
        if self._origin.rank == 0 and timeout_s is None:
            self._try("goodbye", lambda: self._say_goodbye(complete), interrupt)

    def _deliver_leftovers(self, deadline: float) -> bool:
        if self.leftovers is not None:
            if self._manifest.world_size > 1:
                self.leftovers.other_ranks()
            self.leftovers.finish(deadline)
        return True

    def _analyze(self, deadline: float) -> None:
        from .closing import analyze_at_end

        analyze_at_end(cast("TrainingSession", self), deadline, time.monotonic() - _BEGAN)

    def _say_goodbye(self, stored: bool) -> None:
        asked = setting("QUARK_GOODBYE")
        if asked or (asked is None and is_watched()):
            from .goodbye import say_goodbye

            say_goodbye(cast("TrainingSession", self), stored=stored)

    def _try(self, cause: str, act: Callable[[], object], interrupt: HeldInterrupt) -> None:
        try:
            interrupt.run(act)
        except Exception as error:  # noqa: BLE001  nothing may keep a run from getting its end
            self.report(cause, described(error))

    def _write_end(self, reason: str) -> None:
        if self._end_written:
            return
        self._end_written = True
        now = format_timestamp(time.time_ns())
        status = status_of(reason)
        try:
            if self._origin.rank == 0:
                log_event(self, "run_ended", status=status, payload={"reason": reason})
                self.lifecycle("end", {"status": status, "reason": reason, "ended_at": now})
        except QuarkError as error:
            self.report("run_ended", error)
        self.mark_ended(reason, now)

    def mark_ended(self, reason: str, now: str | None = None) -> None:
        """The context of this process says that the run has ended."""
        now = now or format_timestamp(time.time_ns())
        run = replace(self._context.run, status=status_of(reason), reason=reason, ended_at=now, updated_at=now)
        self._context = replace(self._context, run=run)

    def tell_step(self, state: StepState) -> None:
        """Tell the trackers that a step is done."""
        self._trackers.on_step(state)

    def _let_go(self) -> None:
        exits.unwatch(self)
        forget_handle(self)
        if self._origin.rank == 0 and os.environ.get(JOIN_VARIABLE) == self.run_id:
            del os.environ[JOIN_VARIABLE]  # processes that are started from now on have no run to join
        remember_home(self.run_id, self._home)
        self.close_reader()
        self._leave()

    def _leave(self) -> None:
        leave(self)

    def _say_what_is_left(self) -> None:
        left = max((self._delivery.pending(w) for w in self._delivery.workers), default=0)
        lost = self._delivery.lost
        if lost:
            reason = "no directory could be written" if self._delivery.place.absent else "the disk took no more"
            logger.warning(
                "quark: %d records of run %s are lost: %s, so they were in memory only; free space, or set "
                "QUARK_STORAGE_DIR", lost, self.run_id, reason,
            )  # fmt: skip
        if left > lost:
            logger.warning(
                "quark: %d records wait in %s; they are delivered by the next run in this directory or by: "
                "quark sync %s", left - lost, self._delivery.place.directory, self._context.storage_dir,
            )  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish(self._reason_if_left_well())
            return
        cause: BaseException | None = cause_of(error)
        if isinstance(cause, GeneratorExit):
            reason, cause = reason_of_generator(self._consumer, cause)
        else:
            reason = reason_of(cause)
        self._fail(reason, cause)

    def _reason_if_left_well(self) -> str:
        """The reason of a run whose block or program ran through: something may be known that says otherwise."""
        error = None if self._crashed else unasked.error_of(self)
        if error is not None:
            self.thread_failed(error)
        if self._crashed:
            return "error"
        return "interrupted" if self._signal else self._stepper.reason or "completed"

    def _fail(self, reason: str, cause: BaseException | None) -> None:
        """End the run for ``cause``, also if Ctrl-C comes while that is looked at, or its text raises it."""
        try:
            if cause is not None:
                self._record_failure(cause)
        finally:
            self.finish(reason)

    def _record_failure(self, error: BaseException) -> None:
        """The exception that leaves the run, as the log message that the status rests on."""
        if self._reason is not None or error is self._told_of:
            return
        self._told_of = error  # a shared run is left by several
        record_failure(self, error, self.current_step)

    # Ways out of the process

    @property
    def journal_directory(self) -> Path:
        """Where the journal of this process lies."""
        return self._delivery.place.directory

    def exit_by_end(self, reason: str, error: BaseException | None) -> None:
        """The interpreter ends and nobody ended the run."""
        self.shared = False
        if self._crashed:
            reason, error = "error", None
        elif error is None and reason == "completed":
            reason = self._reason_if_left_well()
        self._fail(reason, error)

    def thread_failed(self, error: BaseException) -> None:
        """An exception that nobody caught has ended a thread that works on this run; other threads may go on."""
        self._record_failure(error)
        self._crashed = True

    def exit_by_signal(self, name: str) -> None:
        """A signal ends the process: say so and leave what cannot be delivered in two seconds to ``quark sync``.

        It runs on a thread of its own: the signal may have come while this thread held a lock of the delivery.
        """

        self.shared = False

        if self.capture is not None:
            self.capture.cancel()

        def end() -> None:
            self._record_failure(InterruptedError(f"received {name}"))
            self.finish("interrupted", timeout_s=SIGNAL_CLOSE_S)
            if self._reason is not None:  # the signal came while the run was ending, and what had begun stops here
                self._write_end(self._reason)

        ending = threading.Thread(target=end, name="quark-signal", daemon=True)
        try:
            ending.start()
        except RuntimeError:  # the interpreter is past starting threads
            end()
            return
        ending.join(SIGNAL_CLOSE_S + 0.5)

    def signalled(self, name: str) -> None:
        """A signal came that the user's own handler deals with."""
        self._signal = name

    def after_fork_in_child(self) -> None:
        """A forked child is silent: it stores nothing and ends nothing."""
        self._forked = True
        if self.capture is not None:
            self.capture.after_fork_in_child()
        self._delivery.health.after_fork()
        self._delivery.disown()
