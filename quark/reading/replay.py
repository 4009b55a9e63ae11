"""Gives a stored run to a sink as the run itself would have done: the same batches, the same life, no second way."""

import heapq
from collections.abc import Iterator
from itertools import groupby

import msgspec

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest
from ..core.sink import Sink
from ..records.base import Origin, Record
from ..records.kinds import KINDS
from ..records.line import WIDE, Line, encode, line_of
from ..records.metric import MetricRecord
from ..records.ready import ready
from ..records.run import ProjectRecord
from .view import RunView

BATCH_LINES = 1000


def replay(view: RunView, sink: Sink, *, since: int | None = None) -> int:
    """Deliver a stored run to a sink, from where the sink says that it stands; how many lines it was given.

    A run that goes on is left open in the backend, every other one is ended with its true reason. The sink is closed.

    Args:
        since: only records of this step and later ones, and those without a step. The sink regards what lies before
            as delivered: it is passed over for good.

    Raises:
        Whatever the sink raises; what it took until then is kept, and a second call goes on from there.
    """
    run = view.record
    count = 0
    try:
        sink.on_start(RunManifest(
            run_id=run.id, project=run.project_name, name=run.name, params=run.config, tags=run.tags,
            environment=run.environment, git_commit=run.git_commit, parent_run_id=run.parent_run_id,
            attempt=run.resume_count + 1, run_path=str(view.files), started_at=run.started_at,
        ))  # fmt: skip
        for origin, stop in view.writers():
            for batch in _batches(view, origin, stop, sink.position(origin.writer_id) or 0, since):
                sink.write(batch)
                count += batch.data.count(b"\n")
        sink.flush()
        if run.status != "running":
            sink.on_stop(None, run.reason or "interrupted")  # type: ignore[arg-type]  # lost is said by readers only
        companion = getattr(sink, "companion", None)
        if companion is not None and (other := companion()) is not None:
            replay(view, other, since=since)
    finally:
        sink.close()
    return count


def _batches(view: RunView, origin: Origin, stop: int, position: int, since: int | None) -> Iterator[RecordBatch]:
    """The writer's batches from ``position`` on; the last one reaches ``stop``, the mark of the store."""
    waiting: list[bytes] = []
    first = position
    for number, line in _lines(view, origin):
        if number < position or (since is not None and _before(line, since)):
            continue
        if len(waiting) >= BATCH_LINES:
            yield RecordBatch(origin, first, number, b"".join(waiting))
            waiting, first = [], number
        waiting.append(line + b"\n")
    if first < stop:
        yield RecordBatch(origin, first, stop, b"".join(waiting))


def _before(line: bytes, since: int) -> bool:
    step = msgspec.json.decode(line, type=ready(_Stepped)).step
    return step is not None and step < since


class _Stepped(msgspec.Struct):
    step: int | None = None


def _lines(view: RunView, origin: Origin) -> Iterator[tuple[int, bytes]]:
    """What a writer wrote, in its order; the run's own start is its first line where the store does not keep it."""
    found = heapq.merge(*(_of(view, kind, origin) for kind in KINDS), key=lambda record: record.sequence)
    start = _start(view) if origin.attempt == 1 and origin.rank == 0 else None
    for number, line, _ in lines_of(found):
        if start is not None and number > 0:
            yield 0, start
        start = None
        yield number, line
    if start is not None:
        yield 0, start


def _of(view: RunView, kind: str, origin: Origin) -> Iterator[Record]:
    return (record for record in view.records(kind) if record.origin.writer_id == origin.writer_id)


def _start(view: RunView) -> bytes:
    run = view.record
    project = ProjectRecord(
        id=run.project_id, name=run.project_name, root_path="", created_at=run.started_at, updated_at=run.updated_at
    )
    body = {"project": project.to_dict(), "run": run.to_dict(), "names": view.reader.names(run.id)}
    return encode(Line("run", 0, 0, label="start", body=msgspec.Raw(encode(body))))


def lines_of(records: Iterator[Record]) -> Iterator[tuple[int, bytes, int]]:
    """Sequence number, line and number of records held: metrics that were one wide record become one again."""
    for number, same in groupby(records, key=lambda record: record.sequence):
        together = list(same)
        first = together[0]
        if len(together) > 1 and isinstance(first, MetricRecord):
            values = {metric.metric_key: metric.value for metric in together if isinstance(metric, MetricRecord)}
            line = Line(WIDE, number, first.time_ns, first.step, first.epoch, values=values)
            yield number, encode(line), len(together)
        else:
            for record in together:
                yield number, line_of(record), 1
