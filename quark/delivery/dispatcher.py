"""The delivery of one session: its journal, the thread that keeps it ahead of the training, one worker per sink."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.lifecycle import RunManifest, StepState
from ..core.sink import Sink
from ..errors import SessionStoreError
from ..records.base import Origin
from ..records.foreign import error_text
from ..redaction import redact_options
from .apart import Apart, goes_apart
from .disk import Disk
from .feed import Feed
from .health import Health
from .journal import journal_class
from .place import WRITER_FILE, WriterPlace, name_of, sink_name, writer_places
from .quota import enforce_quota
from .tail import BatchCache, Tail
from .threads import start_thread
from .worker import SinkWorker

TICK_S = 0.25

THREADS_S = 0.5
"""How long the end of a run waits for each of its threads, which have nothing left to do."""


class Dispatcher:
    """Brings what a process records to its sinks. Nothing here is ever waited for by a log call.

    Args:
        run_directory: where the journals of all writers of the run lie.
        owns_run: whether this process also delivers what the run's other writers leave in their journals.
        quota: bytes that the journal may hold; past it the oldest metrics go, and are counted.
    """

    def __init__(
        self, run_directory: Path, origin: Origin, manifest: RunManifest, *, health: Health | None = None,
        owns_run: bool = True, quota: int = 2 << 30, sync_interval_s: float = 1.0, disk: Disk | None = None,
        clock: Any = time,
    ) -> None:  # fmt: skip
        self.health = health or Health()
        self.manifest = manifest
        self.workers: list[SinkWorker] = []
        self._disk = disk or Disk()
        self._clock = clock
        self._run_directory = run_directory
        self._owns_run = owns_run
        self._quota = quota
        self._sync_interval_s = sync_interval_s
        self.place = WriterPlace(run_directory / origin.writer_id, self._disk)
        try:
            self.place.create(origin, self._content())
        except OSError as error:
            self.place.absent = True
            self.health.report(
                "journal_in_memory", f"no journal can be kept in {self.place.directory} ({error}); records are kept in "
                "memory and would be lost with the process; free space there, or set QUARK_STORAGE_DIR",
            )  # fmt: skip
        self.journal = journal_class()(
            self.place.directory, origin, disk=self._disk, report=self.health.report, monotonic=clock.monotonic
        )
        self.journal.on_roll = self._hurry
        self._cache = BatchCache(0)
        self.lost = 0
        """Records that were in memory only when the run ended."""
        self._dropped_by_quota = 0
        self._closing = False
        self._placing = threading.Lock()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="quark-journal", daemon=True)
        self._syncer = threading.Thread(target=self._sync, name="quark-journal-sync", daemon=True)
        self.tick: Callable[[], None] | None = None
        self.on_place_deleted: Callable[[], None] | None = None

    def start(self) -> None:
        """Start the threads that keep the journal."""
        start_thread(self._keeper, self.health.report)
        if self._sync_interval_s > 0:
            start_thread(self._syncer, self.health.report)

    def add_sink(self, sink: Sink, *, name: str | None = None) -> SinkWorker:
        """Give a sink a worker; it gets everything from the run's first record on that its cursor has not passed."""
        taken = {worker.name for worker in self.workers}
        base = sink_name(str(name or name_of(sink)))
        unique = next(one for one in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)
        own = Feed(self.place, self._tail(self.place, self.journal.origin, own=True), unique)
        others: dict[str, Feed] = {}
        follows = self._owns_run and not sink.per_writer
        worker = SinkWorker(
            Apart(sink, self.place) if goes_apart(sink) and not self.place.absent else sink,
            unique, self.manifest, own, self.health, clock=self._clock,
            discover=(lambda: self._other_feeds(unique, others)) if follows else list,
        )  # fmt: skip
        self.workers.append(worker)
        self._cache.size = 4 if len(self.workers) > 1 else 0  # one reader alone decodes nothing twice
        self.place.describe(self.journal.origin, self._content())
        worker.start()
        companion = getattr(sink, "companion", None)
        if companion is not None and (other := companion()) is not None:
            self.add_sink(other, name=f"{unique}-files")
        return worker

    def flush(self, deadline: float, workers: list[SinkWorker] | None = None) -> bool:
        """Wait until the workers (all of them by default) have taken what is in the journal by now."""
        target = self.journal.next
        self._start_workers()
        chosen = self.workers if workers is None else workers
        return all([worker.wait(lambda w=worker: w.own.position >= target, deadline) for worker in chosen])

    def pending(self, worker: SinkWorker) -> int:
        """How many of this process's records a sink has still to take."""
        return max(0, self.journal.next - worker.own.position)

    @property
    def dropped(self) -> int:
        """Records that were given up: the disk took none before the end or before memory was full, or for the quota."""
        return self.journal.dropped + self._dropped_by_quota + self.lost

    def close(self, final_state: StepState | None, reason: str, deadline: float) -> bool:
        """Deliver what is left until ``deadline`` (monotonic); True if every sink has everything.

        What is not delivered by then stays in the journal for ``quark sync``.
        """
        try:
            self._mend_place()
        except OSError as error:
            self.health.report("journal_files", f"the deleted journal could not be made again ({error})")
        self.journal.close()
        self._start_workers()
        for worker in self.workers:
            worker.finish(final_state, reason)
        complete = bool(self.workers)
        for worker in self.workers:
            worker.done.wait(max(0.0, deadline - self._clock.monotonic()))
            complete &= worker.done.is_set() and self.pending(worker) == 0
        if complete and self._owns_run and not self.journal.dropped:  # another rank's is delivered by the owner
            self._remove_own_journal()
        self.abandon()
        if not complete:
            left = max((self.pending(worker) for worker in self.workers), default=0)
            self.lost = left if self.place.absent else min(left, self.journal.in_memory())
        for thread in (self._keeper, self._syncer, *(worker.thread for worker in self.workers)):
            if thread.is_alive() and thread is not threading.current_thread():  # they are at their last line
                thread.join(max(0.0, min(THREADS_S, deadline - self._clock.monotonic())))
        return complete

    def abandon(self) -> None:
        """End the threads at their next chance; what is not delivered stays in the journal."""
        for worker in self.workers:
            worker.abandon()
        self._closing = True
        self._stopped.set()
        self._hurry()
        self.place.release()

    def _remove_own_journal(self) -> None:
        try:
            with self._placing:
                self._closing = True  # the keeper may be about to make a segment in the directory that goes
                self.place.remove()
        except OSError as error:
            self.health.report("journal_files", f"the delivered journal could not be deleted ({error})")

    def disown(self) -> None:
        """In a forked child: only flags, and the child's share of the lock, or an orphan would keep the run alive."""
        self.journal.disown()
        self._closing = True
        self.place.release()

    def _content(self) -> dict[str, Any]:
        sinks = [
            {"name": worker.name, "kind": name_of(worker.sink), "options": redact_options(spec)}
            for worker in self.workers
            if (spec := self._spec_of(worker)) is not None
        ]
        manifest = self.manifest
        return {
            "pid": os.getpid(), "sinks": sinks, "project": manifest.project, "started_at": manifest.started_at,
            "run_path": manifest.run_path, "storage_dir": manifest.storage_dir, "world_size": manifest.world_size,
        }  # fmt: skip

    def _spec_of(self, worker: SinkWorker) -> dict[str, Any] | None:
        """What ``quark sync`` can make the sink from; None if it tells nothing, or raises."""
        try:
            return worker.sink.spec()
        except Exception as error:  # noqa: BLE001  a foreign sink may raise anything, and the run starts all the same
            self.health.report(f"sink_{worker.name}", f"spec() raised {error_text(error)}; quark sync cannot make it")
            return None

    def _hurry(self) -> None:
        self._wake.set()

    def _keep(self) -> None:
        """Keep a segment ready, let go of full ones, hold the quota; the training thread never does this."""
        while not self._closing:
            try:
                self._mend_place()
                self.journal.prepare()
                self.journal.retire()
                self._start_workers()
                if self.journal.memory:
                    self._leave_memory()
                self._dropped_by_quota += enforce_quota(
                    self.place.directory, self._quota, self._delivered(), self._disk, self.health.report
                )
                if self.tick is not None:
                    self.tick()
            except Exception as error:  # noqa: BLE001  the keeper must live as long as the run does
                if not self._closing:
                    self.health.report("journal_keeper", f"{type(error).__name__}: {error}")
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _start_workers(self) -> None:
        """Start what could not be started before, for want of threads."""
        for worker in self.workers:
            if not worker.started:
                worker.start()

    def _leave_memory(self) -> None:
        """Bring what waits in memory to the disk, and let go of what every sink has."""
        if self.place.absent:
            self.place.appear(self.journal.origin, self._content())
        if not self.place.absent:
            self.journal.rescue()
        if self.workers:
            self.journal.forget(self._delivered())

    def _mend_place(self) -> None:
        """Make the journal's directory again if somebody deleted it; what is still in memory is written there."""
        with self._placing:
            if self._closing or self.place.absent or self._disk.exists(self.place.directory / WRITER_FILE):
                return
            self.health.report(
                "journal_deleted",
                f"the directory {self.place.directory} was deleted while the run was recording; it is made again with "
                "what is still in memory",
            )  # fmt: skip
            self.place.release()
            self.place.create(self.journal.origin, self._content())
            self.journal.start_afresh()
        if self.on_place_deleted is not None:
            self.on_place_deleted()

    def _delivered(self) -> int:
        """The number below which every sink has everything."""
        return min((worker.own.position for worker in self.workers), default=0)

    def _sync(self) -> None:
        """Bring the journal to the disk once a second, to bound a power loss; a slow disk holds only this thread."""
        synced = -1
        while not self._stopped.wait(self._sync_interval_s):
            path, count = self.journal.current.path, self.journal.next
            if path is None or count == synced:
                continue
            try:
                self._disk.sync(path)
                synced = count
            except OSError as error:
                if not self._closing:  # else it is delivered, and is being removed
                    self.health.report("journal_sync", f"the journal could not be brought to the disk ({error})")

    def _tail(self, place: WriterPlace, origin: Origin, *, own: bool = False) -> Tail:
        return Tail(
            place.directory, origin, disk=self._disk, monotonic=self._clock.monotonic,
            journal=self.journal if own else None, cache=self._cache if own else None,
            alive=(lambda: True) if own else place.alive,
        )  # fmt: skip

    def _other_feeds(self, sink_name: str, feeds: dict[str, Feed]) -> list[Feed]:
        """The journals of the run's other writers: ranks of a distributed job, and what earlier attempts left."""
        for place in writer_places(self._run_directory, self._disk):
            known = place.directory.name in feeds or place.directory == self.place.directory
            if known or place.is_served():
                continue
            try:
                feeds[place.directory.name] = Feed(place, self._tail(place, place.origin()), sink_name)
            except SessionStoreError as error:  # damaged: it must not hold up the journals that are whole
                self.health.report("other_journal", str(error))
        return list(feeds.values())
