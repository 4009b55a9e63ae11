"""The timing of one training step, as a context manager."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from ...errors import QuarkError
from ...records.telemetry import SystemTelemetryRecord
from .timing import DeviceMarks, Times

Finish = Callable[["StepTelemetryScope", Times, str | None], SystemTelemetryRecord | None]


class StepTelemetryScope:
    """A step that is being timed, from its making to ``finish``; ``SystemTelemetry.start_step`` makes it.

    Attributes:
        step: the step's number.
        epoch: the epoch, or None.
        metadata: context of the step, or None.
    """

    __module__ = "quark"
    __slots__ = ("_begun", "_clock", "_finish", "_finished", "_ready", "_record", "epoch", "marks", "metadata", "step")

    def __init__(
        self, step: int, epoch: int | None, metadata: dict[str, Any] | None, finish: Finish | None,
        clock: Callable[[], float], marks: DeviceMarks | None,
    ) -> None:  # fmt: skip
        self.step = step
        self.epoch = epoch
        self.metadata = metadata
        self.marks = marks
        self._finish = finish
        self._finished = finish is None
        self._record: SystemTelemetryRecord | None = None
        self._ready: float | None = None
        self._clock = clock
        self._begun = clock()

    def mark_data_ready(self) -> None:
        """The batch is there and computing begins; the first call counts."""
        if self._ready is not None or self._finished:
            return
        self._ready = self._clock()
        self._on_device("mark_data_ready")

    def finish(self) -> SystemTelemetryRecord | None:
        """End the step and record it.

        Returns:
            The record; None in a step that is not recorded, or whose times the device has not told yet: that record
            follows when it has. A second call returns what the first did.
        """
        return self._end(None)

    def _end(self, failure: str | None) -> SystemTelemetryRecord | None:
        if self._finished or self._finish is None:
            return self._record
        now = self._clock()
        self._finished = True
        if failure is not None:
            self.marks = None  # a device that has failed stamps no more events
        self._on_device("finish")
        ready = self._ready
        step_ms = (now - self._begun) * 1e3
        times = (step_ms, None, None) if ready is None else (step_ms, (ready - self._begun) * 1e3, (now - ready) * 1e3)
        self._record = self._finish(self, times, failure)
        return self._record

    def _on_device(self, mark: str) -> None:
        if self.marks is not None:
            try:
                getattr(self.marks, mark)()
            except RuntimeError:
                self.marks = None  # the host's times stay

    def __enter__(self) -> "StepTelemetryScope":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end(None)
            return
        try:
            self._end(kind.__name__)
        except QuarkError:  # the exception of the training is the one to see
            pass
