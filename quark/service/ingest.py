"""Takes the lines of a writer's journal: all of a batch or nothing, each exactly once."""

from typing import Any

import anyio.to_thread
import msgspec
from litestar import Request, get, post

from ..core.batch import RecordBatch
from ..errors import SchemaValidationError
from ..records.base import Origin
from ..records.line import Line, decode_line, records_of
from .access import check_project
from .bodies import read_body
from .parameters import Number, RunId, WriterId
from .problems import ProblemError
from .runs import project_of

_LIMIT = 2**63


class Taken(msgspec.Struct):
    """What the service holds of a writer: everything below ``next``."""

    next: int


@post("/api/v1/runs/{run_id:str}/writers/{writer_id:str}/records", status_code=200, opt={"scope": "write"})
async def take(
    request: Request[Any, Any, Any], run_id: RunId, writer_id: WriterId, first: Number, stop: Number, rank: Number = 0,
    attempt: Number = 1, dropped: Number = 0,
) -> Taken:  # fmt: skip
    """Take the records of one writer with sequence numbers in [first, stop), one JSON line each (NDJSON).

    Numbers below what is held are skipped, a batch beyond it is refused with 409 and code ``sequence_gap``. A line that
    breaks the schema refuses the batch with 422 and its ``index``; nothing of the batch is stored then.
    """
    if stop < first:
        raise ProblemError(400, f"stop {stop} is below first {first}", field="stop")
    state = request.app.state
    body = await read_body(request, state.config)
    batch = RecordBatch(Origin(run_id, writer_id, rank, attempt), first, stop, body, dropped)
    mark = await anyio.to_thread.run_sync(_store, request, batch)
    return Taken(mark)


@get("/api/v1/runs/{run_id:str}/writers/{writer_id:str}", opt={"scope": "write"}, sync_to_thread=True)
def position(request: Request[Any, Any, Any], run_id: RunId, writer_id: WriterId) -> Taken:
    """The number that is expected next of a writer; 0 for one that has sent nothing."""
    store = request.app.state.namespaces.store(request.headers.get("x-quark-storage-dir"))
    project = project_of(store, run_id)
    if project is not None:
        check_project(request.state.key, project)
    return Taken(store.position(run_id, writer_id))


def _store(request: Request[Any, Any, Any], batch: RecordBatch) -> int:
    state = request.app.state
    batch._lines = lines = checked_lines(batch)
    store = state.namespaces.store(request.headers.get("x-quark-storage-dir"))
    _check_project_of(request, store, batch.origin.run_id, lines)
    mark = store.append(batch)
    state.meters.took(len(lines), len(batch.data))
    return mark


def checked_lines(batch: RecordBatch) -> list[Line]:
    """The decoded lines of a batch, each held against the class of its kind.

    Raises:
        ProblemError: 422 with the index of the first line that breaks a rule.
    """
    lines: list[Line] = []
    least = batch.first
    for index, raw in enumerate(batch.data.split(b"\n")):
        if not raw:
            continue
        try:
            line = decode_line(raw)
            if not least <= line.sequence < batch.stop:
                raise SchemaValidationError(f"sequence {line.sequence} is not within [{least}, {batch.stop})")
            _check(line, batch.origin)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise ProblemError(422, f"line {index}: {error}", index=index) from error
        least = line.sequence + 1
        lines.append(line)
    return lines


def _check(line: Line, origin: Origin) -> None:
    for name, number in (("step", line.step), ("epoch", line.epoch)):
        if number is not None and not 0 <= number < _LIMIT:
            raise SchemaValidationError(f"{name} must be between 0 and 2**63, got {number}")
    if not 0 <= line.time < _LIMIT:
        raise SchemaValidationError(f"time must be nanoseconds since 1970, got {line.time}")
    if line.kind == "metric":
        if not line.metric_key or line.value is None:
            raise SchemaValidationError("a metric line has metric_key and value")
    elif line.kind == "metrics":
        if not line.values or not all(line.values):
            raise SchemaValidationError("a wide line has values by metric key")
    elif line.kind != "run":
        for _ in records_of(
            line, origin
        ):  # held against its class; unknown kinds of later releases are kept as they are
            pass


def _check_project_of(request: Request[Any, Any, Any], store: Any, run_id: str, lines: list[Line]) -> None:
    """A key that is limited to projects writes only to them; a run names its project in its first line."""
    key = request.state.key
    if key.projects is None:
        return
    project = project_of(store, run_id)
    for line in lines:
        if project is None and line.kind == "run" and line.label == "start":
            project = msgspec.json.decode(line.body).get("project", {}).get("name")
    if project is None or not key.reaches(project):
        raise ProblemError(403, f"this key may write to {', '.join(key.projects)} only; the run is of {project!r}")
