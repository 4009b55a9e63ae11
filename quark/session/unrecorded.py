"""Keeps the counts of what a run did not record with the run, so that they outlive its process."""

import threading
import time
from typing import TYPE_CHECKING, Any

from ..delivery.dispatcher import Dispatcher
from ..errors import QuarkError
from ..producers.reports import report_unrecorded

if TYPE_CHECKING:
    from .recorder import Recorder

AT_ONCE = 16
"""So many refusals are each recorded in the call, so that a process that is killed in the next moment has them; from
then on the counts are recorded at intervals that grow with their number."""

KEYS = 50
"""Metric keys that are named in the record, those with the highest counts."""


class UnrecordedCounts:
    """What this process did not record: refused values, dropped records, records that were set aside."""

    def __init__(self, recorder: "Recorder", delivery: Dispatcher) -> None:
        self._recorder = recorder
        self._delivery = delivery
        self._writing = threading.Lock()
        self._written: dict[str, Any] = {}
        self._interval_s = 1.0
        self._due = 0.0

    def counts(self) -> dict[str, Any]:
        """The numbers since the process began: refused (by metric key as ``keys``), dropped and set aside."""
        health = self._delivery.health
        refused, keys = health.total("refused_")
        return {
            "refused": refused,
            "dropped": self._delivery.dropped,
            "set_aside": sum(worker.quarantined for worker in self._delivery.workers),
            "keys": dict(keys.most_common(KEYS)),
        }

    def changed(self) -> None:
        """A value was refused; the first few times this is recorded at once."""
        if self._delivery.health.total("refused_")[0] <= AT_ONCE:
            self.write()

    def tick(self) -> None:
        """Record the counts if they changed and the interval is over."""
        if time.monotonic() >= self._due and self.write():
            self._due = time.monotonic() + self._interval_s
            self._interval_s = min(self._interval_s * 1.1, 600.0)

    def write(self) -> bool:
        """Record the counts if they changed since the last time; whether they did."""
        if self._recorder.journal.closed or not self._writing.acquire(blocking=False):
            return False  # after the end nothing can be recorded, nor imported once the interpreter ends
        try:
            counts = self.counts()
            if counts == self._written or not (counts["refused"] or counts["dropped"] or counts["set_aside"]):
                return False
            report_unrecorded(self._recorder, counts)
            self._written = counts
        except QuarkError:  # the run has ended: the counts of its end are there
            return False
        finally:
            self._writing.release()
        return True
