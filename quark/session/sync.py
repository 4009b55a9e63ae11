"""Delivers what dead processes left in their journals, and closes the runs that vanished with them."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, status_of
from ..core.sink import Sink
from ..delivery.apart import Apart, goes_apart
from ..delivery.feed import Feed
from ..delivery.last_word import last_word
from ..delivery.ownership import is_own_directory, refusal
from ..delivery.place import WriterPlace, writer_places
from ..delivery.tail import Tail
from ..errors import QuarkError, RunNotFoundError, SessionStoreError
from ..records.base import Origin, format_timestamp
from ..records.identifiers import is_id
from ..records.line import Line, encode
from ..sinks.discovery import sink_from_spec
from .home import Home
from .identity import new_writer_id
from .permission import ONLY_SIGNED, NotAllowedError, Permission
from .placement import Placement, resolve_storage_dir

LOST = "lost"
HOSTS_S = 5.0
"""How long a sync waits for the processes of a dead writer's sinks."""


@dataclass(slots=True)
class SyncReport:
    """What a sync did: records delivered per run, runs that were closed as lost, and what could not be done."""

    delivered: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """What is kept in the journal until the user says more: a sink or a service that nothing of this user's names."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "delivered": dict(self.delivered), "lost": list(self.lost), "alive": list(self.alive),
            "problems": list(self.problems), "waiting": list(self.waiting),
        }  # fmt: skip


def sync(storage_dir: str | Path | None = None, *, url: str | None = None, trust: bool = False) -> SyncReport:
    """Deliver what dead processes left in the journals of ``storage_dir``; journals of live processes are left alone.

    A run whose process vanished is closed as failed with the reason ``lost``. Nothing is delivered twice.

    Args:
        url: the address to which records for a service go, if they are to go elsewhere than they were meant for.
        trust: use the sinks that journals name, also where no process of this user wrote them down.
    """
    return sync_placement(Placement(resolve_storage_dir(storage_dir)), permission=Permission(url, trust))


def sync_placement(
    placement: Placement, *, skip: frozenset[str] = frozenset(), permission: Permission = ONLY_SIGNED
) -> SyncReport:
    """See ``sync``; the runs in ``skip`` are left alone."""
    report = SyncReport()
    reason = placement.refusal()
    if reason is not None:
        report.problems.append(reason)
        return report
    for run_id in leftover_runs(placement):
        if run_id not in skip:
            sync_run(placement, run_id, report, permission=permission)
    return report


def leftover_runs(placement: Placement) -> list[str]:
    """The runs that have journals, whether their writers live or not."""
    root = placement.journal_root
    try:
        return sorted(entry.name for entry in root.iterdir() if is_id(entry.name) and entry.is_dir())
    except OSError:
        return []


def sync_run(
    placement: Placement, run_id: str, report: SyncReport | None = None, *, awaits_owner: bool = False,
    permission: Permission = ONLY_SIGNED,
) -> SyncReport:  # fmt: skip
    """Deliver what the dead writers of one run left, and close the run if none of its writers lives.

    ``awaits_owner``: rank 0, which owns the run, may yet begin. A run without an end then stays open and keeps its
    journals, in which the owner's end, or a later sync, finds it.
    """
    report = report or SyncReport()
    claimed = []
    any_alive = False
    _name_strangers(placement, run_id, report)
    for place in writer_places(placement.journals(run_id)):
        if not _belongs(place, placement):
            continue
        try:
            taken = _claim(place)
        except FileNotFoundError:  # its writer, or another sync, is done with it and removes it just now
            continue
        except OSError as error:
            report.problems.append(f"{place.directory}: {error}")
            continue
        if taken:
            claimed.append(place)
        else:
            any_alive = True
    try:
        if claimed:
            _deliver_run(placement, run_id, claimed, any_alive, awaits_owner, report, permission)
    except NotAllowedError as error:
        report.waiting.append(f"run {run_id}: {error}")
    finally:
        for place in claimed:
            place.release()
    if any_alive:
        report.alive.append(run_id)
    return report


def _name_strangers(placement: Placement, run_id: str, report: SyncReport) -> None:
    """Say which journals of this folder are left as they are, because another user made them or a link leads away."""
    if placement.journal_root != placement.store_root / "journal":
        return  # there every user of the machine may have journals
    journals = placement.journals(run_id)
    for path in (journals, *sorted(journals.glob("*"))):
        if (path == journals or path.is_dir()) and not is_own_directory(path):
            report.problems.append(f"{refusal(path) or f'{path} is no directory'}; it is left as it is")
            return


def _claim(place: WriterPlace) -> bool:
    """Take the journal of a writer that is gone; the processes of its sinks end within a moment of its own end."""
    if not place.lock.acquire(make=False):
        return False
    end = time.monotonic() + HOSTS_S
    while place.is_served():
        if time.monotonic() > end:
            place.release()
            return False
        time.sleep(0.02)
    return True


def _belongs(place: WriterPlace, placement: Placement) -> bool:
    """Whether a journal is of this storage directory: a QUARK_JOURNAL_DIR may hold those of several."""
    if placement.journal_root == placement.store_root / "journal":
        return True
    try:
        return place.content().get("storage_dir") == str(placement.storage_dir)
    except SessionStoreError:
        return False


def _deliver_run(
    placement: Placement, run_id: str, places: list[WriterPlace], any_alive: bool, awaits_owner: bool,
    report: SyncReport, permission: Permission,
) -> None:  # fmt: skip
    home = permission.home(placement, places)
    project = _project_of(places)
    store = home.sink()
    complete: dict[Path, bool] = {}
    try:
        store.on_start(RunManifest(run_id=run_id, project=project, run_path=str(placement.run_path(run_id))))
        last_time = 0
        for place in places:
            try:
                _check_identity(place, run_id)
                delivered, newest = _drain(place, store, home.name)
                last_time = max(last_time, newest)
                report.delivered[run_id] = report.delivered.get(run_id, 0) + delivered
                complete[place.directory] = True
            except Exception as error:  # noqa: BLE001  a damaged journal must not keep the others from being delivered
                report.problems.append(f"{place.directory}: {type(error).__name__}: {error}")
        ending = None
        try:
            arrived = report.delivered.get(run_id, 0) > 0
            was_last = not any_alive and all(complete.get(place.directory) for place in places)
            if was_last and _is_open(home, run_id, project, arrived):
                if awaits_owner:
                    return
                word = last_word(place.directory for place in places)
                ending = lost_ending(run_id, max(place.origin().attempt for place in places), last_time, word=word)
                store.write(ending)
                if word is None:
                    report.lost.append(run_id)
        except (QuarkError, OSError) as error:
            report.problems.append(f"{run_id}: {type(error).__name__}: {error}")
            complete.clear()
    finally:
        store.close()
    for place in places:
        if complete.get(place.directory) and _drain_others(place, placement, home, ending, report, permission):
            try:
                place.remove()
            except OSError as error:
                report.problems.append(f"{place.directory}: it is delivered and cannot be removed: {error}")


def _check_identity(place: WriterPlace, run_id: str) -> None:
    origin = place.origin()
    if (origin.run_id, origin.writer_id) != (run_id, place.directory.name):
        raise SessionStoreError(
            f"its description is that of the writer {origin.writer_id} of run {origin.run_id}; was it moved here?"
        )


def _project_of(places: list[WriterPlace]) -> str:
    """The project of a run's journals, which tells runs with one id apart at a service; empty if none can be read."""
    for place in places:
        with suppress(SessionStoreError):
            return str(place.content().get("project", ""))
    return ""


