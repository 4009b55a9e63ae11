"""Who may look: a link that works once, a key, a cookie that only this site's pages can use."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient

from quark.reading.opening import open_embedded
from quark.service import cookies
from quark.service.embedded import create_page_app
from quark.service.keys import REMEMBERED_S
from quark.service.origin import is_allowed_host
from quark.service.sessions import Tokens

from ..service.conftest import Served, served  # noqa: F401  the fixture
from .conftest import ADDRESS, Page, record_runs

ORIGIN = {"Origin": "http://testserver.local"}


def test_a_link_signs_in_one_browser_once(page: Page) -> None:
    """The token becomes a cookie that no script reads and no other site sends; it is of no use again."""
    token = page.tokens.new()
    assert page.get("/api/v1/runs").status_code == 401
    answer = page.sign_in(token)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie and "domain" not in cookie
    assert token not in cookie
    assert {run["id"] for run in page.get("/api/v1/runs").json()["runs"]} == {"good-run", "bad-run"}
    page.client.cookies.clear()
    again = page.sign_in(token)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "token_used")
    assert page.get("/api/v1/runs").status_code == 401


@pytest.mark.parametrize(
    "body", [{}, {"token": ""}, {"token": "x"}, {"key": ""}, {"key": "qk_00000000_x"}, {"key": None}]
)
def test_what_is_no_token_signs_nobody_in(page: Page, body: dict[str, Any]) -> None:
    """No cookie is set, and the answer says what to do."""
    answer = page.post("/api/v1/session", json=body)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_without_a_cookie_the_answer_names_the_link(page: Page) -> None:
    """Who opens the address without its link is told where the link is."""
    assert "quark ui" in page.get("/api/v1/runs").json()["error"]["message"]


def test_a_key_signs_in_at_a_service(served: Served) -> None:  # noqa: F811  pytest's fixture
    """The cookie stands for the key, with its scopes and projects, and holds neither the key nor its digest."""
    key = served.new_key(["read"], ["digits"])
    answer = served.client.post("/api/v1/session", json={"key": key}, headers=ORIGIN)
    assert answer.json()["scopes"] == ["read"] and answer.json()["projects"] == ["digits"]
    value = next(iter(served.client.cookies.values()))
    assert key.split("_", 2)[2] not in value and key.split("_")[1] not in bytes.fromhex(value).decode("latin-1")
    assert served.client.get("/api/v1/session").json() == answer.json()
    assert served.client.get("/api/v1/runs").status_code == 200
    assert served.client.post("/api/v1/runs/x/stop", json={}, headers=ORIGIN).status_code == 403


def test_a_revoked_key_ends_its_sessions(served: Served) -> None:  # noqa: F811  pytest's fixture
    """A page that is open learns within seconds that its key is gone: 401, which shows the form to sign in."""
    text, key = served.app.state.key_store.create("leaver", ["read"])
    served.client.post("/api/v1/session", json={"key": text}, headers=ORIGIN).raise_for_status()
    assert served.client.get("/api/v1/runs").status_code == 200
    served.app.state.key_store.revoke(key.id)
    deadline = time.monotonic() + REMEMBERED_S + 30
    while (status := served.client.get("/api/v1/runs").status_code) == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 401


def test_a_session_ends_after_its_time(served: Served) -> None:  # noqa: F811  pytest's fixture
    """A cookie that is kept beyond its time signs nobody in, whatever the browser thinks of its age."""
    _, key = served.app.state.key_store.create("sleeper", ["read"])
    cursors = served.app.state.cursors
    name = cookies.cookie_name(cursors)
    for until, status in ((int(time.time()) + 60, 200), (int(time.time()) - 1, 401)):
        value = cookies.sealed(cursors, cookies.Session(key.id, until))
        assert served.client.get("/api/v1/runs", headers={"Cookie": f"{name}={value}"}).status_code == status


@pytest.mark.parametrize("value", ["", "00", "zz", "0" * 200, "00" * 30, "\u00e9"])
def test_a_made_up_cookie_signs_nobody_in(served: Served, value: str) -> None:  # noqa: F811  pytest's fixture
    """Only what this service has sealed counts."""
    name = cookies.cookie_name(served.app.state.cursors)
    answer = served.client.get("/api/v1/runs", headers={"Cookie": f"{name}={value}".encode("latin-1")})
    assert answer.status_code == 401


def test_signing_out_forgets_the_cookie(page: Page) -> None:
    """The browser is told to drop it."""
    page.sign_in()
    answer = page.client.delete("/api/v1/session", headers={"Origin": ADDRESS})
    assert answer.json() == {"signed_out": True}
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert page.get("/api/v1/runs").status_code == 401


FOREIGN = [
    "http://evil.example",
    "http://127.0.0.1:9999",
    "http://127.0.0.1",
    "null",
    "",
    "file://",
    "http://[::1",
    "http://127.0.0.1:8000.evil.example",
    "http://127.0.0.1:8000@evil.example",
    "ftp://127.0.0.1:8000",
]


@pytest.mark.parametrize("origin", [None, *FOREIGN])
def test_another_site_changes_nothing(page: Page, origin: str | None) -> None:
    """With the cookie, a request of another site, of another port, or one that hides where it is from, is refused."""
    page.sign_in()
    before = page.get("/api/v1/runs/good-run").json()
    answer = page.post("/api/v1/runs/good-run/stop", origin=origin, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_origin")
    headers = {} if origin is None else {"Origin": origin}
    assert page.client.delete("/api/v1/runs/good-run", headers=headers).status_code == 403
    assert page.get("/api/v1/runs/good-run").json() == before


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_site_signs_nobody_in(page: Page, origin: str) -> None:
    """Nobody is signed in to a stranger's account by a page of the stranger."""
    answer = page.sign_in(origin=origin)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_form_of_another_site_changes_nothing(page: Page) -> None:
    """A form needs no permission of the browser to be sent: it is refused for its origin, and for its type."""
    page.sign_in()
    form = {"data": {"grace_period_s": "1"}, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    assert page.post("/api/v1/runs/good-run/stop", origin="http://evil.example", **form).status_code == 403
    assert page.post("/api/v1/runs/good-run/stop", origin=None, **form).status_code == 403


def test_the_own_page_and_programs_are_served(page: Page, served: Served) -> None:  # noqa: F811  pytest's fixture
    """The page's own requests pass; a program with a key needs no origin, but may not have a foreign one."""
    page.sign_in()
    assert page.post("/api/v1/runs/good-run/stop", json={}).status_code == 409  # it has ended
    assert served.ask("POST", "/api/v1/runs/none/stop", json={}).status_code == 404
    foreign = served.ask("POST", "/api/v1/runs/none/stop", json={}, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[::2]:8000",
        "127.0.0.1@evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/runs", "/metrics", "/static/index.html"])
