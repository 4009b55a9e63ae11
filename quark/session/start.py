"""How a session begins: a new run, a further attempt at an old one, or another rank that joins."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.blueprint import check_config
from ..core.lifecycle import RunManifest
from ..core.openruns import is_open
from ..delivery.dispatcher import Dispatcher
from ..delivery.health import Health
from ..delivery.place import writer_places
from ..errors import InvalidRunStateError, RunNotFoundError
from ..producers.events import log_event
from ..records.base import Origin, format_timestamp
from ..records.fitting import MAX_EVENT_BYTES, fitted
from ..records.identifiers import check_id
from ..records.jsonable import json_object
from ..records.limits import MAX_RECORD_BYTES
from ..records.run import ProjectRecord, RunContext, RunRecord, project_id
from ..redaction import redact
from ..settings import setting
from .attempts import attempt_of_rank, check_further, config_changes, earlier_of, one_start_at_a_time
from .blueprints import blueprint_of, remember_blueprint
from .capture import start_capture
from .cells import current_cell, end_earlier, opened_by
from .checks import (
    Faults,
    check_project,
    check_tags,
    check_trackers,
    cut_name,
    run_id_from,
    usable_tags,
)
from .current import current_run, enter
from .disabled import DisabledSession
from .distributed import JOIN_VARIABLE, Job, find_job, shared_run_id
from .environment import capture_environment
from .heartbeat import Heartbeat
from .home import Home, home_of
from .identity import new_run_id, new_writer_id
from .invented import invented_name, name_for
from .launched import assigned_run_id, attempt_of, leave_note
from .leftovers import Leftovers
from .lineage import remember_root, root_of
from .placement import Placement, chosen_placement, resolve_storage_dir, writable
from .session import TrainingSession

START_BYTES = 64 << 10
"""What a run's first line may hold beside its config and environment: name, paths, some tags."""

START_TAGS = 50
"""Tags in a run's first line; the others follow in lines of their own."""

_started: Counter[str] = Counter()


def begin(
    *, project: str | None = None, config: Mapping[str, Any] | None = None, tags: Iterable[str] | None = None,
    parent_run_id: str | None = None, storage_dir: str | Path | None = None, strict_mode: bool = False,
    name: str | None = None, run_id: str | None = None, trackers: Iterable[Any] | str = (),
    close_timeout_s: float | None = None, declared: Mapping[str, Any] | None = None, root: str | None = None,
    capture: bool | None = None, analyze: bool | None = None,
) -> TrainingSession:  # fmt: skip
    """Start a run; see ``quark.start_run``.

    ``declared``: what a tracked loop declares of itself. ``root``: the first run of the line, where the parent is known
    to be there; the store may not have heard of it yet.
    """
    if setting("QUARK_DISABLE"):
        return _disabled(check_project(project or "disabled"), config)
    host = current_run()
    if host is not None and host.shared and run_id in (None, host.run_id):
        return _joined(host, config, tags, trackers)
    cell = current_cell()
    end_earlier(cell)
    faults: Faults = []
    given = _Given(
        check_project(project if project is not None else setting("QUARK_PROJECT")),
        cut_name(name, faults),
        json_object(config, "config", strict=bool(strict_mode), otherwise="value"),
        usable_tags(tags, faults),
        parent_run_id,
        bool(strict_mode),
        close_timeout_s,
    )
    if faults and given.strict:
        raise faults[0]
    observers = check_trackers(trackers)
    job = find_job()
    wanted = chosen_placement(storage_dir)
    home = home_of(wanted, storage_dir)
    blueprint = _checked_config(given.project, given.config, wanted, home)
    identity, source = _run_id(job, given.project) if run_id is None else (check_id(run_id), "argument")
    root = root or root_of(wanted, home, parent_run_id, strict=given.strict)
    if source == "new":
        session = _begun(given, identity, job, wanted, storage_dir, root=root)
    else:
        with one_start_at_a_time(wanted, identity):
            session = _named(given, identity, source, job, wanted, storage_dir, home=home, root=root)
    for fault in faults:
        session.refuse(fault, what="start_run")
    remember_blueprint(Placement(Path(session.storage_dir)), home, given.project, blueprint)
    if declared is not None:
        session.declare(**declared)
    opened_by(cell, session)
    session.analyze_at_end = analyze
    start_capture(session, capture)
    return _with_trackers(session, observers)


