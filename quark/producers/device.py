"""Values that live on an accelerator: recognised without importing torch, fetched without stopping the device.

``float(t.item())`` makes the processor wait until the device has done everything that was queued before. Here the
value's copy into pinned memory is queued on a stream of its own behind an event; whoever drains the queue asks the
event, and records the value with the step and time of the call. Until it has arrived it is not in the journal.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


def is_on_device(value: Any) -> bool:
    """Whether ``value`` is a torch tensor on a CUDA device."""
    try:
        return getattr(value, "is_cuda", False) is True
    except Exception:  # noqa: BLE001  a foreign object's attribute may raise anything; it is no tensor then
        return False


class DeviceValues:
    """Values on their way from the device, in the order in which they were logged."""

    def __init__(self, torch: Any = None) -> None:
        self._torch = torch
        self._pending: deque[tuple[Any, Any, Callable[[Any], None]]] = deque()
        self._streams: dict[Any, Any] = {}
        self._draining = threading.Lock()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, value: Any, arrived: Callable[[Any], None]) -> None:
        """Queue the copy of a one-element tensor; ``arrived`` gets the number once it is here."""
        torch = self._torch or sys.modules["torch"]
        stream = self._streams.get(value.device)
        if stream is None:
            stream = self._streams[value.device] = torch.cuda.Stream(value.device)
        source = value.detach()
        stream.wait_stream(torch.cuda.current_stream(value.device))
        with torch.cuda.stream(stream):
            target = torch.empty((), dtype=source.dtype, device="cpu", pin_memory=True)
            target.copy_(source.reshape(()), non_blocking=True)
            source.record_stream(stream)
            event = torch.cuda.Event()
            event.record(stream)
        self._pending.append((event, target, arrived))

    def drain(self, *, wait: bool = False) -> None:
        """Hand out what has arrived; with ``wait`` everything, which waits for the device."""
        if not self._draining.acquire(blocking=wait):
            return
        try:
            while self._pending:
                event, target, arrived = self._pending[0]
                if wait:
                    event.synchronize()
                elif not event.query():
                    return
                self._pending.popleft()
                arrived(target.item())
        finally:
            self._draining.release()
