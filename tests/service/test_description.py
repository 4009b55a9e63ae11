"""The description as OpenAPI: complete, and kept by every answer to whatever a client may send."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from quark.records.kinds import KINDS
from quark.service.app import ROUTES
from quark.service.description import document
from quark.service.runs import QUERY
from quark.testing import alert_line, event_line, metric_lines

from .conftest import Served
from .test_ingestion import batch_of, send

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
OPERATIONS = [
    (method, path.replace(":str", ""))
    for handler in ROUTES
    if handler.resolve_include_in_schema()
    for path in handler.paths
    for method in handler.http_methods
    if method not in ("HEAD", "OPTIONS") and (method == "POST" or path != QUERY)
]


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_: Any, text: Any) -> bytes:
    """What a generated body is on the wire."""
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")


def test_every_route_is_described(served: Served) -> None:
    """Each with its scope, its answers and the one shape of errors; every kind of record is there."""
    made = served.ask("GET", "/schema/openapi.json").json()
    assert made["openapi"].startswith("3.1")
    described = {
        (method.upper(), path) for path, item in made["paths"].items() for method in item if method != "parameters"
    }
    assert described == set(OPERATIONS)
    assert {cls.__name__ for cls in KINDS.values()} <= set(made["components"]["schemas"])
    for item in made["paths"].values():
        for operation in item.values():
            assert {"4XX", "5XX"} <= set(operation["responses"])
            assert operation["description"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_sent_the_description_is_kept(served: Served, method: str, path: str) -> None:
    """No answer is an error of the service, and each has the shape that the description gives."""
    send(served, batch_of([*metric_lines(3), event_line("saved", payload={"a": 1}), alert_line("rule")]))
    schema = schemathesis.openapi.from_dict(document(served.app, ROUTES))
    operation = schema[path][method]

    @seed(1)
    @settings(
        max_examples=12, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def keep(case: Any) -> None:
        for run_id in {case.path_parameters.get("run_id"), "run-1"} - {None} or {None}:
            if run_id is not None:
                case.path_parameters["run_id"] = run_id
            if path.endswith("/stream"):
                case.query = {**(case.query or {}), "seconds": 0.01}
            sent = case.as_transport_kwargs(base_url="http://testserver.local")
            sent["content"] = sent.pop("data", None)
            sent["headers"] = {**sent["headers"], "X-Quark-API-Key": served.key}
            answer = served.client.request(
                **{name: value for name, value in sent.items() if value is not None and name != "cookies"}
            )
            case.validate_response(Response.from_any(answer), checks=CHECKS)

    keep()
