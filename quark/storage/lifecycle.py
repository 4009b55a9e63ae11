"""What the lifecycle lines of a journal (start, resume, tag, config, environment, end, exit, ...) do to a run's row."""

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import msgspec

from ..core.batch import RecordBatch
from ..core.lifecycle import STOP_REASONS
from ..errors import SchemaValidationError
from ..records.base import Origin, parse_timestamp
from ..records.kinds import KINDS
from ..records.limits import MAX_LABEL, MAX_NAME, MAX_RECORD_BYTES, MAX_TAGS, check_size
from ..records.line import Line, encode
from ..records.literals import RUN_STATUSES
from ..records.ready import ready
from ..records.run import ProjectRecord, RunRecord, project_id
from .control import forget_requests, inherit_stop
from .database import Connection

LOST = "lost"
UNKNOWN = "unknown"
"""Id and name of the project of runs that have not said which project they are of. No name gives this id."""

MAX_TEXT = 64 << 10
"""Characters of all texts of a run's start and its project together, but for configuration and environment."""

SERIES_KINDS = ("metric", "metrics")

Action = Callable[[Connection, int, Origin, Line, dict[str, Any]], None]


def apply(connection: Connection, run_pk: int, origin: Origin, line: Line) -> None:
    """Apply one lifecycle line; an action that this release does not know changes nothing.

    Raises:
        ValueError, KeyError, TypeError, msgspec.MsgspecError: the line's body does not have what its action needs.
    """
    action = _ACTIONS.get(line.label or "")
    if action is None:
        return
    body = msgspec.json.decode(line.body) if line.body else {}
    if not isinstance(body, dict):
        raise TypeError(f"the body of a run line must be a JSON object, got {type(body).__name__}")
    action(connection, run_pk, origin, line, body)


def check_small(number: int, name: str) -> int:
    """A counter that a column of 32 bits takes; SQLite would store a larger one, PostgreSQL would not.

    Raises:
        SchemaValidationError: it is negative or too large.
    """
    if not 0 <= number < 2**31:
        raise SchemaValidationError(f"{name} must be between 0 and 2**31 - 1, got {number}")
    return number


def insert_placeholder(connection: Connection, row_id: str, batch: RecordBatch, project: str | None = None) -> None:
    """A row for a run whose start line has not been applied, perhaps never will; one that is there already stays.

    ``project``: its project, if that is known.
    """
    lines = batch.lines()
    at = lines[0].time if lines else time.time_ns()
    identity = UNKNOWN if project is None else project_id(project)
    name = project or UNKNOWN
    connection.execute(
        "INSERT INTO projects VALUES (?, ?, '', ?, ?, 1) ON CONFLICT DO NOTHING", (identity, name, at, at)
    )
    # Earlier releases let whoever came first choose the name of an id.
    connection.execute("UPDATE projects SET name = ? WHERE id = ? AND name <> ?", (name, identity, name))
    connection.execute(
        "INSERT INTO runs (id, project_id, status, lineage_root_run_id, resume_count, attempt, run_path, strict_mode,"
        " config, environment, started_at, updated_at, schema_version, placeholder)"
        " VALUES (?, ?, 'running', ?, 0, 0, '', FALSE, '{}', '{}', ?, ?, 1, TRUE) ON CONFLICT DO NOTHING",
        (row_id, identity, batch.origin.run_id, at, at),
    )


