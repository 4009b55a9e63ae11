"""TrainingSession: one run from its start to its end, and the handle that every producer writes through."""

import logging
import sys
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextvars import Token
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..core.lifecycle import RunManifest, StepState, status_of
from ..core.sink import Sink
from ..delivery import exits
from ..delivery.dispatcher import Dispatcher
from ..delivery.worker import SinkWorker
from ..errors import ClosedError, InvalidRunStateError, QuarkError, SchemaValidationError, WrongTypeError
from ..producers.attach import forget_handle, register_handle
from ..producers.events import log_event, log_message
from ..records.base import format_timestamp
from ..records.event import EventRecord
from ..records.grammar import check_index, clean_text, one_of, shown
from ..records.run import RunContext
from ..sinks.discovery import sink_from
from .current import enter, leave
from .loop import Stepper
from .recorder import Recorder
from .trackers import TrackerStack

logger = logging.getLogger("quark")

_REASON_OF = {"completed": "completed", "failed": "error", "interrupted": "interrupted"}
SIGNAL_CLOSE_S = 2.0


class TrainingSession(Recorder):
    """A run that is being recorded. Make one with ``start_run`` or ``resume_run``; use it as a context manager.

    It is a RunHandle: producers (MetricsLogger, EventLogger, SystemTelemetry, ArtifactStore, ...) write through it.
    """

    __module__ = "quark"

    def __init__(
        self, context: RunContext, manifest: RunManifest, delivery: Dispatcher, store_worker: SinkWorker | None, *,
        close_timeout_s: float = 10.0,
    ) -> None:  # fmt: skip
        super().__init__(context, delivery, store_worker)
        self._manifest = manifest
        self.flush_timeout_s = self._close_timeout_s = close_timeout_s
        self._trackers = TrackerStack(delivery.health)
        self._stepper = Stepper(self)
        self._finishing = threading.RLock()
        self._reason: str | None = None
        self._signal: str | None = None
        self.stop_requested = False
        self.stop_reason = "stopped"
        self._current: Token[Any] = enter(self)
        delivery.tick = self._devices.drain
        register_handle(self)
        exits.still_running()
        exits.watch(self)

    # Starting and resuming

    @classmethod
    def start_run(
        cls,
        *,
        project: str,
        config: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        parent_run_id: str | None = None,
        storage_dir: str | Path | None = None,
        strict_mode: bool = False,
    ) -> "TrainingSession":
        """Start a run of ``project`` and return its session.

        Args:
            project: name of the project, 1 to 200 characters.
            config: the run's configuration, a JSON object; values that look like secrets are redacted.
            tags: tags of the run.
            parent_run_id: the run that this one was derived from.
            storage_dir: where the run is kept; QUARK_STORAGE_DIR or the working directory if omitted.
            strict_mode: raise on bad arguments of log calls instead of counting and warning.

        Raises:
            SchemaValidationError, WrongTypeError: an argument breaks a rule.
            RunNotFoundError: there is no run ``parent_run_id``.
        """
        from .start import begin

        return begin(
            project=project, config=config, tags=tags, parent_run_id=parent_run_id, storage_dir=storage_dir,
            strict_mode=strict_mode,
        )  # fmt: skip

    @classmethod
    def resume_run(cls, *, run_id: str, storage_dir: str | Path | None = None) -> "TrainingSession":
        """Continue an interrupted or failed run as a new attempt: what was recorded before stays.

        Raises:
            RunNotFoundError: the store has no such run.
            InvalidRunStateError: the run is completed, or still running.
        """
        from .start import resume

        return resume(run_id=run_id, storage_dir=storage_dir)

    # What it is

    @property
    def project_name(self) -> str:
        """Name of the project."""
        return self._context.project.name

    @property
    def status(self) -> str:
        """running, completed, failed or interrupted."""
        return self._context.run.status

    @property
    def context(self) -> RunContext:
        """What is known of the run in this process."""
        return self._context

    @property
    def storage_dir(self) -> str:
        """The storage directory."""
        return self._context.storage_dir

    @property
    def manifest(self) -> RunManifest:
        """What trackers are told when they start."""
        return self._manifest

    @property
    def rank(self) -> int:
        """Rank of this process in a distributed job, else 0."""
        return self._origin.rank

    def reload(self) -> RunContext:
        """Read the run from the store again and return the refreshed context."""
        self.flush()
        try:
            run = self.reader().run(self.run_id)
        except QuarkError as error:
            self.report("reload", error)
            return self._context
        self._context = replace(self._context, run=run)
        return self._context

    def to_dict(self) -> dict[str, Any]:
        """The context with project and run as plain dictionaries."""
        return self._context.to_dict()

    def __repr__(self) -> str:
        return f"<TrainingSession {self.run_id} of {self.project_name!r}: {self.status}>"

    # Recording

    def log(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Record many metrics of one step as one wide record.

        Inside ``steps`` the step and epoch are known; elsewhere a call without ``step`` counts up from the last one.
        Nested mappings become ``outer/inner``. A value that is refused leaves its neighbours alone.
        """
        stepper = self._stepper
        if step is None:
            step = stepper.step_for_log(epoch)
        if epoch is None:
            epoch = stepper.epoch
        stepper.saw(values, step)
        self.log_values(values, step=step, epoch=epoch)

    def step(self, step: int, metrics: Mapping[str, Any] | None = None, *, epoch: int | None = None) -> None:
        """Record a finished step explicitly: its metrics, and ``on_step`` for every tracker."""
        try:
            number = check_index(step, "step")
            if number is None:
                raise WrongTypeError("step must be a whole number, got None; pass the number of the step")
        except (SchemaValidationError, TypeError) as error:
            self.refuse(error, what="step")
            return
        self._stepper.explicit(number, metrics or {}, epoch)

    def steps(
        self, iterable: Iterable[Any], *, epoch: int | None = None, start: int | None = None,
        progress: bool | None = None, total: int | None = None,
    ) -> Iterator[Any]:  # fmt: skip
        """Go through the batches of a loop: times data and compute, knows the step, draws a progress bar.

        The step counts on over several calls; ``start`` sets it. The loop ends early when a stop was requested.
        """
        return self._stepper.steps(iterable, epoch=epoch, start=start, progress=progress, total=total)

    def asteps(
        self, iterable: AsyncIterable[Any], *, epoch: int | None = None, start: int | None = None,
        progress: bool | None = None, total: int | None = None,
    ) -> AsyncIterator[Any]:  # fmt: skip
        """``steps`` for ``async for``."""
        return self._stepper.asteps(iterable, epoch=epoch, start=start, progress=progress, total=total)

    def add_log(
        self,
        message: str,
        *,
        identifier: str | None = "Info",
        step: int | None = None,
        epoch: int | None = None,
        status: str | None = None,
        payload: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
        event_type: str = "user_log",
    ) -> EventRecord:
        """Record a log message with the identifier Info, Warning or Error."""
        try:
            return log_message(
                self, message, identifier=identifier, step=step, epoch=epoch, status=status, payload=payload,
                timestamp=timestamp, event_type=event_type,
            )  # fmt: skip
        except (SchemaValidationError, TypeError, ClosedError) as error:
            self.refuse(error, what="add_log")
            return None  # type: ignore[return-value]  # outside strict mode a refused message has no record

    def add_tag(self, tag: str) -> RunContext:
        """Add a tag to the run and return the refreshed context; a tag that is there already changes nothing."""
        try:
            if not isinstance(tag, str) or not tag.strip():
                raise SchemaValidationError(f"a tag must be text that is not empty, got {shown(tag)}")
            name = clean_text(tag)
            if name not in self._context.run.tags:
                self.lifecycle("tag", {"tag": name})
                self._context = replace(self._context, run=replace(self._context.run, tags=(*self._context.run.tags, name)))
        except (SchemaValidationError, ClosedError) as error:
            self.refuse(error, what="add_tag")
        return self._context

    def add_tracker(self, tracker: Any, *, name: str | None = None) -> Any:
        """Attach a tracker or a sink, or a sink by its name; its ``on_start`` fires at once. Returns the tracker.

        A sink gets every record of the run, also those from before it was attached. In a distributed job the sinks
        of rank 0 serve all ranks.

        Raises:
            ConfigurationError: there is no sink of this name.
        """
        if isinstance(tracker, (str, type)):
            tracker = sink_from(tracker)
        if self._reason is not None:
            self.refuse(ClosedError("the run has ended; attach trackers while it runs"), what="add_tracker")
        elif isinstance(tracker, Sink) or callable(getattr(tracker, "write", None)):
            if self.rank == 0 or tracker.per_writer:
                self._delivery.add_sink(tracker, name=name)
        else:
            self._trackers.add(tracker, self._manifest)
            self._stepper.collecting = True
        return tracker

    # Ending

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
            raise InvalidRunStateError(f"run {self.run_id} has ended as {self.status}; it cannot end as {wanted}")
        self.finish(_REASON_OF[wanted])
        return self._context

    def stop(self) -> None:
        """Ask the loop over ``steps`` to end after the current step."""
        self.stop_requested = True

    def finish(self, reason: str, *, timeout_s: float | None = None) -> None:
        """End the run once, for a stop reason; later calls do nothing."""
        with self._finishing:
            if self._reason is not None or self._forked:
                return
            self._reason = reason
        deadline = time.monotonic() + (self._close_timeout_s if timeout_s is None else timeout_s)
        self._stepper.close()
        self._close_producers()
        self._devices.drain(wait=timeout_s is None)
        final = self._stepper.last_state
        self._trackers.on_stop(final, reason)
        self._write_end(reason)
        complete = self._delivery.close(final, reason, deadline)
        self._let_go()
        if not complete and self._store_worker is not None:
            self._say_what_is_left()

    def _close_producers(self) -> None:
        for producer in reversed(self._attached):
            try:
                producer.close()
            except Exception as error:  # noqa: BLE001  a producer's fault must not keep the run open
                self.report(f"close_{type(producer).__name__}", error)

    def _write_end(self, reason: str) -> None:
        now = format_timestamp(time.time_ns())
        status = status_of(reason)
        if self._origin.rank == 0:
            log_event(self, "run_ended", status=status, payload={"reason": reason})
            self.lifecycle("end", {"status": status, "reason": reason, "ended_at": now})
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
        self._leave()

    def _leave(self) -> None:
        leave(self._current)

    def _say_what_is_left(self) -> None:
        left = max((self._delivery.pending(w) for w in self._delivery.workers), default=0)
        logger.warning(
            "quark: %d records wait in %s; they are delivered by the next run in this directory or by: quark sync %s",
            left, self._delivery.place.directory, self.storage_dir,
        )  # fmt: skip

    def __enter__(self) -> "TrainingSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            reason = "interrupted" if self._signal else self._stepper.reason or "completed"
            self.finish(reason)
        else:
            self._record_failure(error)
            self.finish(_reason_of_error(error))

    def _record_failure(self, error: BaseException) -> None:
        """The exception that leaves the run, as the log message that the status rests on."""
        if self._reason is not None:
            return
        failed = isinstance(error, Exception) and _reason_of_error(error) == "error"
        payload = {"exception_type": type(error).__name__}
        try:
            log_message(
                self, clean_text(f"{type(error).__name__}: {error}")[:4000],
                identifier="Error" if failed else "Warning", step=self._stepper.step_now, payload=payload,
                event_type="runtime_error" if failed else "runtime_interruption",
            )  # fmt: skip
        except (QuarkError, TypeError) as problem:
            self.report("runtime_error", problem)

    # Ways out of the process

    def exit_by_end(self, reason: str, error: BaseException | None) -> None:
        """The interpreter ends and nobody ended the run."""
        if error is not None:
            self._record_failure(error)
        self.finish("interrupted" if self._signal and reason == "completed" else reason)

    def exit_by_signal(self, name: str) -> None:
        """A signal ends the process: say so and leave what cannot be delivered in two seconds to ``quark sync``.

        It runs on a thread of its own: the signal may have come while this thread held a lock of the delivery.
        """
        def end() -> None:
            self._record_failure(InterruptedError(f"received {name}"))
            self.finish("interrupted", timeout_s=SIGNAL_CLOSE_S)

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
        self._delivery.disown()


def _reason_of_error(error: BaseException) -> str:
    """error, or interrupted for Ctrl-C, an exit, a signal and the cancellation of a task."""
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", ())
    if isinstance(error, (InterruptedError, *(cancelled if isinstance(cancelled, tuple) else (cancelled,)))):
        return "interrupted"
    return "error" if isinstance(error, Exception) else "interrupted"
