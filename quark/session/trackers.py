"""The trackers of a session: each is told everything, and what one raises harms neither the others nor the run."""

import time
from typing import Any

from ..core.lifecycle import RunManifest, StepState
from ..delivery.health import Health
from ..records.foreign import error_text
from .rose import RoseTracker, is_rose_tracker

SLOW_S = 0.05
"""A plain tracker that takes longer than this in the training thread is named in a warning."""


class TrackerStack:
    """A stack of trackers is itself a tracker. It opens outside in and closes inside out; isolation lives here."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._trackers: list[Any] = []

    def __len__(self) -> int:
        return len(self._trackers)

    def add(self, tracker: Any, manifest: RunManifest) -> None:
        """Add a tracker and tell it at once that the run has started."""
        if is_rose_tracker(tracker):
            tracker = RoseTracker(tracker)
        self._trackers.append(tracker)
        self._tell(tracker, "on_start", manifest)

    def on_step(self, state: StepState) -> None:
        """Tell every tracker that a step is done; a ROSE tracker is told by ``on_iteration``."""
        for tracker in self._trackers:
            self._tell(tracker, "on_step", state)

    def on_stop(self, final_state: StepState | None, reason: str) -> None:
        """Tell every tracker that the run has ended, the last one first; each is told once."""
        trackers, self._trackers = self._trackers, []
        for tracker in reversed(trackers):
            self._tell(tracker, "on_stop", final_state, reason)

    def _tell(self, tracker: Any, method: str, *arguments: Any) -> None:
        name = type(tracker.told if isinstance(tracker, RoseTracker) else tracker).__name__
        start = time.perf_counter()
        try:
            act = getattr(tracker, method, None)
            if act is None:
                return
            act(*arguments)
        except Exception as error:  # noqa: BLE001  a tracker's fault is not the training's
            self._health.report(f"tracker_{name}.{method}", f"raised {error_text(error)}")
        taken = time.perf_counter() - start
        if taken > SLOW_S:
            self._health.report(
                f"slow_tracker_{name}.{method}",
                f"took {taken * 1000:.0f} ms in the training thread; make it a Sink, which runs on its own",
            )
