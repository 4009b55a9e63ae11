"""Tables of runs over HTTP: a query, columns of settings and metrics, sorted by any of them."""

from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta

from ..core.query import MAX_COLUMN, MAX_QUERY
from ..storage.runtable import MAX_COLUMNS, ListedRun
from .lanes import SCANS, in_lane
from .room import page_budget
from .runs import QUERY, store_of

ColumnText = Annotated[str, Meta(min_length=1, max_length=MAX_COLUMN)]


class RunQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which runs to list, with what, and in which order.

    ``query``: terms that must all hold, such as ``status:failed lr<1e-3 max:val/acc>0.9 tag:x "text"``; ``-`` before a
    term negates it. ``columns``: ``config.lr`` or ``lr`` a setting, ``last:KEY``, ``min:KEY``, ``max:KEY`` or
    ``best:KEY`` a metric, or a field of the run. ``sort``: a column, with ``-`` for descending; runs without a value
    come last. ``cursor``: the ``next`` of the page before.
    """

    query: Annotated[str, Meta(max_length=MAX_QUERY)] = ""
    columns: Annotated[list[ColumnText], Meta(max_length=MAX_COLUMNS)] = []
    sort: ColumnText = "-started_at"
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(max_length=8192)] | None = None


class RunTable(msgspec.Struct):
    """A page of the table; ``next`` is the ``cursor`` of the page behind, null at the end."""

    runs: list[ListedRun]
    next: str | None


@post(QUERY, status_code=200, opt={"scope": "read"})
@in_lane(SCANS)
def query_runs(request: Request[Any, Any, Any], data: JSONBody[RunQuery]) -> RunTable:
    """A page of the runs that a query finds, with the values of columns.

    Least and greatest values are those of all attempts of a run. 422 with what is wrong with a query or a column.
    """
    cursors = request.app.state.cursors
    found = store_of(request).run_table(
        data.query, columns=data.columns, sort=data.sort, limit=data.limit,
        after=None if data.cursor is None else cursors.open_text(data.cursor, "table"),
        projects_only=request.state.key.projects, budget=page_budget(request),
    )  # fmt: skip
    following = None if found.next is None else cursors.seal_text(found.next, "table")
    return RunTable(found.runs, following)
