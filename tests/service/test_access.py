"""Who may do what, for every route that there is: a new one is asked for here before anybody uses it."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
from litestar.connection import ASGIConnection
from litestar.testing import TestClient

from quark.records.base import Origin
from quark.service.access import OPEN, address_of
from quark.service.app import ROUTES, create_app
from quark.service.config import ServiceConfig
from quark.service.keys import REMEMBERED_S
from quark.service.sessions import PATH as SIGN_IN
from quark.testing import make_batch, metric_lines, start_line

from .conftest import Served

ORIGIN = Origin("run-1", "w")
FILLED = {
    "run_id": "run-1",
    "writer_id": "w",
    "digest": "0" * 64,
    "artifact_id": "w-1",
    "kind": "metric",
    "key_id": "00000000",
    "name": "mine",
}
FIELDS = {
    "name": "n", "interval_s": 10.0, "grace_period_s": 10.0, "blueprint": {"type": "object"}, "runs": ["run-1"],
    "keys": ["train/loss"], "groups": [{"name": "g", "runs": ["run-1"]}], "content": {"charts": []},
}  # fmt: skip
CALLS = [
    (handler, method, path)
    for handler in ROUTES
    for path in sorted(handler.paths)
    for method in sorted(handler.http_methods - {"HEAD", "OPTIONS"})
]
CASES = [pytest.param(*case, id=f"{case[1]} {case[2]}") for case in CALLS]
GUARDED = [case for case in CASES if case.values[0].opt.get("scope") != OPEN]  # type: ignore[union-attr]
OF_A_RUN = [case for case in GUARDED if "{run_id" in str(case.values[2])]
MEANING_OF_SCOPES = {"read": {"read"}, "write": {"read", "write"}, "admin": {"read", "write", "admin"}}


def ask(served: Served, method: str, path: str, key: str | None, *, run_id: str = "run-1") -> Any:
    """A request that would be served, were the key to allow it; anonymous without one."""
    template = path
    for name, value in {**FILLED, "run_id": run_id}.items():
        path = path.replace(f"{{{name}:str}}", value)
    query = {"first": 1, "stop": 1, "key": "train/loss", "project": "digits", "seconds": 0.01}
    headers = {} if key is None else {"X-Quark-API-Key": key}
    return served.client.request(method, path, params=query, headers=headers, json=body_of(served, method, template))


def body_of(served: Served, method: str, template: str) -> dict[str, Any] | None:
    """The fields that a route's body must have, or may have and we know; None for a route without one."""
    made = msgspec.json.decode(served.app.state.describe())
    operations = made["paths"][template.replace(":str", "")]
    operation = (
        operations.get(method.lower()) or made["paths"]["/api/v1/runs/{run_id}"][method.lower()]
    )  # of a run "query"
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return None
    shape = made["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert set(shape.get("required", ())) <= set(FIELDS), "say in FIELDS what the new field may hold"
    return {name: value for name, value in FIELDS.items() if name in shape["properties"]}


def fill(served: Served) -> Served:
    """The service with a run of the project digits."""
    batch = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(2)])
    path = "/api/v1/runs/run-1/writers/w/records"
    served.ask("POST", path, params={"first": 0, "stop": batch.stop}, content=batch.data).raise_for_status()
    return served


@pytest.fixture
def filled(served: Served) -> Served:
    """A service that holds a run of the project digits."""
    return fill(served)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same for tests that change nothing in it but its keys, and send none that are wrong."""
    directory = tmp_path_factory.mktemp("unchanged")
    with TestClient(create_app(ServiceConfig.of(f"sqlite:///{directory}/quark.db"))) as client:
        yield fill(Served(client))


def test_a_route_says_whom_it_serves() -> None:
    """A scope is written at every route; one that forgets is an administrator's."""
    scopes = {(method, path): handler.opt.get("scope") for handler, method, path in CALLS}
    assert {call: scope for call, scope in scopes.items() if scope not in (OPEN, "read", "write", "admin")} == {}
    assert {method for method, _ in scopes} <= {"GET", "POST", "PUT", "DELETE", "PATCH"}
    opened = {call for call, scope in scopes.items() if scope == OPEN and call[1].startswith("/api/")}
    assert opened <= {("POST", SIGN_IN)}


