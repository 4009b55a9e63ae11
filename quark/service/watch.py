"""Watches over the runs of a service: one that is silent reads stale, then lost, and comes back when its writer does.

Every replica watches. Silence is measured by the watcher's own clock, which only goes forward, from the moment that it
first looked: a restart of the service gives everybody their whole time again. Closing a run is one transaction that
finds the run as it was when it was judged, so of several replicas one does it, and none after a sign of life.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..session.sync import lost_ending
from ..storage.control import Sign

if TYPE_CHECKING:
    from ..storage import SqlStore

logger = logging.getLogger("quark.service")

MISSED_BEATS = 3
RETURNED_EVERY_S = 30.0
"""How often lost runs are checked for new records; a heartbeat brings a run back at once."""

LONG_GAP_S = 10.0
"""Between two looks that lie further apart the watcher itself was held up, so nobody's silence is counted."""


@dataclass(slots=True)
class _Silence:
    sign: Sign
    since: float
    stale: bool = False


class Watch:
    """What one watcher has seen of the runs of one store.

    Args:
        store: the store.
        lost_after_s: seconds from the third heartbeat that did not come until the run is closed as lost.
    """

    def __init__(self, store: "SqlStore", lost_after_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._lost_after_s = lost_after_s
        self._monotonic = monotonic
        self._silent: dict[str, _Silence] = {}
        self._looked: float | None = None
        self._returned_at: float | None = None

    def look(self) -> None:
        """Look at every run once."""
        now = self._monotonic()
        gap = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        known, self._silent = self._silent, {}
        for sign in self._store.signs():
            silence = known.get(sign.run_id)
            if silence is not None and gap > LONG_GAP_S:
                silence.since += gap
            if silence is None or (silence.sign.beats, silence.sign.marks) != (sign.beats, sign.marks):
                self._heard(sign, silence)
                silence = _Silence(sign, now)
            else:
                self._judge(silence, now - silence.since - MISSED_BEATS * sign.interval_s)
            self._silent[sign.run_id] = silence
        if self._returned_at is None or now - self._returned_at >= RETURNED_EVERY_S:
            self._returned_at = now
            for run_id in self._store.returned():
                self._store.revive(run_id)

    def _heard(self, sign: Sign, silence: _Silence | None) -> None:
        if silence is not None and silence.stale:
            self._store.mark_stale(sign.run_id, False)

    def _judge(self, silence: _Silence, too_long_s: float) -> None:
        run_id = silence.sign.run_id
        if too_long_s > 0 and not silence.stale:
            silence.stale = True
            self._store.mark_stale(run_id, True)
        if too_long_s > self._lost_after_s:
            attempt = max((origin.attempt for origin, _ in self._store.writers(run_id)), default=1)
            if self._store.reap(silence.sign, lost_ending(run_id, attempt, time.time_ns(), by="watch")):
                logger.warning("run %s sent nothing for %d s and is closed as lost", run_id, int(too_long_s))


class Watches:
    """What one watcher has seen of all stores; see ``Watch``."""

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._of: dict[SqlStore, Watch] = {}

    def look(self, store: "SqlStore") -> None:
        """Look at every run of a store once."""
        watch = self._of.get(store)
        if watch is None:
            self._of = {known: watch for known, watch in self._of.items() if not known.closed}
            watch = self._of[store] = Watch(store, self._lost_after_s)
        watch.look()
