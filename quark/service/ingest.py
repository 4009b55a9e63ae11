"""Takes the lines of a writer's journal: all of a batch or nothing, each exactly once."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request, get, post

from ..core.batch import RecordBatch
from ..errors import SchemaValidationError
from ..records.base import Origin
from ..records.grammar import check_key
from ..records.limits import check_annotations, check_sizes, checked_line, line_bounds
from ..records.line import WIDE, Line, decode_line, decode_lines, records_of
from ..records.metric_columns import metric_columns
from ..records.validation import validate_record
from ..storage.append import RefusedLineError
from .bodies import read_body, unpacked
from .costs import decoded_bytes
from .lanes import CONTROL, WRITES, in_lane, run_in
from .parameters import Count, Number, RunId, Small, WriterId
from .problems import ProblemError
from .runs import namespace_of, reach_of, store_of

_LIMIT = 2**63
_FAULTS = (ValueError, TypeError, OverflowError, msgspec.MsgspecError, RecursionError)


MOST_ACTIONS = 1000
"""Lines of the kind run, such as starts and tags, in one batch: each is some statements of its own."""


class Taken(msgspec.Struct):
    """What the service holds of a writer: everything below ``next``."""

    next: int


@post(
    "/api/v1/runs/{run_id:str}/writers/{writer_id:str}/records", status_code=200, opt={"scope": "write"},
    request_max_body_size=None,
)  # fmt: skip
async def take(
    request: Request[Any, Any, Any], run_id: RunId, writer_id: WriterId, first: Number, stop: Number, rank: Small = 0,
    attempt: Small = 1, dropped: Count = 0,
) -> Taken:  # fmt: skip
    """Take the records of one writer with sequence numbers in [first, stop), one JSON line each (NDJSON).

    Numbers below what is held are skipped, a batch beyond it is refused with 409 and code ``sequence_gap``. ``stop`` is
    the number behind the last line, so that a position moves only with records. A line that breaks the schema refuses
    the batch with 422 and its ``index``; nothing of the batch is stored then.
    """
    if stop < first:
        raise ProblemError(400, f"stop {stop} is below first {first}", field="stop")
    state = request.app.state
    data = await read_body(request, state.config)
    batch = RecordBatch(Origin(run_id, writer_id, rank, attempt), first, stop, data, dropped)
    del data
    try:
        return Taken(await run_in(request, WRITES, _store, request, batch))
    finally:  # the traceback of a refusal may keep the batch for a while
        batch.data, batch._lines, batch._columns = b"", None, None


@get("/api/v1/runs/{run_id:str}/writers/{writer_id:str}", opt={"scope": "write"})
@in_lane(CONTROL)
def position(request: Request[Any, Any, Any], run_id: RunId, writer_id: WriterId) -> Taken:
    """The number that is expected next of a writer; 0 for one that has sent nothing."""
    return Taken(_position(request, store_of(request), run_id, writer_id))


def _store(request: Request[Any, Any, Any], batch: RecordBatch) -> int:
    state = request.app.state
    encoding = request.headers.get("content-encoding", "identity")
    batch.data = unpacked(
        batch.data, encoding, state.config.max_inflated, lambda size: state.room.take(request.scope, size)
    )
    _take_room(request, batch)
    batch._lines = lines = checked_lines(batch)
    if not lines:
        return _unmoved(request, store_of(request), batch)
    reach = reach_of(request)
    try:
        if not state.namespaces.exists(namespace_of(request)):  # it is made once it is clear that the batch is stored
            store_of(request).check(batch, reach=reach)
        mark = store_of(request, make=True).append(batch, strict=True, reach=reach)
    except RefusedLineError as error:
        index = next((at for at, line in _numbered(batch.data) if decode_line(line).sequence == error.sequence), None)
        raise ProblemError(422, f"line {index}: {error}", index=index) from error
    state.meters.took(len(lines), len(batch.data))
    return mark


def _check_stop(batch: RecordBatch, lines: list[Line]) -> None:
    behind = lines[-1].sequence + 1 if lines else batch.first
    if batch.stop != behind:
        raise ProblemError(
            400, f"stop must be the number behind the last record, {behind}, got {batch.stop}; "
            "leave out numbers without a record at the end, the next batch may begin before them", field="stop",
        )  # fmt: skip


def _unmoved(request: Request[Any, Any, Any], store: Any, batch: RecordBatch) -> int:
    """The position of a writer that sends nothing."""
    held = _position(request, store, batch.origin.run_id, batch.origin.writer_id)
    if batch.first > held:
        raise ProblemError(409, f"the records from {held} on are missing; send them first", code="sequence_gap")
    return held


def _position(request: Request[Any, Any, Any], store: Any, run_id: str, writer_id: str) -> int:
    """How far a writer has come; 0 for one of a run that the key does not reach, as for one that is not there."""
    reach = reach_of(request)
    row = store.find(run_id, reach, writer_id=writer_id, hidden=reach.projects is None)
    return 0 if row is None else store.position(row.id, writer_id)


def _take_room(request: Request[Any, Any, Any], batch: RecordBatch) -> None:
    """Take the memory that a batch needs when it is decoded, which may be fifty times its size.

    Raises:
        ProblemError: 413 too much for one batch, 422 a record is too large, 503 no room for it now.
    """
    try:
        check_sizes(batch.data)
    except SchemaValidationError:
        raise _fault_of(batch) from None
    size, limit = decoded_bytes(batch.data), request.app.state.config.max_memory // 4
    is_single = batch.data.find(b"\n") in (-1, len(batch.data) - 1)
    if size > limit and is_single:
        size = limit  # its separators stand in strings, or its size would have been refused
    elif size > limit:
        raise ProblemError(
            413, f"the batch takes {size} bytes when decoded, of {limit}; send less at once", limit=limit
        )
    request.app.state.room.take(request.scope, size)


def checked_lines(batch: RecordBatch) -> list[Line]:
    """The decoded lines of a batch, each held against the class of its kind.

    Raises:
        ProblemError: 422 with the index of the first line that breaks a rule; 400, ``stop`` is not the number behind
            the last line.
    """
    actions = 0
    try:
        lines = decode_lines(batch.data)
        if not _are_plain(lines, batch):
            _, actions = _check_lines(lines, batch, batch.first)
    except _FAULTS:
        raise _fault_of(batch) from None
    if actions > MOST_ACTIONS:
        raise ProblemError(413, f"the batch has {actions} lines of the kind run, of {MOST_ACTIONS}; send less at once")
    _check_stop(batch, lines)
    return lines


def _are_plain(lines: Sequence[Line], batch: RecordBatch) -> bool:
    """Whether all lines are metrics without a fault, found without a loop over them; the batch keeps their columns."""
    columns = metric_columns(lines)
    if columns is None or not columns.are_within(batch.first, batch.stop):
        return False
    for key in columns.names:
        _check_metric_key(key)
    batch._columns = columns
    return True


def _fault_of(batch: RecordBatch) -> ProblemError:
    """Which line is at fault: they are gone through one by one only when one is."""
    least = batch.first
    for index, (start, end) in enumerate(line_bounds(batch.data)):
        try:
            raw = checked_line(batch.data, start, end)
            least, _ = _check_lines([decode_line(raw)] if raw.strip() else [], batch, least)
        except _FAULTS as error:
            return ProblemError(422, f"line {index}: {error}", index=index)
    return ProblemError(422, "the body is not one JSON object a line")


def _numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    lines = ((index, data[start:end]) for index, (start, end) in enumerate(line_bounds(data)))
    return ((index, raw) for index, raw in lines if raw.strip())


def _check_lines(lines: Sequence[Line], batch: RecordBatch, least: int) -> tuple[int, int]:
    """Hold lines against the rules of their kinds, of which metrics are the most by far.

    Returns:
        The least number that the next line may have, and how many lines are of the kind run.
    """
    stop, limit, actions = batch.stop, _LIMIT, 0
    for line in lines:
        sequence, step, epoch = line.sequence, line.step, line.epoch
        if not least <= sequence < stop:
            raise SchemaValidationError(f"sequence {sequence} is not within [{least}, {stop})")
        if not 0 <= line.time < limit:
            raise SchemaValidationError(f"time must be nanoseconds since 1970, got {line.time}")
        if (step is not None and not 0 <= step < limit) or (epoch is not None and not 0 <= epoch < limit):
            raise SchemaValidationError(f"step and epoch must be between 0 and 2**63, got {step} and {epoch}")
        if line.kind == "metric":
            if (key := line.metric_key) is None or line.value is None:
                raise SchemaValidationError("a metric line has metric_key and value")
            _check_metric_key(key)
            if line.metadata is not None or line.description is not None:
                check_annotations(line.description, line.metadata)
        else:
            _check_other(line, batch)
            actions += line.kind == "run"
        least = sequence + 1
    return least, actions


def _check_other(line: Line, batch: RecordBatch) -> None:
    if line.kind == WIDE:
        if not line.values:
            raise SchemaValidationError("a wide line has values by metric key")
        for key in line.values:
            _check_metric_key(key)
    elif line.kind != "run":
        for record in records_of(line, batch.origin):  # kinds of later releases give none, and are kept as they are
            validate_record(record)


@lru_cache(maxsize=16_384)
def _check_metric_key(key: str) -> None:
    """A run has few keys and a great many values."""
    check_key(key)