def _start(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    project = msgspec.convert(body["project"], ready(ProjectRecord))
    run = msgspec.convert(body["run"], ready(RunRecord))
    texts = (getattr(record, field.name) for record in (project, run) for field in fields(record))
    length = sum(len(text) for text in texts if isinstance(text, str))
    if length > MAX_TEXT:
        raise ValueError(f"the texts of a run and its project have {length} characters, at most {MAX_TEXT} are allowed")
    for name, number in (
        ("resume_count", run.resume_count), ("schema_version of the run", run.schema_version),
        ("schema_version of the project", project.schema_version),
    ):  # fmt: skip
        check_small(number, name)
    if run.id != origin.run_id:
        raise ValueError(f"the start of run {run.id!r} came in the journal of run {origin.run_id!r}")
    placeholder, attempt, identity, known = connection.execute(
        "SELECT placeholder, attempt, project_id, projects.name"
        " FROM runs JOIN projects ON projects.id = project_id WHERE pk = ?",
        (run_pk,),
    ).fetchone()
    if identity != UNKNOWN and known != project.name:
        raise ValueError(
            f"run {run.id!r} is of the project {known!r} and cannot begin in {project.name!r}; give it another run id"
        )
    connection.execute("UPDATE runs SET deleted_at = NULL WHERE pk = ?", (run_pk,))
    if not placeholder:
        return
    config = {**run.config, **_updates(connection, run_pk)}
    identity = project_id(project.name)  # whatever the line says: who could choose it could take over a project
    connection.execute(
        "INSERT INTO projects VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name,"
        " updated_at = greatest(projects.updated_at, excluded.updated_at)",
        (
            identity, project.name, project.root_path, parse_timestamp(project.created_at),
            parse_timestamp(project.updated_at), project.schema_version,
        ),
    )  # fmt: skip
    connection.execute(
        "UPDATE runs SET name = ?, project_id = ?, parent_run_id = ?, lineage_root_run_id = ?, run_path = ?,"
        " git_commit = ?, strict_mode = ?, config = ?, environment = ?, started_at = ?,"
        " updated_at = greatest(updated_at, ?), schema_version = ?, placeholder = FALSE WHERE pk = ?",
        (
            run.name, identity, run.parent_run_id, run.lineage_root_run_id, run.run_path, run.git_commit,
            run.strict_mode, _text(config), _text(run.environment), parse_timestamp(run.started_at),
            parse_timestamp(run.updated_at), run.schema_version, run_pk,
        ),
    )  # fmt: skip
    for tag in run.tags:
        _add_tag(connection, run_pk, tag)
    # The journal of a later attempt may have arrived before this one: what it said of the run's state stays.
    if attempt <= origin.attempt:
        _set_state(connection, run_pk, run.status, run.reason, run.ended_at and parse_timestamp(run.ended_at))
        connection.execute(
            "UPDATE runs SET attempt = ?, resume_count = ? WHERE pk = ?", (origin.attempt, run.resume_count, run_pk)
        )
        if run.parent_run_id is not None and run.status == "running":
            inherit_stop(connection, run_pk)


def _resume(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    attempt = check_small(max(int(body.get("attempt", origin.attempt)), 1), "attempt")
    resumed_at = parse_timestamp(body["resumed_at"]) if body.get("resumed_at") else line.time
    connection.execute(
        "UPDATE runs SET resume_count = resume_count + 1, updated_at = greatest(updated_at, ?), deleted_at = NULL"
        " WHERE pk = ?",
        (resumed_at, run_pk),
    )
    if attempt >= connection.execute("SELECT attempt FROM runs WHERE pk = ?", (run_pk,)).fetchone()[0]:
        _set_state(connection, run_pk, "running", None, None)
        forget_requests(connection, run_pk)
        inherit_stop(connection, run_pk)
        connection.execute("UPDATE runs SET attempt = ? WHERE pk = ?", (attempt, run_pk))
        if body.get("environment"):
            connection.execute("UPDATE runs SET environment = ? WHERE pk = ?", (_text(body["environment"]), run_pk))


def _tag(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    tag = body["tag"]
    if not isinstance(tag, str):
        raise TypeError(f"a tag must be a string, got {type(tag).__name__}")
    _add_tag(connection, run_pk, tag)
    connection.execute("UPDATE runs SET updated_at = greatest(updated_at, ?) WHERE pk = ?", (line.time, run_pk))


def _untag(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    connection.execute("DELETE FROM run_tags WHERE run_pk = ? AND tag = ?", (run_pk, body["tag"]))
    connection.execute("UPDATE runs SET updated_at = greatest(updated_at, ?) WHERE pk = ?", (line.time, run_pk))


def _rename(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    name = body["name"]
    if name is not None and (not isinstance(name, str) or len(name) > MAX_NAME):
        raise ValueError(f"the name of a run is text of at most {MAX_NAME} characters, or null for none")
    connection.execute(
        "UPDATE runs SET name = ?, updated_at = greatest(updated_at, ?) WHERE pk = ?", (name, line.time, run_pk)
    )


def _config(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    """What was learned of the configuration after the start; ``merge_config`` takes it in."""
    values = body["values"]
    if not isinstance(values, dict):
        raise TypeError(f"the values of a configuration must be a JSON object, got {type(values).__name__}")
    connection.execute("UPDATE runs SET updated_at = greatest(updated_at, ?) WHERE pk = ?", (line.time, run_pk))


def merge_config(connection: Connection, run_pk: int, since: int) -> None:
    """Bring the configuration of a run up to date with its updates from ``since`` on.

    Raises:
        SchemaValidationError: the configuration, or all of its updates together, would be too large.
    """
    size = f"SELECT coalesce(sum(length(body)), 0) FROM records WHERE {_OF_CONFIG}"  # noqa: S608  names of ours
    (held,) = connection.execute(size, (run_pk,)).fetchone()
    if held > MAX_RECORD_BYTES:
        raise SchemaValidationError(
            f"the updates of the configuration have {held} characters together, at most {MAX_RECORD_BYTES} are "
            "allowed; log what changes often as metrics or events"
        )
    (known,) = connection.execute("SELECT config FROM runs WHERE pk = ?", (run_pk,)).fetchone()
    merged = encode({**msgspec.json.decode(known), **_updates(connection, run_pk, since)})
    check_size(merged, "the configuration with its updates")
    connection.execute("UPDATE runs SET config = ? WHERE pk = ?", (merged.decode(), run_pk))


_OF_CONFIG = "run_pk = ? AND kind = 'run' AND label = 'config'"


def _updates(connection: Connection, run_pk: int, since: int = -(2**63)) -> dict[str, Any]:
    """The updates of the configuration from ``since`` on: journals arrive in any order."""
    query = f"SELECT body FROM records WHERE {_OF_CONFIG} AND time_ns >= ? ORDER BY time_ns, pk"  # noqa: S608
    found = connection.execute(query, (run_pk, since)).fetchall()
    made: dict[str, Any] = {}
    for (text,) in found:
        body = msgspec.json.decode(text)  # of a line that was refused too
        values = body.get("values") if isinstance(body, dict) else None
        made.update(values if isinstance(values, dict) else {})
    return made


def _environment(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    """What was found out of the environment after the start; a later attempt may run in another one."""
    values = body["values"]
    if not isinstance(values, dict):
        raise TypeError(f"the values of an environment must be a JSON object, got {type(values).__name__}")
    attempt, known = connection.execute("SELECT attempt, environment FROM runs WHERE pk = ?", (run_pk,)).fetchone()
    if origin.attempt < attempt:
        return
    merged = encode({**msgspec.json.decode(known), **values})
    check_size(merged, "the environment with its updates")
    connection.execute("UPDATE runs SET environment = ? WHERE pk = ?", (merged.decode(), run_pk))


def _end(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    status, reason = body["status"], body.get("reason")
    if status not in RUN_STATUSES or reason not in (None, LOST, *STOP_REASONS):
        raise ValueError(f"a run cannot end with the status {status!r} and the reason {reason!r}")
    ended_at = parse_timestamp(body["ended_at"]) if body.get("ended_at") else line.time
    # An earlier attempt's journal may arrive after the run was resumed: the run goes on all the same.
    attempt = connection.execute("SELECT attempt FROM runs WHERE pk = ?", (run_pk,)).fetchone()[0]
    if origin.attempt >= attempt or reason == LOST:
        _set_state(connection, run_pk, status, reason, ended_at)
        forget_requests(connection, run_pk, ended=True)
        connection.execute(
            "UPDATE runs SET updated_at = greatest(updated_at, ?), attempt = greatest(attempt, ?) WHERE pk = ?",
            (ended_at, origin.attempt, run_pk),
        )


def _exit(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    """The process is gone, says who had started it: the end of a run that has none, and of no later attempt.

    An exit code that says that the process has failed overrules the run that says completed.
    """
    status, attempt = connection.execute("SELECT status, attempt FROM runs WHERE pk = ?", (run_pk,)).fetchone()
    is_open = status == "running" or (status == "completed" and body.get("overrules") is True)
    if is_open and origin.attempt >= attempt:
        _end(connection, run_pk, origin, line, body)


def _discard(connection: Connection, run_pk: int, origin: Origin, line: Line, body: dict[str, Any]) -> None:
    kind = body["kind"]
    if kind not in KINDS or kind in SERIES_KINDS:
        raise ValueError(f"records of the kind {kind!r} cannot be discarded")
    connection.execute("DELETE FROM records WHERE run_pk = ? AND kind = ?", (run_pk, kind))


def _set_state(
    connection: Connection, run_pk: int, status: str, reason: str | None, ended_at: int | str | None
) -> None:
    connection.execute(
        "UPDATE runs SET status = ?, reason = ?, ended_at = ? WHERE pk = ?", (status, reason, ended_at, run_pk)
    )


def _add_tag(connection: Connection, run_pk: int, tag: str) -> None:
    if len(tag) > MAX_LABEL:
        raise ValueError(f"a tag has at most {MAX_LABEL} characters, got {len(tag)}")
    (held,) = connection.execute("SELECT count(*) FROM run_tags WHERE run_pk = ?", (run_pk,)).fetchone()
    if held >= MAX_TAGS:
        raise ValueError(f"a run has {MAX_TAGS} tags at most")
    connection.execute(
        "INSERT INTO run_tags (run_pk, position, tag)"
        " SELECT ?, (SELECT coalesce(max(position), -1) + 1 FROM run_tags WHERE run_pk = ?), ?"
        " WHERE NOT EXISTS (SELECT 1 FROM run_tags WHERE run_pk = ? AND tag = ?)",
        (run_pk, run_pk, tag, run_pk, tag),
    )


def _text(value: Any) -> str:
    return encode(value).decode()


_ACTIONS: dict[str, Action] = {
    "start": _start, "resume": _resume, "tag": _tag, "untag": _untag, "rename": _rename, "config": _config,
    "environment": _environment, "end": _end, "exit": _exit, "discard": _discard,
}  # fmt: skip
"""``join`` says nothing of the run itself; its line is kept among the records like all of these."""
