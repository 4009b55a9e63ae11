"""Steps whose times or flags the device has yet to tell; they are recorded when it has, without waiting for it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .timing import DeviceMarks, Times

MOST = 1000
"""Steps that may wait; a device this far behind is stuck, and the oldest step is recorded with the host's times."""

POLL_S = 0.001


@dataclass(slots=True)
class Flag:
    """A truth value that is copied from the device."""

    value: bool | None = None

    def arrive(self, number: float) -> None:
        """The copy is here."""
        self.value = bool(number)


@dataclass(slots=True)
class PendingStep:
    """A finished step and what is missing of it.

    Attributes:
        times: the host's times, which stand if the device tells none.
        marks: events of the device, or None.
        flags: overflow and skipped, each known or on its way.
    """

    step: int
    epoch: int | None
    times: Times
    metadata: dict[str, Any]
    time_ns: int
    sample: Any
    marks: DeviceMarks | None = None
    flags: tuple[Flag, Flag] = field(default_factory=lambda: (Flag(False), Flag(False)))

    def done(self) -> bool:
        """Whether nothing is missing; it never waits."""
        if any(flag.value is None for flag in self.flags):
            return False
        try:
            return self.marks is None or self.marks.done()
        except RuntimeError:  # the device failed: the host's times stand
            self.give_up()
            return True

    def settle(self) -> None:
        """Take the device's times."""
        if self.marks is None:
            return
        try:
            self.times = self.marks.times()
            self.marks = None
        except (RuntimeError, ValueError):  # marks on different devices have no time between them
            self.give_up()

    def give_up(self) -> None:
        """Go on with what the host knows, and say so in the record."""
        if self.marks is not None:
            self.marks = None
            self.metadata = {**self.metadata, "timing": "host"}
        for flag in self.flags:
            flag.value = bool(flag.value)


class PendingSteps:
    """The steps that wait, first come, first recorded.

    Args:
        record: records a step that is complete.
        drain: fetches flags that have arrived.
    """

    def __init__(self, record: Callable[[PendingStep], None], drain: Callable[[], None]) -> None:
        self._record = record
        self._drain = drain
        self._steps: deque[PendingStep] = deque()

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: PendingStep) -> None:
        """Let a step wait."""
        self._steps.append(step)
        if len(self._steps) > MOST:
            self._take_first(patient=False)

    def resolve(self, wait_s: float = 0.0, *, give_up: bool = False) -> None:
        """Record what is complete, polling for at most ``wait_s``; with ``give_up`` the rest with the host's times."""
        self._drain()
        deadline = time.monotonic() + wait_s
        while self._steps:
            if self._steps[0].done():
                self._take_first(patient=True)
            elif wait_s and time.monotonic() < deadline:
                time.sleep(POLL_S)
                self._drain()
            elif give_up:
                self._take_first(patient=False)
            else:
                return

    def _take_first(self, *, patient: bool) -> None:
        try:
            step = self._steps.popleft()
        except IndexError:  # another thread took it
            return
        if patient:
            step.settle()
        else:
            step.give_up()
        self._record(step)
