"""System metrics of a run whose loop is not ``run.steps``, or whose steps are long: sampled beside the training."""

import time
from typing import TYPE_CHECKING

from ...errors import ClosedError

if TYPE_CHECKING:
    from ..session import TrainingSession

FIRST_S = 1.0
LONGEST_PAUSE_S = 10.0
SHARE_OF_ELAPSED = 0.05
"""Samples are a second apart at first, and ten seconds in a run that takes longer than a few minutes."""


class MachineMetrics:
    """Asks the telemetry's own thread for a look, and records it on the journal's thread, at the run's current step."""

    def __init__(self, session: "TrainingSession") -> None:
        self._session = session
        self._began = time.monotonic()
        self._due = self._began + FIRST_S
        self._asked = False

    def tick(self) -> None:
        """Ask when it is time, and record what was seen at the next tick."""
        now = time.monotonic()
        steps = self._session.stepper
        if now < self._due or self._session.status != "running":
            return
        pause_s = min(LONGEST_PAUSE_S, max(FIRST_S, SHARE_OF_ELAPSED * (now - self._began)))
        if not self._asked and steps.is_measured(pause_s):
            self._due = now + pause_s
            return
        telemetry = steps.own_telemetry()
        if not self._asked:
            self._asked = True
            telemetry.prepare_moment()
            return
        self._asked = False
        self._due = now + pause_s
        try:
            telemetry.record_moment(steps.latest_step, steps.epoch)
        except ClosedError:  # the run has ended in this moment
            return
