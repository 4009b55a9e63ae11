"""What nobody should send: refused with a 4xx, nothing stored, nothing reached outside."""

import gzip
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import zstandard
from litestar.testing import TestClient
from typer.testing import CliRunner

from quark.cli.entry import app
from quark.records.base import Origin
from quark.records.run import project_id
from quark.service import ServiceConfig, create_app
from quark.service.namespaces import Namespaces, namespace_label, remove_namespace
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line

from .conftest import Served
from .test_ingestion import ORIGIN, batch_of, send

PLACES = [
    "%2e%2e", "%2e%2e%2fx", "%252e%252e%252f", "..%2f..%2fx", "a%00b", "a%0ab", ".hidden", "..%2F..%2Fetc%2Fpasswd",
    "-x", "a b", "a;b", "a%5cb", "C%3A%5Cx", "~", "a" * 200, "%F0%9F%92%A9", "'%20OR%20'1'='1", "run-1%27--", "%25",
]  # fmt: skip
ROUTES_OF_A_RUN = [
    ("GET", "/api/v1/runs/{}"), ("GET", "/api/v1/runs/{}/overview"), ("GET", "/api/v1/runs/{}/records/event"),
    ("POST", "/api/v1/runs/{}/writers/w/records?first=0&stop=0"), ("GET", "/api/v1/runs/{}/writers/w"),
    ("PUT", "/api/v1/runs/{}/blobs/" + "0" * 64), ("PUT", "/api/v1/runs/run-1/blobs/{}"),
    ("GET", "/api/v1/runs/run-1/blobs/{}"),
    ("POST", "/api/v1/runs/run-1/writers/{}/records?first=0&stop=0"), ("GET", "/api/v1/runs/run-1/records/{}"),
    ("GET", "/api/v1/runs/run-1/artifacts/{}/payload"), ("DELETE", "/api/v1/keys/{}"),
]  # fmt: skip


def files_of(served: Served) -> set[str]:
    """Every file of the service, databases aside."""
    root = served.app.state.config.data_dir.parent
    return {os.fspath(path.relative_to(root)) for path in root.rglob("*") if "db" not in path.name}


@pytest.mark.parametrize("place", PLACES)
def test_no_part_of_a_path_leads_elsewhere(served: Served, place: str) -> None:
    """Ways upwards, encoded once and twice, foreign separators, NUL, what SQL reads: 4xx, and no file more."""
    send(served, batch_of(metric_lines(1)))
    before = files_of(served)
    for method, path in ROUTES_OF_A_RUN:
        answer = served.ask(method, path.replace("{}", place), content=b"x" if method == "PUT" else b"")
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
    assert files_of(served) == before
    assert [run["id"] for run in served.ask("GET", "/api/v1/runs").json()["runs"]] == ["run-1"]


