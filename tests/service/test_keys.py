"""What a key may do is what its name says: no administrator of one project reaches the others."""

from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from quark.cli.keys import app as commands
from quark.errors import SchemaValidationError
from quark.service.keys import KeyStore

from .conftest import Served

WRONG = [
    pytest.param({"scopes": ["admin"], "projects": ["digits"]}, id="admin of one project"),
    pytest.param({"scopes": ["read", "write", "admin"], "projects": ["a", "b"]}, id="admin of two projects"),
    pytest.param({"scopes": ["read"], "projects": []}, id="no project at all"),
    pytest.param({"scopes": ["read"], "projects": [""]}, id="a project without a name"),
    pytest.param({"scopes": ["read"], "projects": ["  "]}, id="a blank name"),
    pytest.param({"scopes": ["read"], "projects": ["x" * 201]}, id="a name that is too long"),
]


@pytest.mark.parametrize("wanted", WRONG)
def test_a_key_that_says_two_things_is_refused(served: Served, wanted: dict[str, Any]) -> None:
    """A limited administrator, or a limit that names nothing, is made neither by the API nor by the key store."""
    before = len(served.ask("GET", "/api/v1/keys").json()["keys"])
    answer = served.ask("POST", "/api/v1/keys", json={"name": "boss", **wanted})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    with pytest.raises(SchemaValidationError):
        served.app.state.key_store.create("boss", wanted["scopes"], wanted["projects"])
    assert len(served.ask("GET", "/api/v1/keys").json()["keys"]) == before


def test_projects_are_a_list_of_names(served: Served) -> None:
    """One name instead of a list is no list of letters."""
    with pytest.raises(SchemaValidationError, match="list of at least one name"):
        served.app.state.key_store.create("a", ["read"], "digits")


def test_the_command_refuses_an_administrator_of_one_project(served: Served) -> None:
    """`quark keys create --scope admin --project x` makes no key."""
    db = f"sqlite:///{served.app.state.config.data_dir}/quark.db"
    given = ["create", "--db", db, "--name", "boss", "--scope", "admin", "--project", "digits"]
    result = CliRunner().invoke(commands, given)
    assert isinstance(result.exception, SchemaValidationError)
    assert "admin reaches all projects" in str(result.exception)
    assert [key.name for key in served.app.state.key_store.all()] == ["test"]


def test_a_limited_administrator_of_an_older_release_is_none(served: Served) -> None:
    """Such a key reads and writes its projects; keys and purges stay with those who reach all projects."""
    keys: KeyStore = served.app.state.key_store
    text, key = keys.create("old", ["read"], ["digits"])
    with keys._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE service_keys SET scopes = 'admin' WHERE id = ?", (key.id,))
    assert served.ask("GET", "/api/v1/runs", key=text).status_code == 200
    for method, path, body in (
        ("GET", "/api/v1/keys", None), ("POST", "/api/v1/keys", {"name": "more", "scopes": ["admin"]}),
        ("DELETE", "/api/v1/keys/00000000", None), ("POST", "/api/v1/purge", {}),
        ("GET", "/api/v1/deleted", None),
    ):  # fmt: skip
        assert served.ask(method, path, key=text, json=body).status_code == 403
    assert len(keys.all()) == 2


def test_a_line_break_ends_no_pattern(served: Served) -> None:
    """An id with a line break behind it is another text than the id, in every route; JSON Schema reads the same."""
    described = msgspec.json.decode(served.app.state.describe())
    asked = 0
    for path, item in described["paths"].items():
        for method in item:
            named = [name for name in ("run_id", "writer_id", "digest", "key_id") if f"{{{name}}}" in path]
            for name in named:
                values = {"run_id": "run-1", "writer_id": "w", "digest": "0" * 64, "key_id": "0" * 8, "kind": "event"}
                values = {**values, "artifact_id": "w-1", name: values[name] + "%0a"}
                is_json = "application/json" in item[method].get("requestBody", {}).get("content", {})
                more: dict[str, Any] = {
                    "params": {"first": 0, "stop": 0, "key": "a"},
                    **({"json": {}} if is_json else {}),
                }
                answer = served.ask(method.upper(), path.format(**values), **more)
                assert (answer.status_code, answer.json()["error"]["field"]) == (400, name), (method, path)
                asked += 1
    assert asked > 15
    assert b"\\\\Z" not in served.app.state.describe()
    assert served.ask("GET", "/api/v1/runs/run-1/records/event", params={"after": "1\n"}).status_code == 400
