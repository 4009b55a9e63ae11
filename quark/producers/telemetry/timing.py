"""When the parts of a step happened on a CUDA device, told by events in its queue.

The host only queues work: its clock would call the launch of a step the step. An event is stamped by the device when it
gets there, and nobody waits for it.
"""

import sys
from typing import Any

Times = tuple[float | None, float | None, float | None]
"""Milliseconds of the whole step, of waiting for data, and of computing."""


def active_cuda() -> Any:
    """torch.cuda where this process has initialised it, else None. Nothing is imported, no context is made."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    initialized = getattr(cuda, "is_initialized", None)
    return cuda if initialized is not None and initialized() else None


class DeviceMarks:
    """Events at the marks of one step, on the stream that was current then."""

    __slots__ = ("_cuda", "_end", "_ready", "_start")

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._start = self._record()
        self._ready: Any = None
        self._end: Any = None

    def _record(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def mark_data_ready(self) -> None:
        """The batch is on the device."""
        self._ready = self._record()

    def finish(self) -> None:
        """The step's last work is queued."""
        self._end = self._record()

    def done(self) -> bool:
        """Whether the device has passed all marks; it never waits."""
        return self._end.query()

    def times(self) -> Times:
        """Milliseconds on the device's own clock, once it is done; None for parts without a mark."""
        step = self._start.elapsed_time(self._end)
        if self._ready is None:
            return step, None, None
        return step, self._start.elapsed_time(self._ready), self._ready.elapsed_time(self._end)


def start_marks(cuda: Any) -> DeviceMarks | None:
    """Marks for a step that begins now, or None where the device takes no events, as while a graph is captured."""
    try:
        return None if cuda.is_current_stream_capturing() else DeviceMarks(cuda)
    except RuntimeError:
        return None
