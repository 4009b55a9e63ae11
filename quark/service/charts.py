"""Charts over HTTP: many metrics of many runs in one request, and groups of runs on a common grid."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from litestar import Request, Response, post
from litestar.params import JSONBody
from msgspec import Meta

from ..records.identifiers import ID_PATTERN
from ..storage.charts import AxisChart, GroupChart
from ..storage.curves import STEP, Window
from .columns import MEDIA, packed
from .lanes import SCANS, in_lane
from .problems import ProblemError
from .room import take_points
from .runs import UNPACKED_POINT_BYTES, reach_of, store_of

MOST_CHARTS = 2000
"""Pairs of run and metric in one request."""

MOST_BUCKETS = 500_000
"""Buckets of all charts of one request together."""

OPENED_POINTS = 64
"""Points that a chart opens for each bucket at most, where nothing of the series shares steps."""

POINT_BYTES = 128
"""A point that is opened for a chart, with the summary that is made of it."""

BUCKET_BYTES = 288
"""A bucket of an answer: as arrays, and as text, which is there twice while it is put together."""

RunIds = Annotated[list[Annotated[str, Meta(pattern=ID_PATTERN)]], Meta(min_length=1, max_length=500)]
Keys = Annotated[list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(min_length=1, max_length=1000)]
Buckets = Annotated[int, Meta(ge=1, le=4000)]
Axis = Annotated[str, Meta(min_length=1, max_length=1024)]


class ChartRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which metrics of which runs to draw.

    ``axis``: ``step``, ``epoch``, ``wall`` (seconds since 1970 UTC), ``relative`` (seconds since the start of the run)
    or another metric, whose value at the same step is meant. ``min`` and ``max`` are inclusive bounds on it. At most
    2,000 pairs of run and metric, and 500,000 buckets of all of them together.
    """

    runs: RunIds
    keys: Keys
    buckets: Buckets = 1000
    axis: Axis = STEP
    min: float | None = None
    max: float | None = None


class Group(msgspec.Struct, forbid_unknown_fields=True):
    """Runs that are drawn as one."""

    name: Annotated[str, Meta(max_length=1024)]
    runs: RunIds


class GroupRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which metrics of which groups of runs to draw; the other fields as for charts of single runs."""

    groups: Annotated[list[Group], Meta(min_length=1, max_length=100)]
    keys: Keys
    buckets: Buckets = 1000
    axis: Axis = STEP
    min: float | None = None
    max: float | None = None


class NonFinite(msgspec.Struct):
    """A value that was ``nan``, ``inf`` or ``-inf``."""

    x: float
    step: int | None
    kind: str


class RunChart(msgspec.Struct):
    """A metric of a run as stretches of the axis, each from its true minimum to its true maximum.

    ``axis`` is ``epoch`` where steps were asked for and the metric has none. ``count``: finite points in the window, 0
    for a run or metric that is not there. ``width``: the usual distance between neighbours in ``x``; where it is much
    larger there is a gap. ``x``: where each stretch begins; stretches without a point are left out. ``n``: the points
    of each. ``nonfinite``: of the values in one stretch the first of each kind. ``restarts``: where each attempt of the
    run but the first begins.
    """

    run: str
    key: str
    axis: str
    count: int
    width: float
    x: list[float]
    mean: list[float]
    min: list[float]
    max: list[float]
    n: list[int]
    nonfinite: list[NonFinite]
    nonfinite_count: int
    restarts: list[float]


class Charts(msgspec.Struct):
    """A chart for each metric of each run, run by run, in the order in which they were asked for."""

    charts: list[RunChart]


class GroupedChart(msgspec.Struct):
    """A metric of a group of runs on a grid that they share.

    ``runs``: how many have points in the window. ``mean``: the mean of the runs' means; ``min`` and ``max`` are those
    of all their points. ``n``: how many runs have points in each cell; where shorter runs have ended it falls.
    """

    name: str
    key: str
    axis: str
    runs: int
    width: float
    x: list[float]
    mean: list[float]
    min: list[float]
    max: list[float]
    n: list[int]


class GroupCharts(msgspec.Struct):
    """A chart for each metric of each group."""

    charts: list[GroupedChart]


Drawn = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What is said of a chart, and its columns."""


