"""The heartbeat of a live run: says that it lives, and hears what is asked of it from afar."""

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.control import Pulse, RunControl
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

    def __init__(self, session: "TrainingSession", pulse: Callable[[], Pulse], interval_s: float) -> None:
        self._session = session
        self._make_pulse = pulse
        self._interval_s = interval_s
        self._many = session.manifest.world_size > 1
        self._proposed: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="quark-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def end(self) -> None:
        """No further beat; a beat that is on its way is waited for, but not long."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(END_WAIT_S)

    def _beat(self) -> None:
        pulse: Pulse | None = None
        pause_s = min(FIRST_S, self._interval_s)
        while not self._ended.wait(pause_s):
            pause_s = self._interval_s
            try:
                pulse = pulse or self._make_pulse()
                pause_s = min(self._interval_s, pulse.longest_pause_s)
                self._heard(pulse.beat(self._session.run_id, self._interval_s, self._proposed))
            except (QuarkError, OSError, msgspec.MsgspecError):
                continue  # the sink of the run says what is wrong there; the next beat is soon
        if pulse is not None:
            pulse.close()

    def _heard(self, control: RunControl | None) -> None:
        session = self._session
        if control is None or control.stop_requested_at is None or session.stop_requested or self._ended.is_set():
            return
        if not self._many:
            session.asked_to_stop()
        elif control.stop_step is not None:
            session.asked_to_stop(control.stop_step)
        elif session.rank == 0 and self._proposed is None:
            self._proposed = session.next_step + self._margin()  # it is told with the next beat

    def _margin(self) -> int:
        """Steps that the job does not do before every rank has heard."""
        pace = self._session.next_step / max(self._session.elapsed_s, 1e-3)
        return max(LEAST_MARGIN_STEPS, math.ceil(MARGIN_BEATS * self._interval_s * pace))


class StorePulse:
    """The heartbeat of a run in an embedded store: the lock of its journal says that it lives, so it only listens."""

    longest_pause_s = 2.0

    def __init__(self, store: Any) -> None:
        self._store = store

    def beat(self, run_id: str, interval_s: float, stop_step: int | None = None) -> RunControl | None:
        """What is asked of the run."""
        if stop_step is not None:
            return self._store.agree_to_stop(run_id, stop_step)
        return self._store.control(run_id)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()