def test_a_name_that_leads_here_is_not_enough(page: Page, host: str, path: str) -> None:
    """A stranger's name that resolves to this machine (DNS rebinding) gets nothing at all, cookie or not."""
    page.sign_in()
    answer = page.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1234", "[::1]:8000"])
def test_the_machine_is_served_by_each_of_its_names(page: Page, host: str) -> None:
    """A tunnel such as ssh -L may end at another port."""
    assert page.get("/", headers={"Host": host}).status_code == 200


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_no_other_host_is_one_of_ours(host: str) -> None:
    """Whatever a Host header holds, it is allowed only if the name before its port is."""
    if is_allowed_host(host, ("localhost",)):
        assert host.strip().lower().partition(":")[0] == "localhost"


def test_a_payload_is_never_a_page(page: Page) -> None:
    """An artifact with a script in it is handed out as a file to be kept, and opened it could run nothing."""
    page.sign_in()
    (artifact,) = page.get("/api/v1/runs/good-run/records/artifact").json()["records"]
    answer = page.get(f"/api/v1/runs/good-run/artifacts/{artifact['id']}/payload")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_payload_that_is_gone_or_changed_is_not_sent(tmp_path: Path) -> None:
    """A file that is no longer what was recorded is refused by name, and a missing one is not there."""
    record_runs(tmp_path / "runs")
    (payload,) = (tmp_path / "runs" / ".quark" / "runs" / "good-run" / "artifacts" / "report").rglob("*.txt")
    app = create_page_app(open_embedded(tmp_path / "runs"), tmp_path / "private", tokens := Tokens())
    with TestClient(app, base_url=ADDRESS) as client:
        page = Page(client, tokens)
        page.sign_in()
        (artifact,) = page.get("/api/v1/runs/good-run/records/artifact").json()["records"]
        path = f"/api/v1/runs/good-run/artifacts/{artifact['id']}/payload"
        payload.write_bytes(b"x" * payload.stat().st_size)
        changed = page.get(path)
        assert (changed.status_code, changed.json()["error"]["code"]) == (409, "artifact_damaged")
        payload.unlink()
        gone = page.get(path)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "payload_not_found")
