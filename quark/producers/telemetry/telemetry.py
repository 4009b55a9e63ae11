"""SystemTelemetry: what the machine did in each step, or at a moment, recorded and mirrored as metrics."""

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar

from ...core.reader import RecordFilter
from ...errors import ClosedError, SchemaValidationError, WrongTypeError
from ...records.base import REFUSED, parse_timestamp, unrecorded
from ...records.grammar import check_index, check_step, index_or_none, one_of, shown, to_float
from ...records.jsonable import json_object
from ...records.telemetry import SystemTelemetryRecord
from ..attach import Attachment, check_batch_size
from ..device import DeviceValues, is_on_device
from ..wide import log_values
from ..writing import RecordWriter
from .config import SystemTelemetryConfig
from .pending import Flag, PendingStep, PendingSteps
from .periodic import Periodic
from .sample import Sample
from .scope import StepTelemetryScope
from .sources import Sources, Surroundings
from .timing import Times, start_marks

_NO_TIMES: Times = (None, None, None)
_WRITER = RecordWriter(SystemTelemetryRecord)

LEAST_PERIOD_S = 0.1
"""The machine is looked at ten times a second at most."""

DEVICE_WAIT_S = 1.0
"""How long ``flush``, ``read`` and ``close`` poll for a device that has not finished its steps."""