@pytest.mark.parametrize(("handler", "method", "path"), GUARDED)
def test_without_a_key_nothing_is_done(filled: Served, handler: Any, method: str, path: str) -> None:
    """No key, a made-up one, one with a wrong end, a revoked one: 401, and the way to send one."""
    key_store = filled.app.state.key_store
    text, key = key_store.create("gone", ["admin"])
    key_store.revoke(key.id)
    for wrong in (None, "nonsense", "qk_00000000_x", filled.key[:-1] + "~", text):
        answer = ask(filled, method, path, wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert filled.ask("GET", "/api/v1/runs").json()["runs"][0]["status"] == "running"


@pytest.mark.parametrize(("handler", "method", "path"), GUARDED)
def test_a_scope_opens_its_routes_only(filled: Served, handler: Any, method: str, path: str) -> None:
    """403 for every route that needs more; what the scope allows is not refused for the key's sake."""
    for scope in ("read", "write", "admin"):
        answer = ask(filled, method, path, filled.new_key([scope]))
        if handler.opt["scope"] in MEANING_OF_SCOPES[scope]:
            assert answer.status_code not in (401, 403), scope
            assert answer.status_code < 500, scope
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), scope


@pytest.mark.parametrize(("handler", "method", "path"), OF_A_RUN)
def test_the_runs_of_other_projects_are_not_there(unchanged: Served, handler: Any, method: str, path: str) -> None:
    """A key that is limited to another project learns as little of a run as of one that does not exist."""
    limited = unchanged.new_key(["write"], ["other"])
    answer = ask(unchanged, method, path, limited)
    missing = ask(unchanged, method, path, limited, run_id="run-none")
    assert (answer.status_code, answer.content) == (missing.status_code, missing.content)
    assert unchanged.ask("GET", "/api/v1/runs/run-1/overview").json()["counts"] == {"metric": 2}
    assert unchanged.ask("GET", "/api/v1/runs").json()["runs"][0]["status"] == "running"


@pytest.mark.parametrize(("handler", "method", "path"), [case for case in GUARDED if case not in OF_A_RUN])
def test_other_projects_are_not_there(unchanged: Served, handler: Any, method: str, path: str) -> None:
    """Asked for a project by its name, a key that is limited to another one is refused, or told of nothing."""
    answer = ask(unchanged, method, path, unchanged.new_key(["write"], ["other"]))
    if answer.status_code == 200:
        assert "digits" not in answer.text
    else:
        assert answer.status_code in (403, 404)


def test_lists_leave_other_projects_out(unchanged: Served) -> None:
    """Runs and projects that a key may not see are in no list."""
    limited = unchanged.new_key(["read"], ["other"])
    assert unchanged.ask("GET", "/api/v1/runs", key=limited).json() == {"runs": [], "next": None}
    assert unchanged.ask("GET", "/api/v1/projects", key=limited).json() == {"projects": []}


def test_a_limited_key_writes_to_its_projects_only(unchanged: Served) -> None:
    """A run of another project can be neither begun nor continued, and one without a project cannot either."""
    limited = unchanged.new_key(["write"], ["other"])
    for run_id, items in (("run-2", [start_line(Origin("run-2", "w"))]), ("run-3", metric_lines(1))):
        batch = make_batch(Origin(run_id, "w"), items)
        path = f"/api/v1/runs/{run_id}/writers/w/records"
        query = {"first": 0, "stop": batch.stop}
        assert unchanged.ask("POST", path, key=limited, params=query, content=batch.data).status_code == 403
        assert unchanged.ask("GET", f"/api/v1/runs/{run_id}").status_code == 404


