"""The heartbeat of a live run: says that it lives, and hears what is asked of it from afar."""

import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.control import Pulse, RunControl
from ..delivery.threads import start_thread
from ..errors import QuarkError

if TYPE_CHECKING:
    from .session import TrainingSession

FIRST_S = 1.0
"""The first beat comes soon, so that a run that dies early is missed."""

MARGIN_BEATS = 4
LEAST_MARGIN_STEPS = 10
END_WAIT_S = 1.0


class Heartbeat:
    """A thread of its own: neither the training nor the journal ever waits for a store or a service.

    In a distributed job every rank hears of a request at another moment, and ranks that left their loops at different
    steps would wait for each other for ever. Rank 0 therefore proposes a step that lies some beats ahead, and every
    rank stops before it.
    """

    def __init__(self, session: "TrainingSession", pulse: Callable[[str], Pulse], interval_s: float) -> None:
        self._session = session
        self._make_pulse = pulse
        self._interval_s = interval_s
        self._many = session.manifest.world_size > 1
        self._proposed: int | None = None
        self._pace: float | None = None
        self._before: tuple[float, int] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="quark-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat, if the system gives a thread for it."""
        start_thread(self._thread, self._session.report)

    def end(self) -> None:
        """No further beat; a beat that is on its way is waited for, but not long."""
        self._ended.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(END_WAIT_S)

    def _beat(self) -> None:
        pulse: Pulse | None = None
        pause_s = min(FIRST_S, self._interval_s)
        while not self._ended.wait(pause_s):
            pause_s = self._interval_s
            try:
                pulse = pulse or self._make_pulse(self._session.manifest.project)
                pause_s = min(self._interval_s, pulse.longest_pause_s)
                self._measure_pace()
                known = self._proposed
                self._heard(pulse.beat(self._session.run_id, self._interval_s, self._proposed))
                if self._proposed != known:
                    pause_s = 0.0  # every step that passes before it is told is taken from the other ranks' time
            except (QuarkError, OSError, msgspec.MsgspecError):
                continue  # the sink of the run says what is wrong there; the next beat is soon
        if pulse is not None:
            pulse.close()

    def _heard(self, control: RunControl | None) -> None:
        session = self._session
        if control is None or session.stop_requested or self._ended.is_set():
            return
        if self._many and control.stop_step is not None:  # also when rank 0 has ended the run by now
            session.asked_to_stop(control.stop_step)
        elif control.stop_requested_at is None:
            return
        elif not self._many:
            session.asked_to_stop()
        elif session.rank == 0 and self._proposed is None and (self._pace is not None or session.next_step == 0):
            self._proposed = session.next_step + self._margin()

    def _measure_pace(self) -> None:
        """Steps a second between two beats, the most there were: an average counts warm-up and validation in.

        Nothing is measured before the first step, from which a resumed run leaps to where it goes on.
        """
        now, step = time.monotonic(), self._session.next_step
        if self._before is not None and self._before[1] > 0 and now > self._before[0]:
            self._pace = max(self._pace or 0.0, (step - self._before[1]) / (now - self._before[0]))
        self._before = now, step

    def _margin(self) -> int:
        """Steps that the job does not do before every rank has heard."""
        return max(LEAST_MARGIN_STEPS, math.ceil(MARGIN_BEATS * self._interval_s * (self._pace or 0.0)))


class StorePulse:
    """The heartbeat of a run in an embedded store.

    It listens often, which is cheap. It writes no more often than it was asked to beat: the lock of the journal says
    that the run lives, what is written is only the time.
    """

    longest_pause_s = 2.0

    def __init__(self, store: Any) -> None:
        self._store = store
        self._due = 0.0

    def beat(self, run_id: str, interval_s: float, stop_step: int | None = None) -> RunControl | None:
        """Say that the run lives, if it is time to; what is asked of it."""
        now = time.monotonic()
        if stop_step is None and now < self._due:
            return self._store.control(run_id)
        heard = self._store.beat(run_id, interval_s, stop_step)
        self._due = now + interval_s
        return heard

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()
