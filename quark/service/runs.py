"""Runs as they are read: pages of runs, one run, its overview, projects."""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, get

from ..records.run import ProjectRecord, RunRecord
from ..storage.belonging import Reach, RunRow
from .lanes import CONTROL, PAGES, SCANS, in_lane, run_in
from .parameters import Limit, Offset, RunId, Sort, Text, Texts
from .problems import ProblemError, not_there
from .room import page_budget, take_points

if TYPE_CHECKING:
    from ..storage import SqlStore

QUERY = "/api/v1/runs/query"
"""Where tables of runs are asked for; what is said of one run there is said of a run that has the id ``query``."""

_KEY_BYTES = 500
"""A key with its last point, as objects and in the answer."""

UNPACKED_POINT_BYTES = 96
"""A point that is not packed yet and has to be looked at, with the working space for it."""


class RunPage(msgspec.Struct):
    """A page of runs; ``next`` is what to pass as ``after``, null at the end."""

    runs: list[RunRecord]
    next: str | None


class Overview(msgspec.Struct):
    """What a run holds: its keys with their last points, its records by kind, its writers.

    ``names``: the names that are recorded under another key, by what they are of (metric, artifact, event) and by key.
    """

    keys: list[str]
    latest: dict[str, tuple[int | None, float]]
    counts: dict[str, int]
    writers: list["Writer"]
    names: dict[str, dict[str, str]]


class Writer(msgspec.Struct):
    """A process that wrote a run, and the number that is expected next of it."""

    writer_id: str
    rank: int
    attempt: int
    next: int


class Projects(msgspec.Struct):
    """All projects that have runs."""

    projects: list[ProjectRecord]


def store_of(request: Request[Any, Any, Any], *, make: bool = False) -> Any:
    """The store of the namespace that a request names; only what is about to store something makes a new one."""
    maker = request.state.key.id if make else None
    return request.app.state.namespaces.store(namespace_of(request), maker=maker)


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


@get("/api/v1/runs", opt={"scope": "read"})
async def list_runs(
    request: Request[Any, Any, Any], ids: Texts = None, project: Texts = None, status: Texts = None,
    tag: Texts = None, name: Texts = None, name_ilike: Texts = None, config: Text = None, started_after: Text = None,
    started_before: Text = None, sort: Sort = "-started_at", offset: Offset = 0, limit: Limit = 100,
    after: Text = None, id_after: Text = None, select: Texts = None, where: Text = None,
) -> RunPage:  # fmt: skip
    """A page of runs. ``config`` is a JSON object of values by dotted path; bounds of time are inclusive.

    ``ids``, ``project``, ``status``, ``tag``, ``name`` and ``name_ilike`` may be sent several times: any of the values
    counts. ``name_ilike`` is a pattern without regard to case: ``%`` stands for any text, ``_`` for one character. The
    list goes on behind ``after`` or behind the run ``id_after``, without the first ``offset`` runs. With ``select``,
    sent once for each, the runs have only these fields. ``where`` is a query, as in ``POST /api/v1/runs/query``.
    A page holds about 2 MiB at most, so it may be shorter than ``limit``; ``next`` says whether there are more.
    """
    values = json_object(config, "config")

    def page() -> RunPage:
        cursors = request.app.state.cursors
        place = None if after is None else cursors.open_text(after, "runs")
        found = store_of(request).runs(
            ids=ids, project=project, status=status, tag=tag, name=name, name_ilike=name_ilike, config=values or None,
            started_after=started_after, started_before=started_before, sort=sort, offset=offset, limit=limit,
            after=place, id_after=id_after, select=select, where=where, projects_only=request.state.key.projects,
            budget=page_budget(request),
        )  # fmt: skip
        return RunPage(list(found.items), None if found.next is None else cursors.seal_text(found.next, "runs"))

    return await run_in(request, SCANS if values or where or name_ilike else PAGES, page)


@get(["/api/v1/runs/{run_id:str}", QUERY], opt={"scope": "read"})
@in_lane(CONTROL)
def read_run(request: Request[Any, Any, Any], run_id: RunId = "query") -> RunRecord:
    """One run."""
    store, row = found_run(request, run_id)
    return store.run(row.id, budget=page_budget(request))


@get("/api/v1/runs/{run_id:str}/overview", opt={"scope": "read"})
@in_lane(SCANS)
def overview(request: Request[Any, Any, Any], run_id: RunId) -> Overview:
    """What the run holds, in one answer."""
    store, row = found_run(request, run_id)
    take_points(request, store.size(row.id), UNPACKED_POINT_BYTES)
    writers = [Writer(origin.writer_id, origin.rank, origin.attempt, mark) for origin, mark in store.writers(row.id)]
    keys, names = store.keys(row.id), store.names(row.id)
    length = sum(len(key) + len(name) for named in names.values() for key, name in named.items())
    request.app.state.room.take(request.scope, _KEY_BYTES * (len(keys) + len(writers)) + 4 * length)
    return Overview(keys, store.latest(row.id), store.count(row.id), writers, names)


@get("/api/v1/projects", opt={"scope": "read"})
@in_lane(PAGES)
def list_projects(request: Request[Any, Any, Any]) -> Projects:
    """The projects that have runs, by name."""
    return Projects(store_of(request).projects(request.state.key.projects))
