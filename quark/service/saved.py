"""Saved views over HTTP: what people look at in a project, under a name."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, put
from litestar.params import JSONBody, PathParameter

from ..storage.saved import SavedView
from .access import check_project
from .blueprints import Project
from .lanes import CONTROL, in_lane
from .problems import ProblemError
from .runs import store_of

ViewName = Annotated[str, PathParameter(pattern=r"^[^\x00-\x1f/]{1,200}\Z", description="name of the view")]


class View(msgspec.Struct, forbid_unknown_fields=True):
    """What a view shows: any JSON object, of 16 KiB at most."""

    content: dict[str, Any]


class ViewPage(msgspec.Struct):
    """The views of a project, by name."""

    views: list[SavedView]


@get("/api/v1/views", opt={"scope": "read"})
@in_lane(CONTROL)
def list_views(request: Request[Any, Any, Any], project: Project) -> ViewPage:
    """The views that were saved in a project."""
    check_project(request.state.key, project)
    return ViewPage(store_of(request).views(project))


@get("/api/v1/views/{name:str}", opt={"scope": "read"})
@in_lane(CONTROL)
def read_view(request: Request[Any, Any, Any], name: ViewName, project: Project) -> SavedView:
    """A saved view; 404 if there is none of this name."""
    check_project(request.state.key, project)
    found = store_of(request).view(project, name)
    if found is None:
        raise _no_view()
    return found


@put("/api/v1/views/{name:str}", opt={"scope": "write"})
@in_lane(CONTROL)
def save_view(request: Request[Any, Any, Any], name: ViewName, project: Project, data: JSONBody[View]) -> View:
    """Keep a view, in the place of the one that has its name; a project has 200 at most."""
    check_project(request.state.key, project)
    store_of(request, make=True).save_view(project, name, data.content)
    return data


@delete("/api/v1/views/{name:str}", opt={"scope": "write"})
@in_lane(CONTROL)
def delete_view(request: Request[Any, Any, Any], name: ViewName, project: Project) -> None:
    """Remove a view; 404 if there is none of this name."""
    check_project(request.state.key, project)
    if not store_of(request).save_view(project, name, None):
        raise _no_view()


def _no_view() -> ProblemError:
    return ProblemError(404, "the project has no view of this name", code="view_not_found")