class SystemTelemetry(Attachment):
    """Records timing, processor, memory and GPU of training steps.

    Args:
        session: a TrainingSession, or the RunContext of one.
        config: how often, and of what; the defaults if omitted.
        batch_size: how many of the records made since the last ``flush`` it returns at most.
    """

    __module__ = "quark"
    measures_steps = True  # a loop that times its steps leaves that to this producer
    _surroundings: ClassVar[Surroundings] = Surroundings()

    def __init__(self, session: Any, *, config: SystemTelemetryConfig | None = None, batch_size: int = 20) -> None:
        super().__init__(session)
        self._config = _checked_config(config)
        self._every = self._config.sample_every_n_steps
        self._recent: deque[SystemTelemetryRecord] = deque(maxlen=check_batch_size(batch_size))
        self._clock = self._surroundings.clock
        self._counting = threading.Lock()
        self._overflows = 0
        self._skipped = 0
        self._devices = DeviceValues()
        self._pending = PendingSteps(self._store_pending, self._drain)
        enabled = not self._handle.disabled
        self._periodic: Periodic | None = None
        self._sources = Sources(self._surroundings, self._config, enabled=enabled, report=self._handle.report)
        attach = getattr(self._handle, "attach", None)
        if enabled and attach is not None:
            attach(self)

    def start_step(
        self, step: int, *, epoch: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> StepTelemetryScope:
        """Begin to time a step; use it with ``with``, and call ``mark_data_ready`` when the batch is on the device.

        The step's time, the part before the mark (data) and the part after it (compute) are recorded when the scope
        ends; without a mark both parts are null. Where torch uses CUDA, the times are the device's own, and the record
        follows when the device is through. A step that ends by an exception is always recorded, with its name in
        ``metadata["exception"]``.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the step is refused,
                counted and warned about, and the scope records nothing.
        """
        if self._handle.disabled:
            return _SILENT
        try:
            self._check_open()
            number = check_step(step)
            epoch = check_index(epoch, "epoch")
            details = None if metadata is None else json_object(metadata, "metadata", strict=self._handle.strict)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"telemetry of step {shown(step)}")
            return _SILENT
        if self._pending:
            self._resolve(0.0)
        marks = None
        if number % self._every == 0:
            self._sources.ask()
            cuda = self._sources.on_cuda()
            if cuda is not None:
                marks = start_marks(cuda)
        return StepTelemetryScope(number, epoch, details, self._finish, self._clock, marks)

    def sample(
        self,
        *,
        step: int | None = None,
        epoch: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> SystemTelemetryRecord:
        """Record the machine as it is now; the boundary is ``step`` if a step is given, else ``time``.

        It takes a look of the last 100 ms, or waits up to 50 ms for one.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the call is refused,
                counted and warned about, and a record is returned whose ``refused`` is True.
        """
        try:
            self._check_open()
            step, epoch = check_index(step, "step"), check_index(epoch, "epoch")
            details = None if metadata is None else json_object(metadata, "metadata", strict=self._handle.strict)
            now = time.time_ns() if timestamp is None else parse_timestamp(timestamp)
            self._sources.on_cuda()
            looked = self._sources.fresh()
            return self._store("time" if step is None else "step", step, epoch, _NO_TIMES, details, now, looked)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what="telemetry sample")
            fields = {"boundary": "time", "step": index_or_none(step), "epoch": index_or_none(epoch), "metadata": {}}
            return unrecorded(SystemTelemetryRecord, self._handle.journal.origin, REFUSED, fields)

    def start_sampling(self, every_s: float = 30.0) -> None:
        """Record the machine at once and then every so many seconds, also while no step is taken; until ``close``.

        For the time in which data are prepared or a model is evaluated. The records have the boundary ``time``; a
        thread of its own makes them. Called again, it goes on at the new pace.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the call is refused,
                counted and warned about. ``every_s`` is 0.1 at least.
        """
        try:
            self._check_open()
            pace_s = _seconds(every_s)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what="start_sampling")
            return
        self._stop_sampling()
        if not self._handle.disabled:
            self._periodic = Periodic(self._sample_now, pace_s, self._handle.report)

    def _stop_sampling(self) -> None:
        periodic, self._periodic = self._periodic, None
        if periodic is not None:
            periodic.end()

    def _sample_now(self) -> None:
        self._sources.find_device()
        self._sources.fresh()
        try:
            self.record_moment(None, None)
        except ClosedError:  # the run has ended in this moment
            return

    def record_step(
        self,
        step: int,
        *,
        epoch: int | None = None,
        step_time_ms: float | None = None,
        data_time_ms: float | None = None,
        compute_time_ms: float | None = None,
        overflow_occurred: bool = False,
        skipped_step: bool = False,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> SystemTelemetryRecord | None:
        """Record a step that was timed elsewhere, and count overflows and skipped steps.

        Returns:
            The record; None for a step off the cadence ``sample_every_n_steps``, unless an overflow or a skipped step
            happened in it: those are always recorded. None too while a flag that is a tensor on the device has not
            arrived, and for a step that was refused.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the step is refused,
                counted and warned about.
        """
        if self._handle.disabled:
            return None
        try:
            self._check_open()
            number = check_step(step)
            epoch = check_index(epoch, "epoch")
            times = (
                _milliseconds(step_time_ms, "step_time_ms"),
                _milliseconds(data_time_ms, "data_time_ms"),
                _milliseconds(compute_time_ms, "compute_time_ms"),
            )
            details = None if metadata is None else json_object(metadata, "metadata", strict=self._handle.strict)
            now = time.time_ns() if timestamp is None else parse_timestamp(timestamp)
            if self._pending:
                self._pending.resolve()
            if is_on_device(overflow_occurred) or is_on_device(skipped_step):
                flags = self._flag(overflow_occurred), self._flag(skipped_step)
                self._pending.add(
                    PendingStep(number, epoch, times, details or {}, now, self._sources.latest(), flags=flags)
                )
                return None
            if overflow_occurred or skipped_step:
                self._count(bool(overflow_occurred), bool(skipped_step))
            elif number % self._every:
                return None
            self._sources.on_cuda()
            return self._store("step", number, epoch, times, details, now, self._sources.latest())
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"telemetry of step {shown(step)}")
            return None

    def prepare_moment(self) -> None:
        """A moment will be recorded soon: let the sampler look, on its own thread."""
        self._sources.find_device()
        self._sources.ask()

    def record_moment(self, step: int | None, epoch: int | None) -> None:
        """Record the latest look, as a moment within ``step``; for other threads than the training's.

        Raises:
            ClosedError: the run has ended.
        """
        self._check_open()
        now, sample = time.time_ns(), self._sources.latest()
        body = {
            "boundary": "time", "step_time_ms": None, "data_time_ms": None, "compute_time_ms": None, **sample.fields,
            "overflow_count": self._overflows, "skipped_step_count": self._skipped, "metadata": {},
        }  # fmt: skip
        self._recent.append(_WRITER.put(self._handle.journal, body, step, epoch, now))
        if self._config.emit_scalar_metrics and step is not None and sample.metrics:
            log_values(self._handle, sample.metrics, step, epoch, now)

    def _finish(self, scope: StepTelemetryScope, times: Times, failure: str | None) -> SystemTelemetryRecord | None:
        """A scope has ended."""
        if failure is None and scope.step % self._every:
            return None
        details = scope.metadata
        if failure is not None:
            details = {**(details or {}), "exception": failure}
        now = time.time_ns()
        try:
            self._check_open()
            if scope.marks is not None:
                pending = PendingStep(
                    scope.step, scope.epoch, times, details or {}, now, self._sources.latest(), scope.marks
                )
                self._pending.add(pending)
                self._pending.resolve()
                return None
            return self._store("step", scope.step, scope.epoch, times, details, now, self._sources.latest())
        except ClosedError as error:
            self._handle.refuse(error, what=f"telemetry of step {scope.step}")
            return None

    def _flag(self, value: Any) -> Flag:
        if not is_on_device(value):
            return Flag(bool(value))
        flag = Flag()
        self._devices.add(value, flag.arrive)
        return flag

    def _drain(self) -> None:
        try:
            self._devices.drain()
        except RuntimeError as error:  # the device failed; the training will say so
            self._handle.report("telemetry_device", error)

    def _count(self, overflow: bool, skipped: bool) -> None:
        with self._counting:
            self._overflows += overflow
            self._skipped += skipped

    def _store_pending(self, pending: PendingStep) -> None:
        overflow, skipped = (bool(flag.value) for flag in pending.flags)
        if overflow or skipped:
            self._count(overflow, skipped)
        elif pending.step % self._every:
            return
        self._store(
            "step", pending.step, pending.epoch, pending.times, pending.metadata, pending.time_ns, pending.sample
        )

    def _store(
        self, boundary: str, step: int | None, epoch: int | None, times: Times, metadata: dict[str, Any] | None,
        now: int, sample: Sample,
    ) -> SystemTelemetryRecord:  # fmt: skip
        step_ms, data_ms, compute_ms = times
        overflows, skipped = self._overflows, self._skipped
        body = {
            "boundary": boundary,
            "step_time_ms": step_ms,
            "data_time_ms": data_ms,
            "compute_time_ms": compute_ms,
            **sample.fields,
            "overflow_count": overflows,
            "skipped_step_count": skipped,
            "metadata": metadata or {},
        }
        record = _WRITER.put(self._handle.journal, body, step, epoch, now)
        self._recent.append(record)
        if self._config.emit_scalar_metrics and (step is not None or epoch is not None):
            values = {
                **sample.metrics,
                "system/runtime/overflow_count": overflows,
                "system/runtime/skipped_step_count": skipped,
            }
            if step_ms is not None:
                values["system/runtime/step_time_ms"] = step_ms
            if data_ms is not None:
                values["system/runtime/data_time_ms"] = data_ms
            if compute_ms is not None:
                values["system/runtime/compute_time_ms"] = compute_ms
            log_values(self._handle, values, step, epoch, now)
        return record

    def flush(self) -> tuple[SystemTelemetryRecord, ...]:
        """Bring everything to the store and return the records made since the last flush, at most ``batch_size``."""
        self._resolve(DEVICE_WAIT_S)
        self._handle.flush()
        recent = tuple(self._recent)
        self._recent.clear()
        return recent

    def read(
        self, *, boundary: str | None = None, step: int | None = None, step_min: int | None = None,
        step_max: int | None = None, epoch: int | None = None, epoch_min: int | None = None,
        epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[SystemTelemetryRecord, ...]:  # fmt: skip
        """The run's telemetry in the order of recording, the first ``limit`` records; bounds are inclusive."""
        self._resolve(DEVICE_WAIT_S)
        where = {"boundary": None if boundary is None else one_of(boundary, ("step", "time"), "boundary")}
        return self._read(
            SystemTelemetryRecord, where, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip

    def _resolve(self, wait_s: float, *, give_up: bool = False) -> None:
        try:
            self._pending.resolve(wait_s, give_up=give_up)
        except ClosedError as error:
            self._handle.refuse(error, what="telemetry of the last steps")

    def close(self) -> None:
        """As of every producer; the first look of a sampling that has just begun is recorded before."""
        self._stop_sampling()
        super().close()

    def _on_close(self) -> None:
        self._resolve(DEVICE_WAIT_S, give_up=True)
        self._sources.close()
        self._handle.offer()

    def __enter__(self) -> "SystemTelemetry":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checked_config(config: Any) -> SystemTelemetryConfig:
    if config is None:
        return SystemTelemetryConfig()
    if not isinstance(config, SystemTelemetryConfig):
        raise WrongTypeError(f"config must be a SystemTelemetryConfig, got {shown(config)}")
    return config


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise WrongTypeError(f"every_s must be a number of seconds, got {shown(value)}")
    number = to_float(value, "every_s")
    if not LEAST_PERIOD_S <= number < threading.TIMEOUT_MAX:
        raise SchemaValidationError(f"every_s must be at least {LEAST_PERIOD_S:g} s, got {shown(value)}")
    return number


def _milliseconds(value: Any, field: str) -> float | None:
    if value is None:
        return None
    number = to_float(value, field)
    if not 0.0 <= number < math.inf:
        raise SchemaValidationError(f"{field} must be finite and at least 0 ms, got {number}; pass the measured time")
    return number


_SILENT = StepTelemetryScope(0, None, None, None, time.perf_counter, None)
"""The scope of a step that is not recorded at all; it keeps nothing, so that all such steps share it."""
