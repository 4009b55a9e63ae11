"""What dead processes left in this storage directory is delivered beside the new run, off its thread."""

import threading
import time

from ..delivery.health import Health
from ..delivery.place import writer_places
from ..delivery.threads import start_thread
from ..errors import QuarkError
from .placement import Placement
from .sync import leftover_runs, sync_placement, sync_run

DELAY_S = 1.0
"""The new run's own start comes first."""


class Leftovers:
    """Delivers the journals of dead writers in the background, at the latest when the run ends."""

    def __init__(self, placement: Placement, run_id: str, health: Health) -> None:
        self._placement = placement
        self._run_id = run_id
        self._health = health
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look for journals of other runs; a thread is made only if there are any."""
        if set(leftover_runs(self._placement)) - {self._run_id}:
            thread = threading.Thread(target=self._deliver, name="quark-leftovers", daemon=True)
            self._thread = thread if start_thread(thread, self._health.report) else None

    def other_ranks(self) -> None:
        """Deliver what the run's other ranks left, unless the rank that owns the run lives and will do it.

        Every rank lets go of its own lock before it looks at the others', so that of two ranks that end at the same
        time at least one sees the other's journal as left behind.
        """
        try:
            places = writer_places(self._placement.journals(self._run_id))
            owners = [place for place in places if place.origin().rank == 0]
            if not any(place.alive() for place in owners):
                sync_run(self._placement, self._run_id, awaits_owner=not owners)
        except (QuarkError, OSError) as error:
            self._health.report("leftovers", f"{type(error).__name__}: {error}; try: quark sync")

    def finish(self, deadline: float) -> None:
        """Wait for the delivery until ``deadline`` (monotonic); what is left then waits for the next run or sync."""
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def _deliver(self) -> None:
        self._hurry.wait(DELAY_S)
        try:
            report = sync_placement(self._placement, skip=frozenset((self._run_id,)))
        except Exception as error:  # noqa: BLE001  another run's journal must not disturb this run
            self._health.report("leftovers", f"{type(error).__name__}: {error}; try: quark sync")
            return
        for problem in (*report.problems, *report.waiting):
            self._health.report("leftovers", problem)