@dataclass(frozen=True, slots=True)
class _Given:
    """The checked arguments of a start."""

    project: str
    name: str | None
    config: dict[str, Any]
    tags: tuple[str, ...]
    parent_run_id: str | None
    strict: bool
    close_timeout_s: float | None


def _named(
    given: "_Given", run_id: str, source: str, job: Job, wanted: Placement, storage_dir: object, *, home: Home,
    root: str | None,
) -> TrainingSession:  # fmt: skip
    """A run whose id was chosen: a new one, a further attempt, or the one that another rank has started."""
    hint = attempt_of(run_id)
    if not job.owns_run:
        attempt = max(hint, attempt_of_rank(wanted, home, run_id, given.project))
        return _begun(given, run_id, job, wanted, storage_dir, root=root, attempt=attempt)
    earlier = earlier_of(wanted, home, run_id, given.project)
    attempt = max(hint, earlier.attempt + 1)
    if earlier.run is None:
        return _begun(given, run_id, job, wanted, storage_dir, root=root, attempt=attempt)
    check_further(earlier.run, given.project, told_to=source == "job" or hint > earlier.attempt)
    return _further(given, earlier.run, job, wanted, storage_dir, attempt=attempt)


def _begun(
    given: "_Given", run_id: str, job: Job, wanted: Placement, storage_dir: object, *, root: str | None,
    attempt: int = 1,
) -> TrainingSession:  # fmt: skip
    environment = capture_environment()
    config, excess = fitted(
        redact(given.config), environment, "the config with its environment", most=MAX_RECORD_BYTES - START_BYTES
    )
    if excess is not None and given.strict:
        raise excess
    placement = writable(wanted, run_id)
    now = format_timestamp(time.time_ns())
    run = RunRecord(
        id=run_id, name=_name(given, run_id, placement, job), project_id=project_id(given.project),
        project_name=given.project, status="running", parent_run_id=given.parent_run_id,
        lineage_root_run_id=root or run_id,
        run_path=str(placement.run_path(run_id)), git_commit=(environment["git"] or {}).get("commit"),
        strict_mode=given.strict, tags=given.tags[:START_TAGS], config=config, environment=environment,
        started_at=now, updated_at=now,
    )  # fmt: skip
    home = home_of(placement, storage_dir)
    context = _context_of(run, placement, home, now)
    session = _open(context, placement, home, job, attempt=attempt, close_timeout_s=given.close_timeout_s)
    _announce_start(session, context, job)
    if excess is not None:
        session.refuse(excess, what="start_run", subject="config")
    if job.owns_run:
        for tag in given.tags[START_TAGS:]:
            session.add_tag(tag)
    return session


def _name(given: "_Given", run_id: str, placement: Placement, job: Job) -> str:
    """The name of the run; a rank that does not own it claims none."""
    if not job.owns_run:
        return given.name or invented_name(run_id)
    return name_for(placement.store_root / "names", run_id, given.name)


def _further(
    given: "_Given", before: RunRecord, job: Job, wanted: Placement, storage_dir: object, *, attempt: int
) -> TrainingSession:
    """A further attempt at a run, by a start with its id: what it was started with stays, what differs is recorded."""
    placement = writable(wanted, before.id)
    home = home_of(placement, storage_dir)
    now = format_timestamp(time.time_ns())
    run = replace(
        before, status="running", reason=None, ended_at=None, resume_count=attempt - 1, updated_at=now,
        strict_mode=given.strict, run_path=str(placement.run_path(before.id)),
    )  # fmt: skip
    context = _context_of(run, placement, home, now)
    session = _open(context, placement, home, job, attempt=attempt, close_timeout_s=given.close_timeout_s)
    _announce_resume(session, job, capture_environment(), now)
    for tag in given.tags:
        session.add_tag(tag)
    changes = config_changes(before.config, redact(given.config)) if given.config else {}
    if changes:
        payload, _ = fitted({"attempt": attempt, **changes}, None, "the event", most=MAX_EVENT_BYTES)
        log_event(session, "config_changed", payload=payload)
    session.config.update({name: value for name, value in given.config.items() if name not in before.config})
    return session


