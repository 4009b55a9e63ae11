"""Runs as they are read: pages of runs, one run, its overview, projects."""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, get

from ..records.run import ProjectRecord, RunRecord
from ..storage.belonging import Reach, RunRow
from ..storage.lifecycle import UNKNOWN
from .keys import ServiceKey
from .parameters import Limit, RunId, Sort, Text
from .problems import ProblemError, not_there

if TYPE_CHECKING:
    from ..storage import SqlStore


class RunPage(msgspec.Struct):
    """A page of runs; ``next`` is what to pass as ``after``, null at the end."""

    runs: list[RunRecord]
    next: str | None


class Overview(msgspec.Struct):
    """What a run holds: its keys with their last points, its records by kind, its writers."""

    keys: list[str]
    latest: dict[str, tuple[int | None, float]]
    counts: dict[str, int]
    writers: list["Writer"]


class Writer(msgspec.Struct):
    """A process that wrote a run, and the number that is expected next of it."""

    writer_id: str
    rank: int
    attempt: int
    next: int


class Projects(msgspec.Struct):
    """All projects that have runs."""

    projects: list[ProjectRecord]


def store_of(request: Request[Any, Any, Any]) -> Any:
    """The store of the namespace that a request names; only one that writes makes a new namespace."""
    return request.app.state.namespaces.store(namespace_of(request), make=request.method != "GET")


def namespace_of(request: Request[Any, Any, Any]) -> str | None:
    """The name of a namespace as it was sent: UTF-8, which HTTP hands on byte by byte."""
    text = request.headers.get("x-quark-storage-dir")
    try:
        return text and text.encode("latin-1").decode()
    except UnicodeError:
        return text


def reach_of(request: Request[Any, Any, Any]) -> Reach:
    """What a request may touch: what its key reaches, and of that the project that ``X-Quark-Project`` names."""
    named = request.headers.get("x-quark-project")
    return Reach(request.state.key.projects, unquote(named) if named else None)


def found_run(request: Request[Any, Any, Any], run_id: str, *, hidden: bool = False) -> "tuple[SqlStore, RunRow]":
    """The store and the row of the run that a request means, if its key may see it.

    Raises:
        ProblemError: 404 in the same words for a run that is not there, one of another project, and a deleted one.
    """
    store = store_of(request)
    row = store.find(run_id, reach_of(request), hidden=hidden)
    if row is None:
        raise not_there()
    return store, row


def json_object(text: str | None, field: str) -> dict[str, Any]:
    """A JSON object out of a query.

    Raises:
        ProblemError: 400, it is none, or nested too deeply.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProblemError(400, f"{field} must be a JSON object ({error})", field=field) from error


@get("/api/v1/runs", opt={"scope": "read"}, sync_to_thread=True)
def list_runs(
    request: Request[Any, Any, Any], project: Text = None, status: Text = None, tag: Text = None, name: Text = None,
    config: Text = None, started_after: Text = None, started_before: Text = None, sort: Sort = "-started_at",
    limit: Limit = 100, after: Text = None,
) -> RunPage:  # fmt: skip
    """A page of runs. ``config`` is a JSON object of values by dotted path; bounds of time are inclusive."""
    key = request.state.key
    wanted = json_object(config, "config") or None
    found: list[RunRecord] = []
    while True:
        page = store_of(request).runs(
            project=project, status=status, tag=tag, name=name, config=wanted, started_after=started_after,
            started_before=started_before, sort=sort, limit=limit - len(found), after=after,
        )  # fmt: skip
        found += [run for run in page.items if _is_listed(key, run.project_id, run.project_name)]
        after = page.next
        if after is None or len(found) >= limit:
            return RunPage(found, after)


@get("/api/v1/runs/{run_id:str}", opt={"scope": "read"}, sync_to_thread=True)
def read_run(request: Request[Any, Any, Any], run_id: RunId) -> RunRecord:
    """One run."""
    store, row = found_run(request, run_id)
    return store.run(row.id)


@get("/api/v1/runs/{run_id:str}/overview", opt={"scope": "read"}, sync_to_thread=True)
def overview(request: Request[Any, Any, Any], run_id: RunId) -> Overview:
    """What the run holds, in one answer."""
    store, row = found_run(request, run_id)
    writers = [Writer(origin.writer_id, origin.rank, origin.attempt, mark) for origin, mark in store.writers(row.id)]
    return Overview(store.keys(row.id), store.latest(row.id), store.count(row.id), writers)


@get("/api/v1/projects", opt={"scope": "read"}, sync_to_thread=True)
def list_projects(request: Request[Any, Any, Any]) -> Projects:
    """The projects that have runs, by name."""
    key = request.state.key
    return Projects([each for each in store_of(request).projects() if _is_listed(key, each.id, each.name)])


def _is_listed(key: ServiceKey, identity: str, project: str) -> bool:
    """Runs that have not said which project they are of are listed for those who reach all."""
    return key.projects is None or (identity != UNKNOWN and key.reaches(project))
