"""The steps of a run: which one it is, how long data and compute took, and who is told when it is done."""

import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..core.lifecycle import StepState
from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import MAX_INT, SMALL_INT, check_index, whole
from .progress import Progress
from .watching import Watching

if TYPE_CHECKING:
    from .session import TrainingSession

TELEMETRY_EVERY_S = 1.0
"""Within ``steps`` a full telemetry record is kept this often; the times of every step are metrics."""


def worker_name(worker_id: int | str | None) -> str | None:
    """The first part of a worker's metric keys; None outside of parallel loops."""
    if worker_id is None or isinstance(worker_id, str):
        return worker_id
    return f"worker-{worker_id}"


def _number_of(step: Any) -> int | None:
    """A step or epoch that a caller gave, such as a NumPy integer, as an int; None for what is none."""
    try:
        return check_index(whole(step), "step")
    except (SchemaValidationError, WrongTypeError):
        return None


class Stepper:
    """Where a session is in its loop."""

    def __init__(self, session: "TrainingSession") -> None:
        self._session = session
        self.step_now: int | None = None
        self.epoch: int | None = None
        self.next_step = 0
        self._last: StepState | None = None
        self._unseen: Any = None
        self.collecting = False
        self.reason: str | None = None
        self.walk: _Walk | None = None
        self._metrics: dict[str, Any] = {}
        self._began = time.monotonic()
        self.watching = Watching(session)
        self._telemetry: Any = None
        self._making_telemetry = threading.Lock()
        self._telemetry_due = 0.0

    @property
    def latest_step(self) -> int | None:
        """The step that is under way, else the last one that was; None before the first."""
        if self.step_now is not None:
            return self.step_now
        return self.next_step - 1 if self.next_step > 0 else None

    def step_for_log(self) -> int:
        """The step of a ``log`` call that names none: the loop's, or one more than the last."""
        return self.next_step if self.step_now is None else self.step_now

    def step_for_epoch(self, epoch: Any) -> int | None:
        """The step of a ``log`` call that names an epoch alone; in a run without steps each epoch is one."""
        if self.latest_step is not None:
            return self.latest_step
        return _number_of(epoch)

    def saw(self, values: Any, step: int | None) -> None:
        """Metrics of the step went by; they are kept while a tracker or a progress bar wants them."""
        if self.collecting and isinstance(values, Mapping):
            self._metrics.update(values)
        if self.step_now is not None:
            return
        if type(step) is not int:
            step = _number_of(step)
        if step is not None and step >= self.next_step and (step <= SMALL_INT or step < MAX_INT):
            self.next_step = step + 1
            watching = self.watching
            if watching.awaiting:
                watching.logged(step, self.epoch)
            elif watching.walked:
                watching.outside(step)

    def explicit(
        self, step: int, metrics: Mapping[str, Any], epoch: int | None, worker_id: int | str | None = None
    ) -> None:
        """A step that the caller numbers himself is done."""
        try:
            if metrics:
                values = metrics if worker_id is None else {str(worker_name(worker_id)): metrics}
                self._session.log_values(values, step=step, epoch=epoch)
            self._metrics.update(metrics)
        except BaseException as error:  # noqa: BLE001  a mapping may raise anything; refuse lets interrupts through
            self._session.refuse(error, what="step")
        if self.next_step <= step < MAX_INT:
            self.next_step = step + 1
        self.watching.stepped(step, epoch)
        self._done(step, epoch, worker_id)

    def steps(
        self, iterable: Iterable[Any], *, epoch: int | None, start: int | None, progress: bool | None, total: int | None
    ) -> Iterator[Any]:  # fmt: skip
        """See TrainingSession.steps."""
        iterator = iter(iterable)
        walk = _Walk(self, iterable, epoch, start, progress, total)
        try:
            while walk.goes_on():
                try:
                    batch = next(iterator)
                except StopIteration:
                    walk.exhausted = True
                    break
                walk.ready()
                yield batch
                walk.done()
        finally:
            walk.close()

    def asteps(
        self, iterable: AsyncIterable[Any], *, epoch: int | None, start: int | None, progress: bool | None,
        total: int | None,
    ) -> AsyncIterator[Any]:  # fmt: skip
        """See TrainingSession.asteps."""
        return _AsyncSteps(_Walk(self, iterable, epoch, start, progress, total), aiter(iterable))

    def watch(self, model: Any, probes: list[Any]) -> None:
        """Arm ``probes`` (``begin_step``, ``end_step``, ``await_step``) from now on, and no others of ``model``."""
        for probe in [one for one in self.watching if one.watches(model)]:
            probe.close()
            self.watching.remove(probe)
        for probe in probes:
            self.watching.add(probe)
            if self.step_now is not None:
                probe.begin_step(self.step_now, epoch=self.epoch)
            elif self.watching.awaiting:
                probe.await_step(self.next_step, epoch=self.epoch)

    def begin(self, step: int | None, epoch: int | None) -> None:
        """A step that is not one of a walk begins, or none is going on."""
        self.step_now, self.epoch = step, epoch
        if step is None:
            self.watching.end()
        else:
            self.next_step = max(self.next_step, step + 1)
            self.watching.begin(step, epoch)

    def close(self) -> None:
        """The run ends: no step is going on any more."""
        self.step_now = None
        self.watching.close()

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the step so far."""
        return self._metrics

    def measured(self, step: int, epoch: int | None, data_s: float, compute_s: float) -> None:
        """Record the times of a step, and once a second what the machine does.

        A SystemTelemetry that the user attached measures by itself; nothing is measured twice.
        """
        if not self._measures_itself():
            self._record_times(step, epoch, data_s, compute_s)
        self._done(step, epoch)

    def _measures_itself(self) -> bool:
        others = (producer for producer in self._session.attached if producer is not self._telemetry)
        return any(getattr(producer, "measures_steps", False) for producer in others)

    def _record_times(self, step: int, epoch: int | None, data_s: float, compute_s: float) -> None:
        times = {
            "step_time_ms": round((data_s + compute_s) * 1e3, 4),
            "data_time_ms": round(data_s * 1e3, 4),
            "compute_time_ms": round(compute_s * 1e3, 4),
        }
        now = time.monotonic()
        if now >= self._telemetry_due:
            self._telemetry_due = now + TELEMETRY_EVERY_S
            self.own_telemetry().record_step(step, epoch=epoch, **times)
        else:
            self._session.log_values({f"system/runtime/{k}": v for k, v in times.items()}, step=step, epoch=epoch)

    def is_measured(self, within_s: float) -> bool:
        """Whether the machine is recorded by somebody else, or was by ``steps`` in the last ``within_s``."""
        measured_at = self._telemetry_due - TELEMETRY_EVERY_S
        return self._measures_itself() or time.monotonic() - measured_at < within_s

    def own_telemetry(self) -> Any:
        """What records the machine where the user attached nothing; made by whoever needs it first."""
        with self._making_telemetry:
            if self._telemetry is None:
                from ..producers.telemetry import SystemTelemetry, SystemTelemetryConfig

                gpus = bool(self._session.manifest.environment.get("gpus"))
                self._telemetry = SystemTelemetry(self._session, config=SystemTelemetryConfig(capture_gpu=gpus))
            return self._telemetry

    def _done(self, step: int, epoch: int | None, worker_id: int | str | None = None) -> None:
        metrics, self._metrics = self._metrics, {}
        self._unseen = (step, epoch, metrics, self._session.stop_requested, time.monotonic(), worker_id)
        if self.collecting:
            self.told(self._seen())

    def _seen(self) -> StepState:
        """The state of the step that is done; times of day are worked out when somebody asks."""
        step, epoch, metrics, should_stop, then, worker_id = self._unseen
        return StepState(
            step=step, epoch=epoch, metrics=metrics, should_stop=should_stop, worker_id=worker_id,
            timestamp_ns=time.time_ns() - round((time.monotonic() - then) * 1e9), elapsed_s=then - self._began,
        )  # fmt: skip

    def told(self, state: StepState) -> None:
        """A step is done, and this is all of it."""
        self.last_state = state
        if self.collecting:
            self._session.tell_step(state)

    @property
    def last_state(self) -> StepState | None:
        """The last step that is done. Without a tracker it is put together only when somebody asks."""
        if self._unseen is not None:
            self.last_state = self._seen()
        return self._last

    @last_state.setter
    def last_state(self, state: StepState | None) -> None:
        self._last, self._unseen = state, None

    def elapsed_s(self) -> float:
        """Seconds since the run began in this process."""
        return time.monotonic() - self._began


class _Walk:
    """One pass over an iterable: numbers, times, the progress bar."""

    def __init__(
        self, stepper: Stepper, iterable: Any, epoch: int | None, start: int | None, progress: bool | None,
        total: int | None,
    ) -> None:  # fmt: skip
        self._stepper = stepper
        self._epoch = epoch
        self._number = stepper.next_step if start is None else start
        self._asked = 0.0
        self._got = 0.0
        self._begun = False
        self.exhausted = False
        self._bar = Progress.over(iterable, total, epoch, progress)
        stepper.collecting = stepper.collecting or self._bar.shown
        self._outer = stepper.step_now
        self._above = stepper.walk
        stepper.epoch = epoch
        stepper.reason = "stopped"  # until it is exhausted: nobody tells an iterator why it was left
        stepper.walk = self

    def goes_on(self) -> bool:
        """Whether another step may begin."""
        self._asked = time.perf_counter()
        if self._stepper._session.stops_before(self._number):
            self._stepper.reason = self._stepper._session.stop_reason
            return False
        return True

    def ready(self) -> None:
        """The batch is there: compute begins."""
        self._got = time.perf_counter()
        self._begun = True
        self._stepper.step_now = self._number
        self._stepper.next_step = self._number + 1
        self._stepper.watching.begin(self._number, self._epoch, walked=True)

    def done(self) -> None:
        """The loop's body has run through."""
        end = time.perf_counter()
        self._begun = False
        self._stepper.watching.end()
        self._bar.update(self._stepper.metrics, self._stepper._session.alerts)
        self._stepper.measured(self._number, self._epoch, self._got - self._asked, end - self._got)
        self._stepper.step_now = self._outer
        self._number += 1

    def close(self) -> None:
        """The pass is over: run out, broken off, or stopped. One that was left long ago changes nothing any more."""
        self._bar.close()
        if self._stepper.walk is not self:
            return
        if self._begun:  # left in the middle of a step: what comes now is not of it
            self._stepper.watching.end()
        self._stepper.walk = self._above
        self._stepper.step_now = self._outer
        if self.exhausted:
            self._stepper.reason = None if self._above is None else "stopped"


class _AsyncSteps:
    """One pass as an async iterator. A generator would hear that it was left only when the event loop runs again."""

    def __init__(self, walk: _Walk, iterator: AsyncIterator[Any]) -> None:
        self._walk = walk
        self._iterator = iterator
        self._begun = self._over = False

    def __aiter__(self) -> "_AsyncSteps":
        return self

    async def __anext__(self) -> Any:
        if self._over:
            raise StopAsyncIteration
        walk = self._walk
        try:
            if self._begun:
                walk.done()
            if not walk.goes_on():
                raise StopAsyncIteration
            try:
                batch = await anext(self._iterator)
            except StopAsyncIteration:
                walk.exhausted = True
                raise
        except BaseException:
            self._close()
            raise
        self._begun = True
        walk.ready()
        return batch

    async def aclose(self) -> None:
        """The loop is left."""
        self._close()

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if not self._over:
            self._over = True
            self._walk.close()