def _context_of(run: RunRecord, placement: Placement, home: Home, now: str) -> RunContext:
    return RunContext(
        storage_dir=str(placement.storage_dir), store_root=str(placement.store_root), db_path=home.location,
        project=ProjectRecord(
            id=run.project_id, name=run.project_name, root_path=str(placement.store_root), created_at=run.started_at,
            updated_at=now,
        ),
        run=run,
    )  # fmt: skip


def _disabled(project: str, config: Mapping[str, Any] | None = None) -> DisabledSession:
    """The session of QUARK_DISABLE; it is the current run as any other."""
    session = DisabledSession(project, config)
    enter(session)
    return session


def _joined(
    host: TrainingSession, config: Mapping[str, Any] | None, tags: Iterable[str] | None, trackers: Iterable[Any] | str
) -> TrainingSession:
    """A run that is shared, with what was to be known of the one that would have been started."""
    params = json_object(config, "config", strict=host.strict, otherwise="value")
    for tag in check_tags(tags):
        host.add_tag(tag)
    host.config.update(params)
    for tracker in check_trackers(trackers):
        host.add_tracker(tracker)
    return host


def resume(
    *, run_id: str, storage_dir: str | Path | None = None, trackers: Iterable[Any] | str = (),
    close_timeout_s: float | None = None, completed: bool = False, stopped_too: bool = False,
) -> TrainingSession:  # fmt: skip
    """Continue a run; see ``quark.resume_run``. ``stopped_too``: also one that ended because it was asked to stop."""
    if setting("QUARK_DISABLE"):
        return _disabled("disabled")
    check_id(run_id)
    observers = check_trackers(trackers)
    cell = current_cell()
    end_earlier(cell)
    placement = Placement(resolve_storage_dir(storage_dir))
    home = home_of(placement, storage_dir)
    run = _resumable(placement, home, run_id, completed=completed, stopped_too=stopped_too)
    job = find_job()
    attempt = run.resume_count + 2
    now = format_timestamp(time.time_ns())
    if job.owns_run:
        run = replace(
            run, status="running", reason=None, ended_at=None, resume_count=run.resume_count + 1, updated_at=now
        )
    context = _context_of(run, placement, home, now)
    session = _open(context, placement, home, job, attempt=attempt, close_timeout_s=close_timeout_s)
    opened_by(cell, session)
    if job.owns_run:
        _announce_resume(session, job, capture_environment(), now)
    else:
        _announce_join(session)
    start_capture(session)
    return _with_trackers(session, observers)


def _resumable(placement: Placement, home: Home, run_id: str, *, completed: bool, stopped_too: bool) -> RunRecord:
    """The run, if it may be resumed; what an earlier process left in its journal is delivered first."""
    from .sync import sync_run

    if not home.exists() and not placement.journals(run_id).exists():
        raise RunNotFoundError(f"no run {run_id!r} in {placement.storage_dir}: there is no store; check storage_dir")
    placement.check(run_id)
    sync_run(placement, run_id)
    if is_open(run_id) or any(place.alive() for place in writer_places(placement.journals(run_id))):
        raise InvalidRunStateError(f"run {run_id} is running; end it before it is resumed")
    store = home.open()
    try:
        run = store.run(run_id)
    finally:
        store.close()
    if run.status == "completed" and not completed and not (stopped_too and run.reason == "stop_requested"):
        raise InvalidRunStateError(
            f"run {run_id} is completed and cannot be resumed; start a run with parent_run_id={run_id!r} instead, "
            "or add to it with resume_run(completed=True)"
        )
    if run.status == "running":
        raise InvalidRunStateError(f"run {run_id} is running; end it before it is resumed")
    return replace(run, run_path=str(placement.run_path(run_id)))  # the store may be a stranger's, or have been moved


