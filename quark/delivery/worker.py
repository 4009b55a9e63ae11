"""One thread per sink: reads the journals from the sink's cursors, writes, retries, and never bothers anybody else."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState
from ..core.sink import Sink
from ..errors import SessionStoreError
from ..records.foreign import error_text
from ..redaction import redact_text
from .feed import Feed
from .health import Health
from .threads import start_thread

INTERVAL_S = 0.25
BACKOFF_S = (0.2, 30.0)

MUCH = 256 << 10
"""Bytes of a batch after which the next one is not left to the next round."""


class SinkWorker:
    """Runs a sink. ``offer`` wakes it, ``wait`` waits for it, ``finish`` lets it end; none of them ever raises."""

    def __init__(
        self, sink: Sink, name: str, manifest: RunManifest, own: Feed, health: Health, *,
        discover: Callable[[], list[Feed]] = list, clock: Any = time, rng: random.Random | None = None,
        first_delay_s: float = INTERVAL_S,
    ) -> None:  # fmt: skip
        self.sink = sink
        self.own = own
        self.name = name
        self.state = "starting"
        self.started = False
        self._starting = threading.Lock()
        self.last_error: str | None = None
        self.errors = 0
        self.quarantined = 0
        self.missing = 0
        self.done = threading.Event()
        self._manifest = manifest
        self._discover = discover
        self._health = health
        self._clock = clock
        self._rng = rng or random.Random()
        self._first_delay_s = first_delay_s
        self._feeds = [own]
        self._wake = threading.Event()
        self._progress = threading.Condition()
        self._ending: tuple[StepState | None, str] | None = None
        self._abandoned = False
        self._started = False
        self._failures = 0
        self._asked_pause = 0.0
        self._unflushed = False
        self._idle: Callable[[], None] | None = getattr(sink, "idle", None)
        self.thread = threading.Thread(target=self._run, name=f"quark-sink-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread, if the system gives one."""
        with self._starting:  # the keeper of the journal tries as well
            if not self.started:
                self.started = start_thread(self.thread, self._health.report)

    def offer(self) -> None:
        """There may be something new, and somebody waits for it."""
        self._wake.set()

    def wait(self, target: Callable[[], bool], deadline: float) -> bool:
        """Wait until ``target()`` holds after some progress, or until ``deadline`` on the monotonic clock."""
        if not self.started:
            return target()
        self._wake.set()
        with self._progress:
            while not target():
                left = deadline - self._clock.monotonic()
                if left <= 0 or self.done.is_set():
                    return target()
                self._progress.wait(min(left, 0.05))
                self._wake.set()
        return True

    def finish(self, final_state: StepState | None, reason: str) -> None:
        """Deliver what is left, then call ``on_stop`` and ``close`` and end."""
        self._ending = (final_state, reason)
        self._wake.set()
        if not self.started:
            self.done.set()  # nobody will work for it any more

    def abandon(self) -> None:
        """The time for the end is over: stop at the next chance; what is left stays in the journal."""
        self._abandoned = True
        self._wake.set()
        interrupt = getattr(self.sink, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def _run(self) -> None:
        try:
            self._wake.wait(self._first_delay_s)
            while not self._abandoned:
                self._wake.clear()
                ending = self._ending
                settled = self._attempt() and (ending is None or self._end(*ending))
                with self._progress:
                    self._progress.notify_all()
                if settled and ending is not None:
                    return
                self._wake.wait(INTERVAL_S if settled else self._pause())
                if not settled and not self._abandoned:
                    self._rest()
        finally:
            self._close()
            self.done.set()
            with self._progress:
                self._progress.notify_all()

    def _rest(self) -> None:
        """A flush may have cut the pause short; a sink in trouble is still not asked more often than this."""
        self._clock.sleep(0.02)

    def _pause(self) -> float:
        """Exponential back-off with full jitter, 0.2 s to 30 s; longer if the sink's error asks for it."""
        low, high = BACKOFF_S
        ceiling = min(high, low * 2 ** min(self._failures - 1, 16))
        return max(self._rng.uniform(0, ceiling), 0.05, min(self._asked_pause, 60.0))

    def _attempt(self) -> bool:
        """Open the sink if need be and bring it up to date; False after a fault."""
        try:
            if not self._started:
                self.sink.on_start(self._manifest)
                self._started = True
            self._feeds = [self.own, *self._discover()]
            for feed in self._feeds:
                self._deliver(feed)
            if self._unflushed:
                self.sink.flush()
                self._unflushed = False
            elif self._idle is not None:
                self._idle()
        except BaseException as error:  # noqa: BLE001  whatever a sink raises must not end its thread, nor the run
            self._failed(error)
            return False
        self.state = "ok"
        self._failures = 0
        return True

    def _failed(self, error: BaseException) -> None:
        self.errors += 1
        self._failures += 1
        for feed in self._feeds:
            feed.doubt()
        self._asked_pause = float(getattr(error, "retry_after_s", 0.0) or 0.0)
        self.last_error = redact_text(error_text(error))
        self.state = "retrying"
        self._health.report(
            f"sink_{self.name}",
            f"{self.last_error}; its records wait in the journal and are tried again, the training goes on",
        )

    def _deliver(self, feed: Feed) -> None:
        """Bring what there is by now. What comes meanwhile waits for the next round, or fast steps would keep this one
        going in batches of a few records each; unless the run ends, or there is much.
        """
        there = feed.tail.written
        while not self._abandoned:
            holes, aside = feed.tail.holes, feed.set_aside
            batch = feed.read(self.sink)
            self.missing += feed.tail.holes - holes
            self.quarantined += feed.set_aside - aside
            aside = feed.set_aside
            if batch is None:
                return
            try:
                self.sink.write(batch)
            except BaseException as error:
                feed.back(batch)
                self.quarantined += feed.set_aside - aside
                aside = feed.set_aside
                blames_records = not _is_destinations(error) and not getattr(self.sink, "isolates", False)
                if not blames_records or self._failures < 2 or not self._set_poison_aside(feed, batch):
                    raise
            feed.took(batch)
            self.quarantined += feed.set_aside - aside
            self._failures = 0
            self._unflushed = True
            with self._progress:
                self._progress.notify_all()
            if there is not None and batch.stop >= there and len(batch.data) < MUCH and self._ending is None:
                return

    def _set_poison_aside(self, feed: Feed, batch: RecordBatch) -> bool:
        """Write a batch that keeps failing line by line; what fails alone is poison if its neighbours pass.

        False if nothing passes: then the sink is broken, not the records, and all of them stay in the journal.
        """
        poison: list[tuple[bytes, str]] = []
        passed = 0
        first = batch.first
        for part in feed.single_lines(batch):
            part.first = first
            reason = self._refusal(part)
            if reason is None:
                passed += 1
                first = part.stop
            else:
                poison.append((part.data, reason))
                if not passed and len(poison) >= 20:
                    return False
        if not passed:
            return False
        for line, reason in poison:
            feed.quarantine(line, reason)
            self.quarantined += 1
            where = feed.place.directory
            self._health.report(f"quarantine_{self.name}", f"a record was set aside in {where}: {reason}")
        return True

    def _refusal(self, part: RecordBatch) -> str | None:
        """Why the sink does not take a single line, asked three times, or None if it took it."""
        reason = ""
        for _ in range(3):
            try:
                self.sink.write(part)
                return None
            except Exception as error:  # the reason is kept beside the record
                if _is_destinations(error):
                    raise
                reason = redact_text(error_text(error))
        return reason

    def _end(self, final_state: StepState | None, reason: Any) -> bool:
        try:
            self.sink.on_stop(final_state, reason)
        except BaseException as error:  # noqa: BLE001  the end of one sink is not the end of the others
            self._failed(error)
            return False
        return True

    def _close(self) -> None:
        try:
            self.sink.close()
        except BaseException as error:  # noqa: BLE001  as above
            self._failed(error)
        if not self._abandoned and self.state != "retrying":
            self.state = "closed"

    def to_dict(self) -> dict[str, Any]:
        """What ``session.health()`` says of this sink."""
        return {
            "state": self.state, "errors": self.errors, "last_error": self.last_error,
            "quarantined": self.quarantined, "missing": self.missing, "delivered": self.own.position,
        }  # fmt: skip


def _is_destinations(error: BaseException) -> bool:
    """Whether the destination is at fault (its disk is full, it is busy or gone), whichever record it was given.

    Such a fault comes and goes: that the next record passes says nothing of the one before it.
    """
    if isinstance(error, SessionStoreError):
        return error.code not in (None, "database")  # what no cause is known of may lie in the record
    return isinstance(error, (OSError, MemoryError)) or not isinstance(error, Exception)