def _is_open(home: Home, run_id: str, project: str, arrived: bool) -> bool:
    """Whether the run lacks its end. A service that closed it as silent takes back what it said when records arrive."""
    store = home.open(project)
    try:
        run = store.run(run_id)
        return run.status == "running" or (arrived and run.reason == LOST and store.control(run_id).stale)
    except RunNotFoundError:  # its process died before it had recorded anything
        return False
    finally:
        store.close()


def _drain(place: WriterPlace, sink: Sink, name: str) -> tuple[int, int]:
    """Write a journal to a sink from the sink's cursor on; how many records, and the time of the last one."""
    feed = Feed(place, Tail(place.directory, place.origin()), name)
    count, newest = 0, 0
    for batch in _batches(feed, sink):
        sink.write(batch)
        feed.took(batch)
        lines = batch.lines()
        count += len(lines)
        newest = max(newest, max((line.time for line in lines), default=0))
    return count, newest


def _batches(feed: Feed, sink: Sink) -> Iterator[RecordBatch]:
    while (batch := feed.read(sink)) is not None:
        yield batch


def _drain_others(
    place: WriterPlace, placement: Placement, home: Home, ending: RecordBatch | None, report: SyncReport,
    permission: Permission,
) -> bool:  # fmt: skip
    """Deliver to the writer's other sinks as well; True when all of them have everything."""
    complete = True
    for described in place.described_sinks():
        if described.name == home.name:
            continue
        try:
            sink = sink_from_spec(described.kind, permission.options(place, described))
            _drain_other(place, placement, sink, described.name, ending)
        except NotAllowedError as error:
            complete = False
            report.waiting.append(f"run {place.origin().run_id}, sink {described.name!r}: {error}")
        except Exception as error:  # noqa: BLE001  one sink's fault must not keep the others from their records
            complete = False
            report.problems.append(f"{described.name}: {type(error).__name__}: {error}")
    return complete