def _open(
    context: RunContext, placement: Placement, home: Home, job: Job, *, attempt: int, close_timeout_s: float | None
) -> TrainingSession:
    run = context.run
    remember_root(run.id, run.lineage_root_run_id)
    manifest = RunManifest(
        run_id=run.id, project=context.project.name, name=run.name, params=run.config, tags=run.tags,
        environment=run.environment, git_commit=run.git_commit, parent_run_id=run.parent_run_id, attempt=attempt,
        rank=job.rank, world_size=job.world_size, run_path=run.run_path, storage_dir=context.storage_dir,
        started_at=run.started_at,
    )  # fmt: skip
    delivery = Dispatcher(
        placement.journals(run.id), Origin(run.id, new_writer_id(job.rank, attempt), job.rank, attempt), manifest,
        health=Health(), owns_run=job.owns_run, quota=setting("QUARK_JOURNAL_QUOTA"),
        sync_interval_s=setting("QUARK_FSYNC_INTERVAL"),
    )  # fmt: skip
    delivery.start()
    worker = delivery.add_sink(home.sink()) if job.owns_run else None
    timeout = setting("QUARK_CLOSE_TIMEOUT") if close_timeout_s is None else float(close_timeout_s)
    session = TrainingSession(context, manifest, delivery, worker, home, close_timeout_s=timeout)
    session.leftovers = Leftovers(placement, run.id, delivery.health)
    if job.owns_run:
        session.leftovers.start()
    if worker is not None:
        leave_note(run.id, context, attempt, worker.sink)
    interval_s = setting("QUARK_HEARTBEAT_INTERVAL")
    if interval_s > 0:
        session.heartbeat = Heartbeat(session, home.pulse, interval_s)
        session.heartbeat.start()
    return session


def _announce_start(session: TrainingSession, context: RunContext, job: Job) -> None:
    if not job.owns_run:
        _announce_join(session)
        return
    if job.world_size > 1:
        os.environ[JOIN_VARIABLE] = context.run.id
    environment = context.run.environment
    session.lifecycle(
        "start",
        {
            "project": context.project.to_dict(), "run": context.run.to_dict(), "rank": job.rank,
            "world_size": job.world_size, "host": environment["host"], "pid": environment["pid"],
        },
    )  # fmt: skip
    if session.manifest.attempt == 1:
        log_event(session, "run_started", payload={"project": context.project.name, **_ranks(job)})
    else:  # a launcher started the process again; that there is a start line changes nothing where one is
        _announce_resume(session, job, environment, format_timestamp(time.time_ns()))


def _announce_resume(session: TrainingSession, job: Job, environment: Mapping[str, Any], now: str) -> None:
    attempt = session.manifest.attempt
    if job.world_size > 1:
        os.environ[JOIN_VARIABLE] = session.run_id
    session.lifecycle("resume", {"attempt": attempt, "resumed_at": now, "environment": environment})
    log_event(session, "run_resumed", payload={"attempt": attempt, **_ranks(job)})


def _ranks(job: Job) -> dict[str, int]:
    return {"world_size": job.world_size} if job.world_size > 1 else {}


def _announce_join(session: TrainingSession) -> None:
    environment = session.manifest.environment
    session.lifecycle("join", {"rank": session.rank, "host": environment["host"], "pid": environment["pid"]})


def _with_trackers(session: TrainingSession, observers: list[Any]) -> TrainingSession:
    named = [word.strip() for word in setting("QUARK_TRACKERS").split(",") if word.strip()]
    if setting("QUARK_CONSOLE"):
        named.append("console")
    try:
        for tracker in [*observers, *named]:
            session.add_tracker(tracker)
    except Exception:
        session.finish("error")
        raise
    return session


def _run_id(job: Job, project: str) -> tuple[str, str]:
    """The id of a run that was started without one, and where it comes from: environment, job or new."""
    if job.key is not None:
        _started[project] += 1
        inherited = run_id_from(JOIN_VARIABLE) if job.rank > 0 else None
        if inherited is not None:
            return inherited, "environment"
    assigned = assigned_run_id(job.rank)
    if assigned is not None:
        return assigned, "environment"
    shared = shared_run_id(job, project, _started[project])
    return (new_run_id(), "new") if shared is None else (shared, "job")


def _checked_config(project: str, config: Mapping[str, Any], placement: Placement, home: Home) -> dict[str, Any] | None:
    """The blueprint that the configuration was held against, before anything is created."""
    blueprint = blueprint_of(placement, home, project)
    if blueprint is not None:
        check_config(project, blueprint, config)
    return blueprint
