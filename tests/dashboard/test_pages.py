"""The document and the files of the pages: for every address, with headers that keep strangers out, cached well."""

from urllib.parse import quote

import pytest
from litestar.testing import TestClient

from quark.dashboard.assets import ASK_FIRST, FOR_EVER, asset_of, assets
from quark.dashboard.policy import CONTENT_SECURITY_POLICY

from ..service.conftest import Served, served  # noqa: F401  the fixture
from .conftest import Page

HOSTILE = ["<script>alert(1)</script>", "\"'>", "\u202eabc", "a/b//c/", "x" * 5000, "..", "%2e%2e", "a b?c#d"]
ADDRESSES = [
    "/", "/c", "/c?runs=a,b", "/p/digits", "/r/good-run", "/r/good-run/layers", "/r/good-run/alerts/3", "/v/mine",
    *(f"/{letter}/{quote(name, safe='')}" for letter in "prv" for name in HOSTILE if letter != "r" or "/" not in name),
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_of_a_page_gives_the_document(page: Page, address: str) -> None:
    """Whatever the name in it is, a reload shows the page again, and nothing of the name is in the document."""
    answer = page.get(address, follow_redirects=False)
    assert answer.status_code == 200
    assert answer.content == assets()["index.html"].content
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(("address", "expected"), [
    ("/", "/api/v1/projects"),
    ("/p/a%20b%2Fc", "/api/v1/runs?project=a+b%2Fc"),
    ("/p/x%26status=failed", "/api/v1/runs?project=x%26status%3Dfailed"),
    ("/r/good-run", "/api/v1/runs/good-run"),
    ("/r/good-run/config", "/api/v1/runs/good-run"),
    ("/r/good-run/layers", "/api/v1/runs/good-run/records/layer"),
    ("/r/good-run/alerts", "/api/v1/runs/good-run/records/alert"),
    ("/r/good-run/alerts/3", "/api/v1/runs/good-run/records/alert?offset=2&limit=1"),
    ("/c?runs=good-run,bad-run", "/api/v1/runs?ids=good-run&ids=bad-run"),
    ("/v/mine?project=digits", "/api/v1/views/mine?project=digits"),
])  # fmt: skip
def test_a_program_is_sent_to_the_json_of_a_page(page: Page, address: str, expected: str) -> None:
    """By ``?format=json`` or by what it accepts; a browser, which takes HTML too, gets the page."""
    asked = f"{address}{'&' if '?' in address else '?'}format=json"
    for path, accept in ((asked, "*/*"), (address, "application/json")):
        answer = page.get(path, headers={"Accept": accept}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (307, expected)
    shown = page.get(address, headers={"Accept": "text/html,application/json;q=0.9,*/*;q=0.8"}, follow_redirects=False)
    assert (shown.status_code, shown.content) == (200, assets()["index.html"].content)


def test_the_json_of_a_page_is_that_of_the_run(page: Page) -> None:
    """The key that a program sends, or its cookie, is what opens the route; without one it is refused as everywhere."""
    assert page.get("/r/good-run?format=json").status_code == 401
    page.sign_in()
    assert page.get("/r/good-run?format=json").json()["name"] == "good"
    assert page.get("/c?runs=good-run,bad-run&format=json").json()["runs"][1]["id"] in ("good-run", "bad-run")
    assert page.get("/r/good-run/alerts?format=json").json()["records"] == []


@pytest.mark.parametrize("address", ["/c", "/r/%2e%2e", "/r/a%20b", "/r/..%2fx", "/v/%2e%2e"])
def test_a_page_of_no_run_has_no_json(page: Page, address: str) -> None:
    """Nothing that an address holds leads to another route, or to another server."""
    answer = page.get(f"{address}?format=json", follow_redirects=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_document_is_closed_to_strangers(page: Page) -> None:
    """No frame of another site, nothing inline, nothing from elsewhere, no text as script, no type guessed."""
    headers = page.get("/").headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert {
        "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'",
        "require-trusted-types-for 'script'",
    } <= set(CONTENT_SECURITY_POLICY.split("; "))  # fmt: skip
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/healthz", "/api/v1/runs", "/api/v1/nothing", "/schema/openapi.json", "/static/none.js"]
)
def test_answers_that_are_no_page_run_nothing(page: Page, path: str) -> None:
    """An answer of the API opened by itself, an error too, can neither run scripts nor be framed or embedded."""
    headers = page.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("name", sorted(assets()))
def test_a_file_is_sent_packed_and_only_when_it_changed(page: Page, name: str) -> None:
    """A browser that has the file is told so; one that takes gzip gets fewer bytes; both see the same content."""
    packed = page.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"})
    plain = page.get(f"/static/{name}", headers={"Accept-Encoding": "identity"})
    assert packed.content == plain.content == assets()[name].content
    assert "content-encoding" not in plain.headers
    again = page.get(f"/static/{name}", headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_name_with_a_hash_is_kept_for_ever() -> None:
    """The document is asked for each time, and the files that it names by their hash are never asked for again."""
    assert asset_of("app.0a1b2c3d.js", b"1").cache_control == FOR_EVER
    assert asset_of("index.html", b"1").cache_control == asset_of("uplot.css", b"1").cache_control == ASK_FIRST
    assert assets()["index.html"].cache_control == ASK_FIRST


@pytest.mark.parametrize("name", ["../policy.py", "..%2fpolicy.py", "%2e%2e/policy.py", "none.js", ""])
def test_no_name_leads_to_other_files(page: Page, name: str) -> None:
    """Only the files of the pages are served."""
    answer = page.get(f"/static/{name}", follow_redirects=False)
    assert answer.status_code == 404
    assert b"Content-Security-Policy" not in answer.content


@pytest.mark.parametrize(
    "path", ["//evil.example", "/%2f%2fevil.example", "/\\evil.example", "/p//evil.example", "/r/x/"]
)
def test_nothing_redirects(page: Page, path: str) -> None:
    """No address sends a browser elsewhere: the service has no redirects at all."""
    answer = page.client.request("GET", f"http://127.0.0.1:8000{path}", follow_redirects=False)
    assert answer.status_code in (200, 404)
    assert "location" not in answer.headers


def test_a_service_has_the_same_pages(served: Served) -> None:  # noqa: F811  pytest's fixture
    """What `quark ui` shows of a directory `quark serve` shows of a service, without a key for the document itself."""
    client: TestClient = served.client
    assert client.get("/r/some-run").content == assets()["index.html"].content
    assert client.get("/api/v1/runs").status_code == 401