def _drain_other(place: WriterPlace, placement: Placement, made: Sink, name: str, ending: RecordBatch | None) -> None:
    origin, content = place.origin(), place.content()
    sink = Apart(made, place) if goes_apart(made) else made  # a training that begins may have called for the sync
    try:
        sink.on_start(RunManifest(
            run_id=origin.run_id, project=content.get("project", ""), attempt=origin.attempt, rank=origin.rank,
            world_size=content.get("world_size", 1), run_path=str(placement.run_path(origin.run_id)),
            started_at=content.get("started_at", ""),
        ))  # fmt: skip
        _drain(place, sink, name)
        if ending is not None:
            sink.write(ending)
        lost = ending is not None and last_word([place.directory]) is None
        sink.on_stop(None, LOST if lost else content.get("reason") or "interrupted")  # type: ignore[arg-type]
    finally:
        sink.close()
        place.hosts.release()


def lost_ending(run_id: str, attempt: int, last_time: int, *, by: str = "sync", word: str | None = None) -> RecordBatch:
    """The end that a vanished process could not write, at the time (ns) of its last record.

    It is failed, lost; or interrupted, where ``word`` (see ``delivery/last_word.py``) tells of a signal.
    """
    if word is not None:
        return _signalled_ending(run_id, attempt, last_time, word, by)
    body = {"event_type": "run_ended", "severity": "error", "status": "failed", "payload": {"reason": LOST}}
    return _ending(run_id, attempt, last_time, by, [body], LOST)


def _signalled_ending(run_id: str, attempt: int, last_time: int, word: str, by: str) -> RecordBatch:
    message = f"InterruptedError: a signal ended the process at once: {word}"
    events: list[dict[str, Any]] = [
        {"event_type": "runtime_interruption", "severity": "warning", "status": None,
         "payload": {"message": message, "identifier": "Warning", "exception_type": "InterruptedError"}},
        {"event_type": "run_ended", "severity": "info", "status": "interrupted", "payload": {"reason": "interrupted"}},
    ]  # fmt: skip
    return _ending(run_id, attempt, last_time, by, events, "interrupted")


def _ending(
    run_id: str, attempt: int, last_time: int, by: str, events: list[dict[str, Any]], reason: str
) -> RecordBatch:
    now = time.time_ns()
    origin = Origin(run_id, f"{by}-{new_writer_id(0, attempt)}", 0, attempt)
    end = {"status": status_of(reason), "reason": reason, "ended_at": format_timestamp(last_time or now)}
    lines = [Line("event", n, now, label=body["event_type"], body=_raw(body)) for n, body in enumerate(events)]
    lines.append(Line("run", len(lines), now, label="end", body=_raw(end)))
    return RecordBatch(origin, 0, len(lines), b"".join(encode(line) + b"\n" for line in lines))


def _raw(body: dict[str, Any]) -> Any:
    import msgspec

    return msgspec.Raw(encode(body))


__all__ = ["SyncReport", "leftover_runs", "lost_ending", "sync", "sync_placement", "sync_run"]
