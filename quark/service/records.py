"""Records, series and charts as they are read, page by page and never cut silently."""

from base64 import b64encode
from dataclasses import replace
from typing import Any

import msgspec
from litestar import Request, get

from ..core.reader import SERIES_COLUMNS, RecordFilter
from ..records.base import Record
from ..storage.points import FRAGMENT_POINTS
from .lanes import PAGES, SCANS, SERIES, in_lane, run_in
from .parameters import (
    POINTS,
    Bound,
    Buckets,
    Cursor,
    Flag,
    Kind,
    Limit,
    MetricKey,
    Numbers,
    Offset,
    Points,
    RunId,
    Sort,
    Text,
)
from .problems import ProblemError
from .room import page_budget, take_points
from .runs import found_run, json_object

PAGE_POINTS = 500_000
"""Points of a series in one answer."""

SERIES_POINT_BYTES = 192
"""A point of a series: its columns, the same again where they are joined, as base64 and as the answer."""

CHART_POINT_BYTES = 96
"""A point that is opened for a chart, with the summary that is made of it."""

OPENED_POINTS = 512
"""Points that a chart opens for each bucket at most."""

_WRITER = 1 << 63
"""What the number of a writer is multiplied by in a place of a series: sequence numbers are below it."""


class RecordPage(msgspec.Struct):
    """A page of records, each with the fields of its class and who wrote it; ``next`` goes into ``after``."""

    records: list[dict[str, Any]]
    next: str | None


class Columns(msgspec.Struct):
    """A stretch of a series: little-endian columns of ``length`` values, base64.

    ``steps``, ``epochs`` (-1 where a point has none), ``timestamps`` (ns since 1970) and ``sequences`` are int64,
    ``values`` float64, ``attempts`` and ``ranks`` int32. ``next`` goes into ``after``; null at the end.
    """

    key: str
    length: int
    steps: str
    epochs: str
    values: str
    timestamps: str
    sequences: str
    attempts: str
    ranks: str
    next: str | None


class ChartColumns(msgspec.Struct):
    """A series in at most so many stretches, each with its true extremes."""

    key: str
    step_first: list[int]
    step_last: list[int]
    count: list[int]
    minimum: list[float]
    maximum: list[float]
    mean: list[float]
    last: list[float]


@get("/api/v1/runs/{run_id:str}/records/{kind:str}", opt={"scope": "read"})
async def read_records(
    request: Request[Any, Any, Any], run_id: RunId, kind: Kind, step: Numbers = None, step_min: Bound = None,
    step_max: Bound = None, epoch: Numbers = None, epoch_min: Bound = None, epoch_max: Bound = None,
    created_after: Text = None, created_before: Text = None, where: Text = None, sort: Sort = "arrival",
    offset: Offset = 0, limit: Limit = 1000, after: Cursor = None,
) -> RecordPage:  # fmt: skip
    """A page of the records of a kind; bounds are inclusive.

    They are sorted by ``arrival`` (the order in which the store received them), ``timestamp``, ``step`` or ``epoch``,
    with ``-`` for descending; metrics by ``arrival`` only. ``offset`` leaves out the first so many behind ``after``.

    ``where`` is a JSON object of a kind's own fields; a list as value means any of them. A page holds about 2 MiB at
    most, so it may be shorter than ``limit``; ``next`` says whether there are more.
    """
    fields = json_object(where, "where")
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    bounds = {
        "step": step, "step_min": step_min, "step_max": step_max, "epoch": epoch, "epoch_min": epoch_min,
        "epoch_max": epoch_max, "created_after": created_after, "created_before": created_before,
    }  # fmt: skip
    wanted = RecordFilter(**bounds, where=chosen, sort=sort, offset=offset)
    is_scan = fields or sort.strip("-") != "arrival" or offset or any(bound is not None for bound in bounds.values())
    lane = SCANS if is_scan else PAGES
    return await run_in(request, lane, _record_page, request, run_id, kind, wanted, limit, after)


def _record_page(
    request: Request[Any, Any, Any], run_id: str, kind: str, wanted: RecordFilter, limit: int, after: str | None
) -> RecordPage:
    store, row = found_run(request, run_id)
    cursors, about = request.app.state.cursors, f"{row.id} {kind}"
    if after is not None:
        wanted = replace(wanted, after=cursors.open_number(after, about))
    found, cursor = store.records_page(row.id, kind, wanted, limit, budget=page_budget(request))
    return RecordPage(
        [told(record) for record in found], None if cursor is None else cursors.seal_number(cursor, about)
    )


def told(record: Record) -> dict[str, Any]:
    """A record as the service shows it: the fields of its class, and who wrote it."""
    origin = record.origin
    by = {"writer_id": origin.writer_id, "rank": origin.rank, "attempt": origin.attempt}
    return {**record.to_dict(), **by, "time_ns": record.time_ns}


@get("/api/v1/runs/{run_id:str}/series", opt={"scope": "read"})
async def read_series(
    request: Request[Any, Any, Any], run_id: RunId, key: MetricKey, all_attempts: Flag = False,
    limit: Points = POINTS, after: Cursor = None,
) -> Columns:  # fmt: skip
    """A metric as columns. A step that several attempts reached shows the latest one unless ``all_attempts``.

    A page has half a million points at most, so it may be shorter than ``limit``; ``next`` says whether there are more.
    """
    return await run_in(request, SERIES, _columns, request, run_id, key, all_attempts, limit, after)


def _columns(
    request: Request[Any, Any, Any], run_id: str, key: str, all_attempts: bool, limit: int, after: str | None
) -> Columns:
    store, row = found_run(request, run_id)
    cursors, about = request.app.state.cursors, f"{row.id} series {key}"
    limit = min(limit, PAGE_POINTS)
    take_points(request, min(store.size(row.id, key), limit + FRAGMENT_POINTS), SERIES_POINT_BYTES)
    place = None if after is None else divmod(cursors.open_number(after, about), _WRITER)
    series, place = store.stretch(row.id, key, limit=limit, all_attempts=all_attempts, after=place)
    columns = {name: b64encode(getattr(series, name).tobytes()).decode() for name in SERIES_COLUMNS}
    behind = None if place is None else cursors.seal_number(place[0] * _WRITER + place[1], about)
    return Columns(key=key, length=len(series), next=behind, **columns)


@get("/api/v1/runs/{run_id:str}/chart", opt={"scope": "read"})
@in_lane(SCANS)
def read_chart(
    request: Request[Any, Any, Any], run_id: RunId, key: MetricKey, buckets: Buckets = 1000,
    step_min: Bound = None, step_max: Bound = None,
) -> ChartColumns:  # fmt: skip
    """A metric reduced to at most ``buckets`` stretches of steps, each with its true minimum and maximum."""
    if step_min is not None and step_max is not None and step_min > step_max:
        raise ProblemError(400, f"step_min {step_min} is above step_max {step_max}", field="step_min")
    store, row = found_run(request, run_id)
    take_points(request, min(store.size(row.id, key), OPENED_POINTS * buckets), CHART_POINT_BYTES)
    chart = store.chart(row.id, key, buckets=buckets, step_min=step_min, step_max=step_max)
    columns = ("step_first", "step_last", "count", "minimum", "maximum", "mean", "last")
    return ChartColumns(key=key, **{name: getattr(chart, name).tolist() for name in columns})
