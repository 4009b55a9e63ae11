"""What is asked of several runs at once: their checkpoints, and what they did not record."""

from typing import Any

from litestar import Request, get

from ..core.reader import RecordFilter
from ..records.base import Record
from .lanes import SCANS, in_lane
from .parameters import Bound, Cursor, Limit, Numbers, Offset, Sort, Text, Texts
from .records import RecordPage, told
from .room import page_budget
from .runs import store_of


@get("/api/v1/checkpoints", opt={"scope": "read"})
@in_lane(SCANS)
def list_checkpoints(
    request: Request[Any, Any, Any], ids: Texts = None, project: Texts = None, run: Texts = None,
    status: Texts = None, step: Numbers = None, step_min: Bound = None, step_max: Bound = None, epoch: Numbers = None,
    epoch_min: Bound = None, epoch_max: Bound = None, created_after: Text = None, created_before: Text = None,
    sort: Sort = "arrival", offset: Offset = 0, limit: Limit = 1000, after: Cursor = None,
) -> RecordPage:  # fmt: skip
    """The checkpoints of all runs: of each place in a run the event that was recorded last.

    ``ids`` (of the events), ``project``, ``run`` and ``status`` (incomplete or complete) may be sent several times: any
    of the values counts. Bounds, order and pages are those of records.
    """
    wanted = RecordFilter(
        step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
        created_after=created_after, created_before=created_before, sort=sort, offset=offset,
        after=_opened(request, after, "checkpoints"),
    )  # fmt: skip
    found, cursor = store_of(request).checkpoints(
        wanted, limit, ids=ids, project=project, run=run, status=status, projects_only=request.state.key.projects,
        budget=page_budget(request),
    )  # fmt: skip
    return _page(request, found, cursor, "checkpoints")


@get("/api/v1/unrecorded", opt={"scope": "read"})
@in_lane(SCANS)
def list_unrecorded(
    request: Request[Any, Any, Any], run: Texts = None, limit: Limit = 1000, after: Cursor = None
) -> RecordPage:
    """What the runs ``run`` were given and did not record: the last ``run_unrecorded`` event of each process."""
    found, cursor = store_of(request).unrecorded(
        run or [], _opened(request, after, "unrecorded"), limit, projects_only=request.state.key.projects,
        budget=page_budget(request),
    )  # fmt: skip
    return _page(request, found, cursor, "unrecorded")


def _opened(request: Request[Any, Any, Any], after: str | None, about: str) -> int | None:
    return None if after is None else request.app.state.cursors.open_number(after, about)


def _page(request: Request[Any, Any, Any], found: list[Record], cursor: int | None, about: str) -> RecordPage:
    sealed = None if cursor is None else request.app.state.cursors.seal_number(cursor, about)
    return RecordPage([told(record) for record in found], sealed)
