"""How a session begins: a new run, a further attempt at an old one, or another rank that joins."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..client.connection import ServiceUnavailableError
from ..core.blueprint import check_config
from ..core.lifecycle import RunManifest
from ..delivery.dispatcher import Dispatcher
from ..delivery.health import Health
from ..delivery.place import writer_places
from ..errors import InvalidRunStateError, RunNotFoundError, SchemaValidationError, WrongTypeError
from ..producers.events import log_event
from ..records.base import Origin, format_timestamp
from ..records.grammar import check_json, clean_text, shown
from ..records.run import ProjectRecord, RunContext, RunRecord, project_id
from ..redaction import redact, redact_text
from ..settings import setting
from .blueprints import blueprint_of, remember_blueprint
from .cells import current_cell, end_earlier, opened_by
from .current import current_run
from .disabled import DisabledSession
from .distributed import JOIN_VARIABLE, Job, find_job, shared_run_id
from .environment import capture_environment
from .heartbeat import Heartbeat
from .home import Home, home_of
from .identity import new_run_id, new_writer_id
from .launched import assigned_run_id, attempt_of, leave_note
from .leftovers import Leftovers
from .placement import Placement, resolve_storage_dir, writable_placement
from .session import TrainingSession

_started: Counter[str] = Counter()


def begin(
    *, project: str | None = None, config: Mapping[str, Any] | None = None, tags: Iterable[str] | None = None,
    parent_run_id: str | None = None, storage_dir: str | Path | None = None, strict_mode: bool = False,
    name: str | None = None, run_id: str | None = None, trackers: Iterable[Any] | str = (),
    close_timeout_s: float | None = None, declared: Mapping[str, Any] | None = None, root: str | None = None,
) -> TrainingSession:  # fmt: skip
    """Start a run; see ``quark.start_run``.

    ``declared``: what a tracked loop declares of itself. ``root``: the first run of the line, where the parent is known
    to be there; the store may not have heard of it yet.
    """
    if setting("QUARK_DISABLE"):
        return DisabledSession(_check_project(project or "disabled"))
    host = current_run()
    if host is not None and host.shared and run_id in (None, host.run_id):
        return _joined(host, config, tags, trackers)
    cell = current_cell()
    end_earlier(cell)
    project = _check_project(project if project is not None else setting("QUARK_PROJECT"))
    given = check_json(config, "config")
    blueprint = _checked_config(project, given, storage_dir)
    params = redact(given)
    checked_tags = _check_tags(tags)
    job = find_job()
    run_id = run_id or _run_id(job, project)
    root = root or _lineage_root(storage_dir, parent_run_id)
    placement = writable_placement(storage_dir, run_id)
    home = home_of(placement, storage_dir)
    remember_blueprint(placement, home, project, blueprint)
    environment = capture_environment()
    now = format_timestamp(time.time_ns())
    context = RunContext(
        storage_dir=str(placement.storage_dir),
        store_root=str(placement.store_root),
        db_path=home.location,
        project=ProjectRecord(
            id=project_id(project), name=project, root_path=str(placement.store_root), created_at=now, updated_at=now
        ),
        run=RunRecord(
            id=run_id, name=None if name is None else redact_text(clean_text(str(name))),
            project_id=project_id(project),
            project_name=project, status="running", parent_run_id=parent_run_id,
            lineage_root_run_id=root or run_id, run_path=str(placement.run_path(run_id)),
            git_commit=(environment["git"] or {}).get("commit"), strict_mode=bool(strict_mode), tags=checked_tags,
            config=params, environment=environment, started_at=now, updated_at=now,
        ),
    )  # fmt: skip
    attempt = attempt_of(run_id)
    session = _open(context, placement, home, job, attempt=attempt, close_timeout_s=close_timeout_s)
    if declared is not None:
        session.declare(**declared)
    opened_by(cell, session)
    _announce_start(session, context, job)
    return _with_trackers(session, trackers)


def _joined(
    host: TrainingSession, config: Mapping[str, Any] | None, tags: Iterable[str] | None, trackers: Iterable[Any] | str
) -> TrainingSession:
    """A run that is shared, with what was to be known of the one that would have been started."""
    params = redact(check_json(config, "config"))
    for tag in _check_tags(tags):
        host.add_tag(tag)
    if params:
        log_event(host, "hyperparameters", payload=params)
    for tracker in [trackers] if isinstance(trackers, str) else trackers:
        host.add_tracker(tracker)
    return host


def resume(
    *, run_id: str, storage_dir: str | Path | None = None, trackers: Iterable[Any] | str = (),
    close_timeout_s: float | None = None,
) -> TrainingSession:  # fmt: skip
    """Continue a run; see ``quark.resume_run``."""
    if setting("QUARK_DISABLE"):
        return DisabledSession("disabled")
    if not isinstance(run_id, str) or not run_id:
        raise WrongTypeError(f"run_id must be a run's id, got {shown(run_id)}")
    cell = current_cell()
    end_earlier(cell)
    placement = Placement(resolve_storage_dir(storage_dir))
    home = home_of(placement, storage_dir)
    run = _resumable(placement, home, run_id)
    job = find_job()
    attempt = run.resume_count + 2
    now = format_timestamp(time.time_ns())
    environment = capture_environment()
    if job.owns_run:
        run = replace(
            run, status="running", reason=None, ended_at=None, resume_count=run.resume_count + 1, updated_at=now
        )
    context = RunContext(
        storage_dir=str(placement.storage_dir), store_root=str(placement.store_root), db_path=home.location,
        project=ProjectRecord(
            id=run.project_id, name=run.project_name, root_path=str(placement.store_root), created_at=run.started_at,
            updated_at=now,
        ),
        run=run,
    )  # fmt: skip
    session = _open(context, placement, home, job, attempt=attempt, close_timeout_s=close_timeout_s)
    opened_by(cell, session)
    if job.owns_run:
        session.lifecycle("resume", {"attempt": attempt, "resumed_at": now, "environment": environment})
        log_event(session, "run_resumed", payload={"attempt": attempt, **_ranks(job)})
    else:
        _announce_join(session)
    return _with_trackers(session, trackers)


def _resumable(placement: Placement, home: Home, run_id: str) -> RunRecord:
    """The run, if it may be resumed; what an earlier process left in its journal is delivered first."""
    from .sync import sync_run

    if not home.exists() and not placement.journals(run_id).exists():
        raise RunNotFoundError(f"no run {run_id!r} in {placement.storage_dir}: there is no store; check storage_dir")
    sync_run(placement, run_id)
    if any(place.alive() for place in writer_places(placement.journals(run_id))):
        raise InvalidRunStateError(f"run {run_id} is running; end it before it is resumed")
    store = home.open()
    try:
        run = store.run(run_id)
    finally:
        store.close()
    if run.status == "completed":
        raise InvalidRunStateError(
            f"run {run_id} is completed and cannot be resumed; start a run with parent_run_id={run_id!r} instead"
        )
    if run.status == "running":
        raise InvalidRunStateError(f"run {run_id} is running; end it before it is resumed")
    return run


def _open(
    context: RunContext, placement: Placement, home: Home, job: Job, *, attempt: int, close_timeout_s: float | None
) -> TrainingSession:
    run = context.run
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
    attempt = session.manifest.attempt
    if attempt == 1:
        log_event(session, "run_started", payload={"project": context.project.name, **_ranks(job)})
    else:  # a launcher started the process again; that there is a start line changes nothing where one is
        now = format_timestamp(time.time_ns())
        session.lifecycle("resume", {"attempt": attempt, "resumed_at": now, "environment": environment})
        log_event(session, "run_resumed", payload={"attempt": attempt, **_ranks(job)})


def _ranks(job: Job) -> dict[str, int]:
    return {"world_size": job.world_size} if job.world_size > 1 else {}


def _announce_join(session: TrainingSession) -> None:
    environment = session.manifest.environment
    session.lifecycle("join", {"rank": session.rank, "host": environment["host"], "pid": environment["pid"]})


def _with_trackers(session: TrainingSession, trackers: Iterable[Any] | str) -> TrainingSession:
    named = [word.strip() for word in setting("QUARK_TRACKERS").split(",") if word.strip()]
    if setting("QUARK_CONSOLE"):
        named.append("console")
    given = [trackers] if isinstance(trackers, str) else list(trackers)
    try:
        for tracker in [*given, *named]:
            session.add_tracker(tracker)
    except Exception:
        session.finish("error")
        raise
    return session


def _run_id(job: Job, project: str) -> str:
    if job.key is None:
        return assigned_run_id() or new_run_id()
    _started[project] += 1
    inherited = os.environ.get(JOIN_VARIABLE) if job.rank > 0 else None
    return inherited or assigned_run_id() or shared_run_id(job, project, _started[project]) or new_run_id()


def _lineage_root(storage_dir: object, parent_run_id: object) -> str | None:
    if parent_run_id is None:
        return None
    if not isinstance(parent_run_id, str) or not parent_run_id:
        raise WrongTypeError(f"parent_run_id must be a run's id, got {shown(parent_run_id)}")
    from .sync import sync_run

    placement = Placement(resolve_storage_dir(storage_dir))
    home = home_of(placement, storage_dir)
    if not home.exists():
        raise RunNotFoundError(f"no run {parent_run_id!r} in {placement.storage_dir}; check parent_run_id")
    try:
        try:
            return home.lineage_root(parent_run_id)
        except RunNotFoundError:
            sync_run(placement, parent_run_id)  # its process may have died here before anything had arrived
            return home.lineage_root(parent_run_id)
    except ServiceUnavailableError:  # a run starts without its service, and its parent is a root as far as we know
        return parent_run_id


def _checked_config(project: str, config: Mapping[str, Any], storage_dir: object) -> dict[str, Any] | None:
    """The blueprint that the configuration was held against, before anything is created."""
    placement = Placement(resolve_storage_dir(storage_dir))
    blueprint = blueprint_of(placement, home_of(placement, storage_dir), project)
    if blueprint is not None:
        check_config(project, blueprint, config)
    return blueprint


def _check_project(project: object) -> str:
    if not isinstance(project, str):
        raise WrongTypeError(f"project must be a string, got {shown(project)}; name it like 'image-classifier'")
    name = clean_text(project.strip())
    if not 1 <= len(name) <= 200 or "\0" in name:
        raise SchemaValidationError(f"project must have 1 to 200 characters, got {shown(project)}")
    return name


def _check_tags(tags: object) -> tuple[str, ...]:
    if tags is None:
        return ()
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise WrongTypeError(f"tags must be a list of strings, got {shown(tags)}; write tags=['baseline']")
    checked = []
    for tag in tags:
        if not isinstance(tag, str):
            raise WrongTypeError(f"a tag must be a string, got {shown(tag)}")
        if not tag.strip():
            raise SchemaValidationError("a tag must not be empty")
        checked.append(redact_text(clean_text(tag)))
    return tuple(dict.fromkeys(checked))
