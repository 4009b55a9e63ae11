"""Processor and memory by psutil, against what the control group and the affinity leave to this process."""

import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

from .cgroup import ControlGroup
from .once import warn_once

T = TypeVar("T")

_LOOKS = 5
"""After so many looks, a value that has not come will not come."""

WINDOW_S = 0.02
"""The kernel counts processor time in ticks of 10 ms: a share over a shorter time is noise."""


class Machine:
    """Reads processor and memory. One thread at a time: the use of the processor is counted from the last read.

    Args:
        psutil: the module, or None if it is missing; then every value is None.
        group: the limits of the control group.
        affinity: the processors that the process may run on, or None for all.
        clock: seconds, monotonic.
    """

    def __init__(
        self, psutil: Any, group: ControlGroup, affinity: Sequence[int] | None = None, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._psutil = psutil
        self._group = group
        self._affinity = affinity
        self._clock = clock
        self._process = self._try(lambda: psutil.Process())
        self._total = self._try(lambda: psutil.virtual_memory().total) or 0
        self._all = self._try(lambda: psutil.cpu_count()) or 1
        self._count = self._all if affinity is None else len(affinity)
        self._before: tuple[str, float, float, float] | None = None
        self._percent: float | None = None
        self._looks = 0

    @property
    def complete(self) -> bool:
        """Whether a read gives all that it ever will; the use of the processor needs two looks or some more."""
        return self._psutil is None or self._percent is not None or self._looks >= _LOOKS

    def read(self) -> dict[str, float | int | None]:
        """The values by field; None where the system did not tell."""
        if self._psutil is None:
            return {}
        self._looks += 1
        used, share = self._try(self._memory) or (None, None)
        return {
            "cpu_usage_percent": self._try(self._processor),
            "ram_usage_percent": share,
            "ram_used_bytes": used,
            "process_rss_bytes": self._try(lambda: self._process.memory_info().rss),  # type: ignore[union-attr]
        }

    def _try(self, read: Callable[[], T]) -> T | None:
        """Hidden /proc, a lost process, an odd kernel: a value less, and the others stay."""
        if self._psutil is None:
            return None
        try:
            return read()
        except (self._psutil.Error, OSError, RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
            warn_once(f"machine {type(error).__name__}", f"a value of the machine could not be read ({error})")
            return None

    def _memory(self) -> tuple[int, float]:
        limited = self._group.memory()
        if limited is not None and limited[1] < self._total:
            used, total = limited
        else:
            memory = self._psutil.virtual_memory()
            used, total = memory.total - memory.available, memory.total
        return used, min(100.0, 100.0 * used / total)

    def _processor(self) -> float | None:
        """Busy time over available time since the read before, percent."""
        source, busy, available = self._counters()
        now = self._clock()
        before = self._before
        if before is None or before[0] != source:
            self._before = (source, now, busy, available)
            return self._percent
        elapsed = available - before[3]
        if now - before[1] < WINDOW_S or elapsed <= 0:
            return self._percent
        self._before = (source, now, busy, available)
        self._percent = min(100.0, max(0.0, 100.0 * (busy - before[2]) / elapsed))
        return self._percent

    def _counters(self) -> tuple[str, float, float]:
        """Where they come from, busy seconds so far, available seconds so far."""
        processors = self._group.processors()
        if processors is not None and processors < self._count:
            used = self._group.processor_s()
            if used is not None:
                return f"group of {processors}", used, processors * self._clock()
        if self._affinity is None or self._count >= self._all:
            return ("all", *_busy_and_total([self._psutil.cpu_times()]))
        times = self._psutil.cpu_times(percpu=True)
        return ("some", *_busy_and_total([times[index] for index in self._affinity if index < len(times)]))


def _busy_and_total(times: Sequence[Any]) -> tuple[float, float]:
    """Seconds over all ``times``; the kernel counts guests in user already, and waiting for a disk is not busy."""
    total = idle = 0.0
    for item in times:
        total += sum(item) - getattr(item, "guest", 0.0) - getattr(item, "guest_nice", 0.0)
        idle += item.idle + getattr(item, "iowait", 0.0)
    return total - idle, total


def this_machine() -> Machine:
    """The machine that this process runs on."""
    try:
        psutil = import_module("psutil")
    except (ImportError, OSError) as error:  # psutil reads /proc when it is imported
        warn_once(
            "psutil", f"processor and memory are not recorded: psutil could not be imported ({error}); "
            "install it with: pip install psutil",
        )  # fmt: skip
        psutil = None
    return Machine(psutil, ControlGroup(), _affinity())


def _affinity() -> list[int] | None:
    """The processors that the process may run on; None where nobody tells."""
    try:
        return sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return None