@pytest.mark.parametrize("body", ["[]", "{}", '{"project":1}', '{"project":{"name":["other"]}}', '""'])
def test_a_start_without_a_project_is_nobodys(unchanged: Served, body: str) -> None:
    """A limited key begins no run whose project cannot be read."""
    line = f'{{"kind":"run","sequence":0,"time":1,"label":"start","body":{body}}}'
    path = "/api/v1/runs/run-2/writers/w/records"
    answer = unchanged.ask(
        "POST", path, key=unchanged.new_key(["write"], ["other"]), params={"first": 0, "stop": 1}, content=line.encode()
    )
    assert answer.status_code == 403


def test_failures_are_limited_by_address(filled: Served) -> None:
    """Ten wrong keys in a minute, then 429, also for a right guess; keys that were in use go on working."""
    used, guessed = filled.new_key(["read"]), filled.new_key(["read"])
    assert ask(filled, "GET", "/api/v1/runs", used).status_code == 200
    answers = [ask(filled, "GET", "/api/v1/runs", f"qk_0000000{n % 10}_wrong") for n in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 61
    assert ask(filled, "GET", "/api/v1/runs", guessed).status_code == 429
    for known in filled.app.state.key_store._known.values():
        known.until = 0.0  # it was looked up long ago
    assert ask(filled, "GET", "/api/v1/runs", used).status_code == 200


@pytest.mark.parametrize("trusted", [(), ("testclient",)])
def test_addresses_are_believed_of_trusted_proxies_only(trusted: tuple[str, ...]) -> None:
    """What anybody writes into X-Forwarded-For changes nothing; what a trusted proxy adds to it counts."""
    networks = [ip_network("10.0.0.0/8")] if trusted else []
    for lines in (
        ["6.6.6.6, 192.0.2.7, 10.0.0.9"],
        ["6.6.6.6", "192.0.2.7", "10.0.0.9"],
        ["10.0.0.2, 6.6.6.6", "192.0.2.7"],
    ):
        headers = [(b"x-forwarded-for", line.encode()) for line in lines]
        asked: Any = ASGIConnection({"type": "http", "headers": headers, "client": ("10.0.0.1", 1)})  # type: ignore[typeddict-item]
        assert address_of(asked, networks) == ("192.0.2.7" if trusted else "10.0.0.1")


@pytest.mark.parametrize("path", ["/metrics/", "//metrics", "/%2Fmetrics", "/metric%73", "/metrics//", "/api/v1//runs"])
def test_a_path_is_written_in_one_way(unchanged: Served, path: str) -> None:
    """A proxy's rule for /metrics covers every way to reach it: any other spelling of a path is not found."""
    answer = unchanged.client.request(
        "GET", f"http://testserver.local{path}", headers={"X-Quark-API-Key": unchanged.key}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/schema/openapi.json", "/api/v1/runs"])
def test_head_answers_as_get_without_a_body(unchanged: Served, path: str) -> None:
    """Monitors may ask with HEAD: status and headers of GET, and no body."""
    asked, read = (unchanged.ask(method, path) for method in ("HEAD", "GET"))
    assert (asked.status_code, asked.content, asked.headers["content-type"]) == (200, b"", read.headers["content-type"])


def test_a_key_is_used_and_revoked(filled: Served) -> None:
    """Its last use is recorded; another process that remembers it takes it for some seconds at most."""
    key_store = filled.app.state.key_store
    text, key = key_store.create("k", ["read"])
    assert next(found for found in key_store.all() if found.id == key.id).last_used_at is None
    assert ask(filled, "GET", "/api/v1/runs", text).status_code == 200
    assert next(found for found in key_store.all() if found.id == key.id).last_used_at is not None
    elsewhere = type(key_store)(filled.app.state.config.keys_url)
    elsewhere.revoke(key.id)
    elsewhere.close()
    key_store._known[key.id].until -= REMEMBERED_S  # the seconds go by
    assert ask(filled, "GET", "/api/v1/runs", text).status_code == 401


def test_a_key_is_kept_as_a_digest_only(filled: Served) -> None:
    """Neither the database of the keys nor any answer holds the text."""
    directory = filled.app.state.config.data_dir
    secret = filled.key.encode()
    held = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert secret not in held
    assert secret not in filled.ask("GET", "/api/v1/keys").content
