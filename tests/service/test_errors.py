"""What an answer does not say, and whom the service does not listen to."""

import pytest

from quark.service.namespaces import namespace_label

from .conftest import Served


def test_an_error_tells_nothing_of_the_machine(served: Served) -> None:
    """A store that cannot be opened is an error by its code: no path, no statement, no class of ours."""
    directory = served.app.state.config.data_dir / "namespaces" / namespace_label("broken")
    directory.mkdir(parents=True)
    (directory / "quark.db").write_bytes(b"this is no database" * 100)
    for path in ("/api/v1/runs", "/api/v1/runs/run-1", "/api/v1/projects"):
        answer = served.ask("GET", path, headers={"X-Quark-Storage-Dir": "broken"})
        assert answer.status_code >= 500
        for word in (str(directory), directory.name, "quark.db", "sqlite", "SELECT", "Traceback", "Error("):
            assert word not in answer.text


@pytest.mark.parametrize("name", ["X-Quark-API-Key", "x-quark-api-key", "Authorization", "key", "session"])
def test_no_cookie_and_no_origin_is_believed(served: Served, name: str) -> None:
    """A browser's page of another site is served nothing: keys are read from no cookie, and no origin is let in."""
    cookie = {"Cookie": f"{name}={served.key}", "Origin": "https://evil.example"}
    answer = served.client.get("/api/v1/runs", headers=cookie)
    assert answer.status_code == 401
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        answer = served.ask(method, "/api/v1/runs", headers=asked)
        assert not [header for header in answer.headers if header.startswith("access-control-")]