BAD_NAMES = [
    "../../etc", "a/../b", "..", ".", "~", "~root/x", "\\\\host\\share", "a\tb", "a" * 5000, "/", "//", "a/./b",
    b"a\xe2\x80\xaeb", b"a\xc2\x85b", b"\xed\xa0\x80",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_namespace_is_a_name_and_no_place(served: Served, name: str | bytes) -> None:
    """The tricks with storage directories are refused, and nothing is made for them."""
    before = files_of(served)
    for method, path in (("GET", "/api/v1/runs"), ("POST", "/api/v1/runs/run-1/writers/w/records?first=0&stop=0")):
        answer = served.ask(method, path, headers={"X-Quark-Storage-Dir": name})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "bad_namespace"
    assert files_of(served) == before


@pytest.mark.parametrize(
    "name", ["/etc", "/etc/passwd", "C:\\x", "CON", "a" * 1000, "%2e%2e%2f", "nu ll", "ä/ö", "日本/À"]
)
def test_odd_names_are_names(served: Served, name: str) -> None:
    """What looks like a place is a label: its store lies where all lie, and is apart from the others."""
    headers = {"X-Quark-Storage-Dir": name.encode()}
    assert send(served, batch_of(metric_lines(1)), headers=headers).status_code == 200
    assert len(served.ask("GET", "/api/v1/runs", headers=headers).json()["runs"]) == 1
    assert served.ask("GET", "/api/v1/runs").json()["runs"] == []
    root = served.app.state.config.data_dir / "namespaces"
    assert (root / namespace_label(name) / "quark.db").exists()


def test_one_name_however_it_is_written() -> None:
    """Two spellings of one name are one namespace; two names never are."""
    assert namespace_label(" a//b/ ") == namespace_label("a/b") != namespace_label("/a/b")
    assert namespace_label("e\u0301") == namespace_label("\u00e9")
    assert namespace_label("A") != namespace_label("a")
    assert namespace_label(None) == namespace_label("") == namespace_label("default")


WRITES = [
    ("POST", "/api/v1/runs/run-1/heartbeat", {"interval_s": 1}), ("POST", "/api/v1/runs/run-1/stop", {}),
    ("DELETE", "/api/v1/runs/run-1", None), ("POST", "/api/v1/runs/run-1/restore", None), ("POST", "/api/v1/purge", {}),
    ("POST", "/api/v1/runs/run-1/writers/w/records?first=0&stop=0", None),
    ("PUT", "/api/v1/runs/run-1/blobs/" + "0" * 64, None), ("POST", "/api/v1/runs/run-1/restart", {}),
]  # fmt: skip


def test_who_only_reads_makes_no_namespace(served: Served) -> None:
    """A namespace that is not there answers like an empty one and is not there afterwards, whatever is asked of it."""
    before = files_of(served)
    for number in range(5):
        headers = {"X-Quark-Storage-Dir": f"new-{number}"}
        assert served.ask("GET", "/api/v1/runs", headers=headers).json() == {"runs": [], "next": None}
        assert served.ask("GET", "/api/v1/runs/run-1", headers=headers).json()["error"]["code"] == "run_not_found"
        for method, path, body in WRITES:
            answer = served.ask(method, path, headers=headers, json=body)
            assert answer.status_code in (200, 404, 422), (path, answer.text)
    assert len(files_of(served) - before) <= 3  # the one that stands in for all of them


def records(first: int, *items: Any) -> tuple[str, str, dict[str, Any]]:
    """A request that sends records from a number on."""
    batch = make_batch(ORIGIN, items, first)
    path = f"/api/v1/runs/run-1/writers/w/records?first={first}&stop={batch.stop}"
    return "POST", path, {"content": batch.data}


BLUEPRINT = "/api/v1/blueprint?project=mine"
REFUSED: dict[str, tuple[tuple[str, str, dict[str, Any]], int]] = {
    "a project that is not the key's": (records(0, start_line(ORIGIN)), 403),
    "records of no run": (records(0, *metric_lines(1)), 403),
    "a gap": (records(5, start_line(ORIGIN, project="mine")), 409),
    "a start of another run": (records(0, start_line(Origin("run-2", "w"), project="mine")), 422),
    "a line that is none": (("POST", records(0, *metric_lines(1))[1], {"content": b"{"}), 422),
    "a schema that is none": (("PUT", BLUEPRINT, {"json": {"blueprint": {"type": 1}}}), 422),
    "no blueprint": (("PUT", BLUEPRINT, {"json": {"blueprint": None}}), 200),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_makes_no_namespace(served: Served, what: str) -> None:
    """A namespace comes to be with what is stored in it: a request that stores nothing makes none."""
    (method, path, body), status = REFUSED[what]
    key, headers = served.new_key(["write"], ["mine"]), {"X-Quark-Storage-Dir": "wanted"}
    answer = served.ask(method, path, key=key, headers=headers, **body)
    assert answer.status_code == status, answer.text
    assert not served.app.state.namespaces.exists("wanted")
    assert send(served, batch_of([]), headers=headers).status_code == 200
    assert served.app.state.namespaces.exists("wanted")


@pytest.mark.parametrize(
    ("limit", "told"), [("max_namespaces", "quark namespaces remove"), ("max_namespaces_per_key", "this key")]
)
def test_namespaces_are_limited(served: Served, limit: str, told: str) -> None:
    """The service has so many, and a key so many of them: no key uses up those of the others."""
    object.__setattr__(served.app.state.config, limit, 2)
    other = served.new_key(["write"])
    assert send(served, batch_of([])).status_code == 200  # the default namespace is nobody's

    def made(name: str, key: str | None = None) -> Any:
        return send(served, batch_of([]), headers={"X-Quark-Storage-Dir": name}, key=key)

    answers = [made(f"n-{number}") for number in range(3 if limit == "max_namespaces_per_key" else 2)]
    assert [answer.status_code for answer in answers] == [200] * (len(answers) - 1) + [403]
    assert told in answers[-1].json()["error"]["message"]
    assert made("n-0").status_code == 200
    assert made("another", other).status_code == (403 if limit == "max_namespaces" else 200)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_namespace_is_removed(tmp_path: Path, database: str, request: pytest.FixtureRequest) -> None:
    """The command lists and removes namespaces; one that is removed is empty when it is used again."""
    url = f"sqlite:///{tmp_path}/quark.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    options = ["--db", url, "--data", str(tmp_path)]

    def use() -> list[str]:
        with TestClient(create_app(ServiceConfig.of(url, tmp_path))) as client:
            served = Served(client)
            headers = {"X-Quark-Storage-Dir": "team/a"}
            before = [run["id"] for run in served.ask("GET", "/api/v1/runs", headers=headers).json()["runs"]]
            assert send(served, batch_of([]), headers=headers).status_code == 200
            return before

    assert use() == []
    assert use() == ["run-1"]
    run = CliRunner().invoke(app, ["namespaces", "list", "--json", *options])
    assert "team/a" in json.loads(run.output)["namespaces"]
    assert CliRunner().invoke(app, ["namespaces", "remove", "team/a", "--yes", *options]).exit_code == 0
    assert "team/a" not in CliRunner().invoke(app, ["namespaces", "list", *options]).output
    assert use() == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_namespace_that_is_removed_while_it_is_used(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    """Whoever removes a namespace under a running service finds it empty there; nobody has to restart the service."""
    url = f"sqlite:///{tmp_path}/quark.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    headers = {"X-Quark-Storage-Dir": "team/a"}
    with TestClient(create_app(ServiceConfig.of(url, tmp_path))) as client:
        served = Served(client)
        for run_id in ("run-1", "run-2"):
            origin = Origin(run_id, "w")
            lines = [start_line(origin), *metric_lines(3)]
            send(served, make_batch(origin, lines), headers=headers).raise_for_status()
            found = served.ask("GET", "/api/v1/runs", headers=headers).json()["runs"]
            assert [run["id"] for run in found] == [run_id]
            remove_namespace(served.app.state.config, "team/a")
            assert served.ask("GET", "/api/v1/runs", headers=headers).json()["runs"] == []


def test_links_in_the_data_directory_are_not_followed(served: Served, tmp_path: Path) -> None:
    """Where somebody put a link instead of a directory or a payload, nothing is read or written through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "secret"
    secret.write_text("secret")
    namespaces = served.app.state.config.data_dir / "namespaces"
    (namespaces / namespace_label("linked")).parent.mkdir(parents=True, exist_ok=True)
    (namespaces / namespace_label("linked")).symlink_to(outside)
    assert send(served, batch_of([]), headers={"X-Quark-Storage-Dir": "linked"}).status_code >= 400
    linked = namespaces / namespace_label("half")
    linked.mkdir()
    (linked / "quark.db").symlink_to(outside / "new.db")
    assert send(served, batch_of([]), headers={"X-Quark-Storage-Dir": "half"}).status_code >= 500
    send(served, batch_of([]))
    files = served.app.state.namespaces.files(None)
    (files / "partial").mkdir(parents=True)
    (files / "partial" / f"{project_id('digits')}-{'1' * 64}").symlink_to(secret)
    assert served.ask("PUT", f"/api/v1/runs/run-1/blobs/{'1' * 64}", content=b"x").status_code >= 400
    assert (secret.read_text(), sorted(os.listdir(outside))) == ("secret", ["secret"])


@pytest.mark.parametrize("place", ["blobs", "blobs/11", "blobs/partial", "blobs/of"])
def test_linked_directories_are_not_followed(served: Served, tmp_path: Path, place: str) -> None:
    """The same for the directories of payloads: nothing is written or read through a link, and the client may retry."""
    outside = tmp_path / "outside"
    outside.mkdir()
    send(served, batch_of([])).raise_for_status()
    link = served.app.state.namespaces.files(None).parent / place
    if link.is_dir():
        link.rmdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    payload = b"payload"
    digest = next(found for n in range(10_000) if (found := sha256(payload + b"%d" % n).hexdigest())[:2] == "11")
    content = next(payload + b"%d" % n for n in range(10_000) if sha256(payload + b"%d" % n).hexdigest() == digest)
    answer = served.ask("PUT", f"/api/v1/runs/run-1/blobs/{digest}", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "linked")
    assert os.listdir(outside) == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_bombs(served: Served, pack: Any) -> None:
    """A gigabyte of nothing, packed once and twice: 413 or 422 before it is unpacked."""
    encoding = "gzip" if pack is gzip.compress else "zstd"
    bomb = pack(bytes(1 << 30))
    assert send(served, batch_of([]), content=bomb, headers={"Content-Encoding": encoding}).status_code == 413
    twice = send(served, batch_of([]), content=pack(bomb), headers={"Content-Encoding": encoding})
    assert twice.status_code == 422
    assert served.ask("GET", "/api/v1/runs").json()["runs"] == []


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x" * 1000, "zstd;q=1"])
def test_unknown_encodings(served: Served, encoding: str) -> None:
    """415, and what is taken."""
    answer = send(served, batch_of([]), headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, zstd"


def test_bodies_that_are_too_large(served: Served) -> None:
    """413 for records as for everything else, whether the length is told or not."""
    object.__setattr__(served.app.state.config, "max_body", 1000)
    for body in (b"x" * 2000, iter([b"x" * 600] * 4)):
        answer = send(served, batch_of([]), content=body)
        assert (answer.status_code, answer.json()["error"]["limit"]) == (413, 1000)
    assert served.ask("POST", "/api/v1/keys", content=b'"' + b"x" * (2 << 20)).status_code == 413


DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '{"name": 1}', '{"name":"a","extra":1}', DEEP, '{"name":"\\ud800"}']
)
def test_malformed_and_deep_json(served: Served, body: str) -> None:
    """4xx for every body that is not what its route asks for."""
    answer = served.ask("POST", "/api/v1/keys", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert len(served.ask("GET", "/api/v1/keys").json()["keys"]) == 1


@pytest.mark.parametrize("field", ["where", "config"])
@pytest.mark.parametrize(
    "text", ["{", "[]", "1", '{"a":' * 2000 + "1" + "}" * 2000, '{"no_such_field":1}', '{"a\' OR 1=1 --":1}']
)
def test_queries_that_are_no_filter(served: Served, field: str, text: str) -> None:
    """A filter is a JSON object of known fields."""
    send(served, batch_of([event_line("a")]))
    path = "/api/v1/runs/run-1/records/event" if field == "where" else "/api/v1/runs"
    answer = served.ask("GET", path, params={field: text})
    if field == "config" and answer.status_code == 200:
        assert answer.json()["runs"] == []  # a path that no run has
    else:
        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "text", ["%", "_", "run%", "r_n", "' OR '1'='1", "x'; DROP TABLE runs; --", "\\", "*", "name-1%"]
)
def test_what_sql_reads_is_text_here(served: Served, text: str) -> None:
    """In filters every character stands for itself, and an order is one of the known ones."""
    for number, name in enumerate(["name-1", "name_1", text]):
        origin = Origin(f"run-{number}", "w")
        send(served, make_batch(origin, [start_line(origin, name=name)]))
    for parameter in ("name", "project", "tag", "status"):
        answer = served.ask("GET", "/api/v1/runs", params={parameter: text})
        found = [run["name"] for run in answer.json().get("runs", [])]
        assert found == ([text] if parameter == "name" else [])
    assert served.ask("GET", "/api/v1/runs", params={"sort": text}).status_code in (400, 422)
    assert len(served.ask("GET", "/api/v1/runs").json()["runs"]) == 3


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "9" * 30, "", "0x1", str(2**63)])
@pytest.mark.parametrize("field", ["step", "epoch_min", "limit", "after"])
def test_numbers_that_are_none(served: Served, field: str, value: str) -> None:
    """A bound that is no number, or too large a one, is refused by its name."""
    send(served, batch_of([event_line("a")]))
    answer = served.ask("GET", "/api/v1/runs/run-1/records/event", params={field: value})
    if field == "after" and value.isdigit():
        assert answer.status_code in (200, 400)
    else:
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == field


def test_no_header_is_made_of_what_was_sent(served: Served) -> None:
    """Line breaks in paths, queries and names of runs end up in no header."""
    origin = Origin("run-1", "w")
    send(served, make_batch(origin, [start_line(origin, name="a\r\nSet-Cookie: x=1")]))
    for path in (
        "/api/v1/runs/run-1",
        "/api/v1/runs?name=" + quote("a\r\nSet-Cookie: x=1"),
        "/x%0d%0aSet-Cookie:%20x=1",
    ):
        answer = served.ask("GET", path)
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_namespace_is_opened_once(served: Served) -> None:
    """Asked for again it is the same store."""
    namespaces: Namespaces = served.app.state.namespaces
    assert namespaces.store("x", maker="k") is namespaces.store(" x/")


@pytest.mark.parametrize("number", ["rank", "attempt"])
def test_what_a_database_has_no_place_for_is_refused(served: Served, number: str) -> None:
    """Ranks and attempts have 32 bits everywhere: SQLite would take more, and nobody could read the series then."""
    origin = Origin("large", "w")
    batch = make_batch(origin, [start_line(origin), *metric_lines(2)])
    path = "/api/v1/runs/large/writers/w/records"
    query = {"first": 0, "stop": batch.stop}
    answer = served.ask("POST", path, params={**query, number: 2**31}, content=batch.data)
    assert answer.status_code == 400, answer.text
    assert served.ask("GET", "/api/v1/runs/large").status_code == 404
    assert served.ask("POST", path, params={**query, number: 2**31 - 1}, content=batch.data).status_code == 200
    assert served.ask("GET", "/api/v1/runs/large/series?key=train/loss").json()["length"] == 2


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_name_that_no_project_has_is_refused(served: Served, name: str) -> None:
    """For good, with 422 and the line: "try again" would keep a client at it for ever."""
    origin = Origin("named", "w")
    body = msgspec.json.decode(start_line(origin).body)
    body["project"]["name"] = name
    batch = make_batch(origin, [run_line("start", body)])
    path = f"/api/v1/runs/named/writers/w/records?first=0&stop={batch.stop}"
    answer = served.ask("POST", path, content=batch.data)
    assert (answer.status_code, answer.json()["error"]["index"]) == (422, 0)


@pytest.mark.parametrize("name", ["a\0b", "a\x1b[31m", "a\nb"])
def test_the_name_of_a_key_can_be_printed(served: Served, name: str) -> None:
    """Control characters are refused on every database, not called a fault of the service on one of them."""
    assert served.ask("POST", "/api/v1/keys", json={"name": name}).status_code == 422
