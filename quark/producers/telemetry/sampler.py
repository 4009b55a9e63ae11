"""Looks at the machine ten times a second on a thread of its own, as long as somebody wants to know.

The training thread takes the latest sample and goes on. One thread serves the process; it waits without waking while
nobody has asked for a second, and it ends with the last feed.
"""

import os
import threading
import time
from collections.abc import Callable

from .sample import BLANK, Sample

INTERVAL_S = 0.1
"""A sample is at most this old while the sampler runs."""

FIRST_INTERVAL_S = 0.02
"""Pause before the second look, which gives the first rate."""

IDLE_AFTER_S = 1.0
"""The sampler rests when nobody has asked for so long."""

BRIEF_WAIT_S = 0.005
"""How long a step waits for a sampler that it has to wake: once a second at most, and usually a tenth of it."""

TOO_OLD_S = 5.0
"""A sample of that age says nothing about now: a reader hangs, or the process was stopped."""


class Feed:
    """One set of sources and its latest sample.

    Args:
        read: reads the sources, on the sampler's thread.
        first: the sample until then.
        clock: seconds, monotonic; the same as the sampler's.
    """

    def __init__(
        self, read: Callable[[], Sample], *, first: Sample = BLANK, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._arrived = threading.Condition()
        self._patient = True
        self._wake: Callable[[], None] = _nothing
        self.latest = first
        self.asked = clock()
        self.sampled = float("-inf")

    def serve(self, wake: Callable[[], None]) -> None:
        """From now on ``wake`` gets a resting sampler going."""
        self._wake = wake
        self._patient = True

    def orphan(self) -> None:
        """There is no sampler any more: what is there is all that will be."""
        self._wake = _nothing
        self._patient = False

    def current(self) -> Sample:
        """The latest sample, at once; only after a pause of the training does it wait, for at most 5 ms."""
        now = self.ask()
        latest = self.latest
        if now - latest.taken > IDLE_AFTER_S:
            latest = self.await_sample(INTERVAL_S, BRIEF_WAIT_S)
            if self._clock() - latest.taken > TOO_OLD_S:
                return BLANK
        return latest

    def ask(self) -> float:
        """Say that a sample will be wanted soon; the time of the clock."""
        now = self.asked = self._clock()
        self._wake()
        return now

    def await_sample(self, age_s: float, timeout_s: float) -> Sample:
        """A complete sample that is at most ``age_s`` old, or the latest one when the time is over.

        A sampler that hung once is not waited for again until it has answered.
        """
        since = self.ask() - age_s
        if self._patient and not self._fits(since):
            with self._arrived:
                self._patient = self._arrived.wait_for(lambda: self._fits(since), timeout_s)
        return self.latest

    def _fits(self, since: float) -> bool:
        return self.latest.complete and self.latest.taken >= since

    def due(self, now: float) -> float | None:
        """When the next look is due; None while nobody asks."""
        if now - self.asked > IDLE_AFTER_S:
            return None
        return self.sampled + (INTERVAL_S if self.latest.complete else FIRST_INTERVAL_S)

    def refresh(self) -> None:
        """Look. A fault leaves the earlier sample, which grows old; it never ends the sampler."""
        try:
            fresh = self._read()
        except Exception:  # noqa: BLE001  whatever a driver does, the next look may work
            self.sampled = self._clock()
            return
        with self._arrived:
            self.latest = fresh
            self.sampled = self._clock()
            self._patient = self._wake is not _nothing
            self._arrived.notify_all()


class Sampler:
    """The thread that refreshes feeds; it starts with the first feed and ends with the last.

    Args:
        clock: seconds, monotonic.
        threaded: False for a sampler whose ``tick`` is called by hand.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, threaded: bool = True) -> None:
        self.clock = clock
        self._threaded = threaded
        self._lock = threading.Lock()
        self._feeds: tuple[Feed, ...] = ()
        self._wake = threading.Event()
        self._resting = False
        self._thread: threading.Thread | None = None

    def add(self, feed: Feed) -> None:
        """Look for ``feed`` from now on."""
        with self._lock:
            self._feeds = (*self._feeds, feed)
            feed.serve(self.wake)
            if self._threaded and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="quark-telemetry", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the system gives no thread: the next producer tries again
                    self._thread = None
        self._wake.set()

    def remove(self, feed: Feed, timeout_s: float = 0.5) -> None:
        """Look no more for ``feed``; with the last one the thread ends, unless a driver holds it longer."""
        with self._lock:
            self._feeds = tuple(item for item in self._feeds if item is not feed)
            feed.orphan()
            ending = None if self._feeds else self._thread
            if ending is not None:
                self._thread = None
        self._wake.set()
        if ending is not None and ending is not threading.current_thread():
            ending.join(timeout_s)

    def wake(self) -> None:
        """Look soon, if the sampler rests."""
        if self._resting:
            self._wake.set()

    def tick(self) -> float | None:
        """Refresh the feeds that are due; the seconds until the next one is, or None while nobody asks."""
        self._resting = False
        soonest = self._soonest(look=True)
        if soonest is None:
            # Said before the last look at who asks, so that an ask in between is seen here or wakes the wait.
            self._resting = True
            soonest = self._soonest(look=False)
        return None if soonest is None else max(0.0, soonest - self.clock())

    def _soonest(self, *, look: bool) -> float | None:
        soonest = None
        for feed in self._feeds:
            due = feed.due(self.clock())
            if look and due is not None and due <= self.clock():
                feed.refresh()
                due = feed.due(self.clock())
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        return soonest

    def _run(self) -> None:
        me = threading.current_thread()
        while self._thread is me:
            pause = self.tick()
            self._wake.wait(pause)
            self._wake.clear()

    def after_fork_in_child(self) -> None:
        """The thread did not come along: the feeds keep what they have, and nobody waits for more."""
        for feed in self._feeds:
            feed.orphan()
        self._feeds = ()
        self._lock = threading.Lock()  # the thread may have held them
        self._wake = threading.Event()
        self._thread = None


_shared = Sampler()


def shared_sampler() -> Sampler:
    """The sampler of this process."""
    return _shared


def _after_fork_in_child() -> None:
    global _shared
    _shared.after_fork_in_child()
    _shared = Sampler()


def _nothing() -> None:
    pass


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
