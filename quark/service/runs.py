"""Runs as they are read: pages of runs, one run, its overview, projects."""

from typing import Any

import msgspec
from litestar import Request, get

from ..errors import RunNotFoundError
from ..records.run import ProjectRecord, RunRecord
from .access import check_project
from .parameters import Limit, RunId, Sort, Text
from .problems import ProblemError


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


def readable_run(request: Request[Any, Any, Any], run_id: str) -> RunRecord:
    """The run, if the key may see it; RunNotFoundError otherwise."""
    run = store_of(request).run(run_id)
    check_project(request.state.key, run.project_name)
    return run


def json_object(text: str | None, field: str) -> dict[str, Any]:
    """A JSON object out of a query.

    Raises:
        ProblemError: 400, it is none, or nested too deeply.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProblemError(400, f"{field} must be a JSON object ({error})", field=field) from error


def project_of(store: Any, run_id: RunId) -> str | None:
    """The project of a run; None for one that is not there."""
    try:
        return store.run(run_id).project_name
    except RunNotFoundError:
        return None


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
        found += [run for run in page.items if key.reaches(run.project_name)]
        after = page.next
        if after is None or len(found) >= limit:
            return RunPage(found, after)


@get("/api/v1/runs/{run_id:str}", opt={"scope": "read"}, sync_to_thread=True)
def read_run(request: Request[Any, Any, Any], run_id: RunId) -> RunRecord:
    """One run."""
    return readable_run(request, run_id)


@get("/api/v1/runs/{run_id:str}/overview", opt={"scope": "read"}, sync_to_thread=True)
def overview(request: Request[Any, Any, Any], run_id: RunId) -> Overview:
    """What the run holds, in one answer."""
    readable_run(request, run_id)
    store = store_of(request)
    writers = [Writer(origin.writer_id, origin.rank, origin.attempt, mark) for origin, mark in store.writers(run_id)]
    return Overview(store.keys(run_id), store.latest(run_id), store.count(run_id), writers)


@get("/api/v1/projects", opt={"scope": "read"}, sync_to_thread=True)
def list_projects(request: Request[Any, Any, Any]) -> Projects:
    """The projects that have runs, by name."""
    key = request.state.key
    return Projects([project for project in store_of(request).projects() if key.reaches(project.name)])
