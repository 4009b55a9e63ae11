"""The service described as OpenAPI 3.1, read off its routes and off the classes of the records."""

import inspect
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from ..records.kinds import KINDS
from ..records.line import Line
from .access import OPEN
from .columns import MEDIA
from .runs import QUERY

PATH = "/schema/openapi.json"
_COMPONENT = "#/components/schemas/{name}"
_HEADER = {
    "name": "X-Quark-Storage-Dir", "in": "header", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z0-9_/-]+$"},
    "description": "name of the storage namespace; the default one if it is missing",
}  # fmt: skip
_PROJECT = {
    "name": "X-Quark-Project", "in": "header", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 800, "pattern": "^[A-Za-z0-9._~%/-]+$"},
    "description": "the run's project, percent-encoded; of several projects' runs with one id its run is meant",
}  # fmt: skip


class Problem(msgspec.Struct, omit_defaults=True):
    """Why a request was not served.

    ``code`` is for programs, ``message`` for people; ``field`` names the parameter and ``index`` the line at fault,
    ``held`` and ``limit`` are bytes.
    """

    code: str
    message: str
    field: str | None = None
    index: int | None = None
    held: int | None = None
    limit: int | None = None


class ErrorAnswer(msgspec.Struct):
    """The one shape of every error."""

    error: Problem


def openapi_config(version: str) -> OpenAPIConfig:
    """What Litestar is to read off the routes; ``document`` makes the description of it."""
    return OpenAPIConfig(
        title="Quark service",
        version=version,
        path="/schema/of-routes",
        render_plugins=[JsonRenderPlugin()],
    )


def document(app: Litestar, routes: list[Any]) -> dict[str, Any]:
    """The description: every route with its scope, its bodies and the shape of its errors, and every kind of record."""
    text = msgspec.json.encode(app.openapi_schema.to_schema())
    made = msgspec.json.decode(text.replace(rb"\\Z", b"$"))  # what ends a pattern in JSON Schema
    made["paths"] = _in_order(made["paths"], routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(msgspec.json.schema_components((ErrorAnswer, _line(), *KINDS.values()), ref_template=_COMPONENT)[1])
    _tell_records(schemas)
    components["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-Quark-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for handler in routes:
        for path in handler.paths:
            operations = made["paths"].get(_braced(path), {})
            for method in handler.http_methods:
                if method.lower() in operations:
                    operations[method.lower()]["description"] = _told(handler)
                    _tell(operations[method.lower()], handler.opt.get("scope", "admin"))
                    if "{run_id" in path:
                        operations[method.lower()]["parameters"].append(_PROJECT)
    records = made["paths"]["/api/v1/runs/{run_id}/writers/{writer_id}/records"]["post"]
    records["requestBody"] = _body("application/x-ndjson", {"type": "string"}, "One Line a line; may be gzip or zstd.")
    payload = made["paths"]["/api/v1/runs/{run_id}/blobs/{digest}"]["put"]
    payload["requestBody"] = _body("application/octet-stream", {"type": "string", "format": "binary"}, "The bytes.")
    for path in ("/api/v1/charts", "/api/v1/charts/groups"):
        made["paths"][path]["post"]["responses"]["200"]["content"][MEDIA] = {
            "schema": {"type": "string", "format": "binary"}
        }
    made["paths"][QUERY] = {"post": made["paths"][QUERY]["post"]}  # the others are of a run that has this id
    given = made["paths"]["/api/v1/runs/{run_id}/artifacts/{artifact_id}/payload"]["get"]["responses"]
    bytes_of_it = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    given["200"] = {"description": "The payload.", "content": bytes_of_it}
    given["206"] = {"description": "The part that Range asked for.", "content": bytes_of_it}
    return made


def _in_order(paths: dict[str, Any], routes: list[Any]) -> dict[str, Any]:
    """The paths and their methods in the order of the routes: Litestar's own is that of a set."""
    made: dict[str, Any] = {}
    for handler in routes:
        for path in map(_braced, sorted(handler.paths)):
            for method in sorted(map(str.lower, handler.http_methods)):
                if method in paths.get(path, ()):
                    made.setdefault(path, {})[method] = paths[path][method]
    return made


def _line() -> type[msgspec.Struct]:
    """A line as it is sent: its body is an object."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(Line):
        if field.name == "body":
            fields.append((field.name, dict[str, Any], msgspec.field(default_factory=dict)))
        else:
            fields.append((field.name, field.type) if field.required else (field.name, field.type, field.default))
    return msgspec.defstruct("Line", fields, namespace={"__doc__": Line.__doc__})


def _braced(path: str) -> str:
    return "/".join(f"{{{part[1:-1].partition(':')[0]}}}" if part[:1] == "{" else part for part in path.split("/"))


def _told(handler: Any) -> str:
    """What a route says of itself; one that runs in a thread is wrapped."""
    return (inspect.getdoc(getattr(handler.fn, "func", handler.fn)) or "").replace("``", "`")


def _tell(operation: dict[str, Any], scope: str) -> None:
    operation["responses"] = {
        status: response for status, response in operation["responses"].items() if status.startswith("2")
    }
    content = {"application/json": {"schema": {"$ref": _COMPONENT.format(name="ErrorAnswer")}}}
    for status, meaning in (("4XX", "The request cannot be served."), ("5XX", "The service cannot serve it now.")):
        operation["responses"][status] = {"description": meaning, "content": content}
    if scope == OPEN:
        operation["security"] = []
        return
    operation["security"] = [{"key": []}, {"bearer": []}]
    operation["description"] = f"{operation.get('description', '')}\n\nNeeds a key with the scope {scope}.".strip()
    if scope != "admin":
        operation.setdefault("parameters", []).append(_HEADER)


def _tell_records(schemas: dict[str, Any]) -> None:
    kinds = [{"$ref": _COMPONENT.format(name=cls.__name__)} for cls in KINDS.values()]
    schemas["RecordPage"]["properties"]["records"]["items"] = {"anyOf": kinds}


def _body(media: str, schema: dict[str, Any], meaning: str) -> dict[str, Any]:
    return {"description": meaning, "required": True, "content": {media: {"schema": schema}}}


@get(PATH, opt={"scope": OPEN}, include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The description of this service."""
    return Response(request.app.state.describe(), media_type="application/vnd.oai.openapi+json")
