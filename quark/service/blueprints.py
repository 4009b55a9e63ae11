"""Blueprints over HTTP: the JSON Schema that the configurations of a project's runs must match."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get, put
from litestar.params import JSONBody, QueryParameter

from ..core.blueprint import check_schema
from .access import check_project
from .lanes import CONTROL, SCANS, in_lane
from .runs import namespace_of, store_of

Project = Annotated[str, QueryParameter(min_length=1, max_length=200, description="name of the project")]


class Blueprint(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON Schema; null where there is none."""

    blueprint: dict[str, Any] | None


@get("/api/v1/blueprint", opt={"scope": "read"})
@in_lane(CONTROL)
def read_blueprint(request: Request[Any, Any, Any], project: Project) -> Blueprint:
    """The blueprint of a project."""
    check_project(request.state.key, project)
    return Blueprint(store_of(request).blueprint(project))


@put("/api/v1/blueprint", opt={"scope": "write"})
@in_lane(SCANS)
def set_blueprint(request: Request[Any, Any, Any], project: Project, data: JSONBody[Blueprint]) -> Blueprint:
    """Set the blueprint of a project, or remove it with null; 422 if it is no JSON Schema that stands by itself."""
    check_project(request.state.key, project)
    if data.blueprint is not None and not request.app.state.namespaces.exists(namespace_of(request)):
        check_schema(data.blueprint)  # before a namespace is made for it
    store_of(request, make=data.blueprint is not None).set_blueprint(project, data.blueprint)
    return data
