"""Deleting runs over HTTP: hidden first, purged by an administrator."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.params import JSONBody

from ..storage.ids import public_id
from .lanes import CONTROL, PAGES, SCANS, in_lane
from .parameters import Limit, RunId, Text
from .payloads import drop_partials
from .problems import ProblemError
from .room import page_budget
from .runs import QUERY, RunPage, found_run, namespace_of, store_of


class Age(msgspec.Struct, forbid_unknown_fields=True):
    """What was deleted at least so many seconds ago."""

    older_than_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 30 * 86400.0


class Purged(msgspec.Struct):
    """The runs that are gone for good."""

    run_ids: list[str]


@delete(["/api/v1/runs/{run_id:str}", QUERY], opt={"scope": "write"})
@in_lane(CONTROL)
def delete_run(request: Request[Any, Any, Any], run_id: RunId = "query") -> None:
    """Hide a run until it is restored or purged; 409 if it is running."""
    store, row = found_run(request, run_id)
    store.delete_run(row.id)


@get("/api/v1/deleted", opt={"scope": "read"})
@in_lane(PAGES)
def list_deleted(request: Request[Any, Any, Any], limit: Limit = 100, after: Text = None) -> RunPage:
    """A page of deleted runs that are not purged yet. Needs a key for all projects, as to restore them does."""
    if request.state.key.projects is not None:
        raise ProblemError(403, "a key that is limited to projects cannot list deleted runs")
    found = store_of(request).deleted_runs(limit=limit, after=after, budget=page_budget(request))
    return RunPage(list(found.items), found.next)


@post("/api/v1/runs/{run_id:str}/restore", status_code=204, opt={"scope": "write"})
@in_lane(CONTROL)
def restore_run(request: Request[Any, Any, Any], run_id: RunId) -> None:
    """Show a deleted run again. Needs a key for all projects: nobody may learn of what is hidden."""
    if request.state.key.projects is not None:
        raise ProblemError(403, "a key that is limited to projects cannot restore runs")
    store, row = found_run(request, run_id, hidden=True)
    store.restore_run(row.id)


@post("/api/v1/purge", status_code=200, opt={"scope": "admin"})
@in_lane(SCANS)
def purge(request: Request[Any, Any, Any], data: JSONBody[Age]) -> Purged:
    """Remove deleted runs for good, and uploads that broke off so long ago.

    Whole payloads of artifacts are kept by content and stay: other runs may share them.
    """
    drop_partials(request.app.state.namespaces.files(namespace_of(request)), data.older_than_s)
    return Purged([public_id(row_id) for row_id in store_of(request).purge(data.older_than_s)])
