"""What all producers share that look at the model in some steps only: begin, end, record what has arrived."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from ...errors import ClosedError
from ...records.base import Record
from ...records.configs import HookScheduleConfig
from ...records.grammar import MAX_INT, check_index, check_step, shown
from ...records.line import decode_line, records_of
from ..attach import Attachment
from .naming import unwrapped
from .ondevice import DeviceProbe
from .schedule import Schedule
from .watchers import register, release

MOST_WAITING = 8
"""Probes that may wait for a device; one that is further behind is waited for."""


class ProbeLike(Protocol):
    """One probed step."""

    step: int
    epoch: int | None
    early: bool
    device: DeviceProbe | None

    @property
    def saw_training(self) -> bool:
        """Whether anything was seen so far."""
        ...

    def arm(self) -> None:
        """Put the hooks where they belong."""
        ...

    def close(self) -> None:
        """Take them off and send what is on devices on its way; must not raise for want of an arm()."""
        ...


class Probing(Attachment):
    """A producer that is armed by ``begin_step`` in the steps of a schedule and records at ``end_step``.

    Args:
        session: a TrainingSession, or the RunContext of one.
        model: the network.
        name: of the watcher, checked.
        schedule: in which steps.
        raise_on_error: whether a fault of the producer raises; None: as the run's strict mode.
        batch_size: records that ``flush`` returns at most.
    """

    def __init__(
        self, session: Any, model: Any, name: str | None, schedule: HookScheduleConfig, raise_on_error: bool | None,
        batch_size: int,
    ) -> None:  # fmt: skip
        super().__init__(session)
        self.model = model
        self._given_name = name
        self._name: str | None = None
        self._schedule = Schedule(schedule)
        self._raise = self._handle.strict if raise_on_error is None else raise_on_error
        self._recent: deque[bytes] = deque(maxlen=batch_size)
        self._probe: ProbeLike | None = None
        self._waiting: deque[tuple[ProbeLike, int]] = deque()
        self._entered = False

    @property
    def name(self) -> str | None:
        """The name of the watcher, which its records carry; None if it has none."""
        return self._name

    def watches(self, model: Any) -> bool:
        """Whether ``model``, bare or in wrappers, is the network that is watched."""
        return unwrapped(model) is unwrapped(self.model)

    def _enter(self) -> None:
        """It is ready: it gets its name, and is closed with the run.

        Raises:
            SchemaValidationError: the name is that of another network.
        """
        self._name = register(self._handle, self._given_name, unwrapped(self.model))
        self._entered = True
        self._handle.attach(self)

    def _new_probe(self, step: int, epoch: int | None, *, early: bool) -> ProbeLike:
        raise NotImplementedError

    def _lines(self, probe: Any, time_ns: int) -> Iterable[bytes]:
        """Journal what a probe saw, whose scalars have arrived; the lines."""
        raise NotImplementedError

    def should_probe(self, step: int) -> bool:
        """Whether ``step`` is one of those that are probed."""
        return step in self._schedule and not self._closed and not self._handle.disabled

    def begin_step(self, step: int, *, epoch: int | None = None) -> bool:
        """Begin to look at the model if ``step`` is probed; whether it is.

        A step that is probed already goes on; another one is ended first.

        Raises:
            SchemaValidationError, WrongTypeError: strict mode, and step or epoch is no whole number of at least 0.
        """
        if type(step) is int and 0 <= step <= MAX_INT and self._probe is None and step not in self._schedule:
            if self._waiting:
                self._guarded("resolve", self._resolve)
            return False
        try:
            number, epoch = check_step(step), check_index(epoch, "epoch")
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"probe of step {shown(step)}")
            return False
        if self._probe is not None:
            if self._probe.early:
                self.discard()
            elif self._probe.step == number and not self._closed:
                return True
            else:
                self.end_step()
        return self._arm(number, epoch, early=False)

    def await_step(self, step: int, *, epoch: int | None = None) -> None:
        """Look at the model from now on for a coming step whose beginning nobody announces, if it is probed.

        ``end_step`` records what belongs to a training by then; ``begin_step`` and ``discard`` forget it.
        """
        if self._probe is None:
            self._arm(step, epoch, early=True)

    def _arm(self, step: int, epoch: int | None, *, early: bool) -> bool:
        if not self.should_probe(step) or sys.modules["torch"].compiler.is_compiling():
            return False

        def arm() -> None:
            self._probe = self._new_probe(step, epoch, early=early)
            self._probe.arm()

        self._guarded("arm", arm)
        return self._probe is not None

    @property
    def awaited(self) -> int | None:
        """The step that is looked at before it began; None if there is none."""
        return self._probe.step if self._probe is not None and self._probe.early else None

    @property
    def saw_training(self) -> bool:
        """Whether the probe that is going on has seen anything."""
        return self._probe is not None and self._probe.saw_training

    def discard(self) -> None:
        """Leave the model alone and forget what was seen."""
        probe, self._probe = self._probe, None
        if probe is not None:
            self._guarded("close", probe.close)

    def end_step(self) -> None:
        """Leave the model alone and record what was seen; nothing if no step is probed.

        What is still on a device is recorded at the next step, or by ``flush``.
        """
        probe, self._probe = self._probe, None
        if probe is not None:
            self._guarded("close", lambda: self._end(probe))

    def _end(self, probe: ProbeLike) -> None:
        probe.close()
        self._waiting.append((probe, time.time_ns()))
        self._resolve(wait=len(self._waiting) > MOST_WAITING)

    @contextmanager
    def step(self, step: int, *, epoch: int | None = None) -> Iterator[bool]:
        """``begin_step`` and ``end_step`` around a ``with`` block, on every way out; it yields whether it is probed."""
        probed = self.begin_step(step, epoch=epoch)
        try:
            yield probed
        finally:
            if probed:
                self.end_step()

    def _resolve(self, *, wait: bool = False) -> None:
        """Record the probes whose statistics are here."""
        while self._waiting:
            probe, now = self._waiting[0]
            if probe.device is not None and not probe.device.arrived(wait=wait):
                return
            self._waiting.popleft()
            self._recent.extend(self._lines(probe, now))

    def _settle(self) -> None:
        """Record everything, waiting for the devices."""
        self._guarded("resolve", lambda: self._resolve(wait=True))

    def _guarded(self, what: str, act: Callable[[], None]) -> None:
        """Do something that must not reach the training unless the user said so."""
        try:
            act()
        except ClosedError as error:
            self._handle.refuse(error, what=type(self).__name__)
        except Exception as error:  # noqa: BLE001  hooks touch foreign tensors and a device that may have failed
            self._failed(f"{type(self).__name__}_{what}", error)

    def _failed(self, cause: str, error: Exception) -> None:
        if self._raise:
            raise error
        self._handle.report(cause, error)

    def _take_recent(self) -> Sequence[Record]:
        self._settle()
        self._handle.flush()
        lines = tuple(self._recent)
        self._recent.clear()
        origin = self._handle.journal.origin
        return tuple(record for line in lines for record in records_of(decode_line(line), origin))

    def _on_close(self) -> None:
        if self.awaited is None:
            self.end_step()
        else:
            self.discard()
        if self._entered:
            release(self._handle, self._name)
        self._settle()
        self._handle.offer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