@post("/api/v1/charts", status_code=200, opt={"scope": "read"})
@in_lane(SCANS)
def draw(request: Request[Any, Any, Any], data: JSONBody[ChartRequest]) -> Response[Charts]:
    """Charts of many metrics of many runs on one axis.

    With `Accept: application/vnd.quark.columns` the answer is binary: a little-endian uint32 that is the length of the
    JSON behind it; that JSON, in which each chart has `length` and `types` in the place of its columns; then, for each
    chart, the columns x, mean, min, max and n as little-endian numbers, each beginning at a multiple of 8 bytes. `x` is
    float64 (`f8`); the others are float32 (`f4`), or float64 where float32 would be too coarse to draw them.
    """
    _check_size(len(data.runs) * len(data.keys), data.buckets)
    store, reach = store_of(request), reach_of(request)
    window = Window(data.axis, data.min, data.max, data.buckets)
    drawn: list[Drawn] = []
    for run_id in data.runs:
        row = store.find(run_id, reach)
        if row is not None:
            _take_room(request, store, row.id, data.keys, window)
        charts = store.charts(row.id, data.keys, window) if row is not None else [None] * len(data.keys)
        for key, chart in zip(data.keys, charts, strict=True):
            if chart is not None:
                request.app.state.room.take(request.scope, BUCKET_BYTES * (len(chart.x) + len(chart.nonfinite)))
            drawn.append(_drawn(run_id, key, chart or AxisChart.of_nothing(key, data.axis)))
    return _answer(request, drawn)


@post("/api/v1/charts/groups", status_code=200, opt={"scope": "read"})
@in_lane(SCANS)
def draw_groups(request: Request[Any, Any, Any], data: JSONBody[GroupRequest]) -> Response[GroupCharts]:
    """Charts of groups of runs: mean, minimum and maximum of the runs on a grid that they share, nothing invented.

    Binary columns as for charts of single runs.
    """
    _check_size(sum(len(group.runs) for group in data.groups) * len(data.keys), data.buckets)
    store, reach = store_of(request), reach_of(request)
    window = Window(data.axis, data.min, data.max, data.buckets)
    drawn: list[Drawn] = []
    for group in data.groups:
        rows = [row for run_id in dict.fromkeys(group.runs) if (row := store.find(run_id, reach)) is not None]
        for row in rows:
            _take_room(request, store, row.id, data.keys, window)
        for chart in store.group_charts([[row.id for row in rows]], data.keys, window)[0]:
            request.app.state.room.take(request.scope, BUCKET_BYTES * len(chart.x))
            about = {"name": group.name, "key": chart.key, "axis": chart.axis, "runs": chart.runs, "width": chart.width}
            drawn.append((about, _columns(chart)))
    return _answer(request, drawn)


def _drawn(run_id: str, key: str, chart: AxisChart) -> Drawn:
    about = {
        "run": run_id, "key": key, "axis": chart.axis, "count": chart.count, "width": chart.width,
        "nonfinite": chart.nonfinite, "nonfinite_count": chart.nonfinite_count, "restarts": chart.restarts,
    }  # fmt: skip
    return about, _columns(chart)


def _columns(chart: AxisChart | GroupChart) -> dict[str, np.ndarray]:
    return {"x": chart.x, "mean": chart.mean, "min": chart.minimum, "max": chart.maximum, "n": chart.n}


def _check_size(charts: int, buckets: int) -> None:
    if charts > MOST_CHARTS:
        raise ProblemError(400, f"{charts} pairs of run and metric; at most {MOST_CHARTS} in one request", field="keys")
    if charts * buckets > MOST_BUCKETS:
        raise ProblemError(
            400, f"{charts} charts of {buckets} buckets are {charts * buckets}; at most {MOST_BUCKETS} in one request",
            field="buckets",
        )  # fmt: skip


def _take_room(request: Request[Any, Any, Any], store: Any, run_id: str, keys: Sequence[str], window: Window) -> None:
    unpacked, largest = store.sizes(run_id, keys)
    opened = min(largest, OPENED_POINTS * window.buckets) if window.axis == STEP else largest
    take_points(request, unpacked, UNPACKED_POINT_BYTES)
    take_points(request, opened, POINT_BYTES)


def _answer(request: Request[Any, Any, Any], drawn: Sequence[Drawn]) -> Response[Any]:
    if MEDIA in request.headers.get("accept", ""):
        return Response(packed(drawn), media_type=MEDIA)
    texts = [
        msgspec.json.encode({**about, **{name: _listed(name, column) for name, column in columns.items()}})
        for about, columns in drawn
    ]  # one by one: a number as an object takes four times the room that it takes in an array
    return Response(b'{"charts":[' + b",".join(texts) + b"]}", media_type="application/json")


def _listed(name: str, column: np.ndarray) -> list[Any]:
    return column.astype(np.int64).tolist() if name == "n" else column.tolist()
