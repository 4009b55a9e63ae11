"""What is on the screen, read from the store: a look at each run, and the courses of the charts that are shown."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...drawing.course import Course
from ...errors import QuarkError
from ...reading.course import course_of
from ...reading.metrics import in_order
from ...reading.snapshot import Snapshot, snapshot_of

if TYPE_CHECKING:
    from ...reading import RunView, Store
    from .heat import Heat

REOPEN_S = 10.0
"""Seconds after which the store is opened again while a run goes on."""


@dataclass
class Watched:
    """The runs that are watched.

    Args:
        store: the store that they are in.
        reopened: opens the store again: what a process left behind that has died since is delivered, and a store of
            somebody else, of which a copy is read, is copied anew.
        runs: their ids.
    """

    store: "Store"
    reopened: "Callable[[], Store]"
    runs: Sequence[str]
    snapshots: list[Snapshot] = field(default_factory=list)
    error: str = ""
    _opened_at: float = field(default_factory=time.monotonic, repr=False)
    _courses: dict[tuple[str, str, str, int], tuple[object, Course]] = field(default_factory=dict, repr=False)
    _heat: "tuple[object, Heat] | None" = field(default=None, repr=False)

    def look(self) -> None:
        """Look at all runs again; where that fails the last look stays, and ``error`` says why."""
        try:
            self.snapshots = self._look()
            if self.running and time.monotonic() - self._opened_at > REOPEN_S:
                before, self.store = self.store, self.reopened()
                before.close()
                self._opened_at = time.monotonic()
                self.snapshots = self._look()
            self.error = ""
        except (QuarkError, OSError) as error:
            if not self.snapshots:
                raise
            self.error = str(error)

    def _look(self) -> list[Snapshot]:
        return [snapshot_of(self.store.run(run)) for run in self.runs]

    @property
    def keys(self) -> list[str]:
        """The metrics of all runs: what the user measured first, the machine's own last."""
        return in_order({key: None for one in self.snapshots for key in one.latest})

    @property
    def running(self) -> bool:
        """Whether any of the runs goes on."""
        return any(one.view.status == "running" for one in self.snapshots)

    def courses(self, key: str, stretches: int, axis: str) -> list[Course]:
        """The course of a metric in each run; it is read again where the run has gone on."""
        return [self.course(one, key, stretches, axis) for one in self.snapshots]

    def course(self, one: Snapshot, key: str, stretches: int, axis: str) -> Course:
        """The course of a metric in one of the runs."""
        if key not in one.latest:
            return Course()
        place, lost = (one.view.id, key, axis, stretches), one.nonfinite.get(key, 0)
        state = one.latest[key], lost, one.view.record.resume_count, one.view.status
        held = self._courses.get(place)
        if held is not None and repr(held[0]) == repr(state):  # NaN is never equal to itself
            return held[1]
        try:
            made = course_of(one.view, key, stretches, axis, nonfinite=lost > 0)
        except (QuarkError, OSError) as error:
            self.error = str(error)
            return held[1] if held is not None else Course()
        self._courses[place] = state, made
        return made

    def heat(self, title: str) -> "Heat":
        """The heat map of the first run."""
        from .heat import Heat, heat_of

        view: RunView = self.snapshots[0].view
        state = title, self.snapshots[0].step, view.status
        if self._heat is None or self._heat[0] != state:
            try:
                self._heat = state, heat_of(view, title)
            except (QuarkError, OSError) as error:
                self.error = str(error)
                return Heat(title, {})
        return self._heat[1]
