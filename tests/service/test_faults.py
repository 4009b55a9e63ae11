"""Whose fault it is: the client's are 4xx on both databases alike, the disk's 503 and 507; no error tells a secret."""

import errno
import itertools
import json
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from sqlalchemy.exc import OperationalError

from quark.client.connection import Connection
from quark.errors import ConfigurationError, SessionStoreError
from quark.service import ServiceConfig, create_app
from quark.service.keys import KeyStore
from quark.service.problems import problem_of
from quark.storage import SqlStore
from quark.testing import event_line, metric_lines

from ..postgres import new_database
from .conftest import Served
from .test_ingestion import batch_of, send

LONG = "9" * 4000


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[list[Served]]:
    """The same run in a service over each database, made once for all tests here: they only read and refuse."""
    with ExitStack() as stack:
        postgres = stack.enter_context(new_database(postgres_server))
        urls = [f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/quark.db", postgres]
        made = []
        for url in urls:
            app = create_app(ServiceConfig.of(url, tmp_path_factory.mktemp("data")))
            served = Served(stack.enter_context(TestClient(app)))
            lines = [event_line("a", payload={"n": 1, "b": True}, step=1), *metric_lines(3), event_line("b", "error")]
            assert send(served, batch_of(lines)).status_code == 200
            made.append(served)
        yield made


VALUES = [
    "1", "1.0", "true", "false", "null", '"a"', '"1"', '"true"', "[1]", "[[1]]", "[[]]", "[]", '{"n":1}', "{}", "1e300",
    "-1", "9223372036854775808", LONG, f"[{LONG}]", f'{{"a":{LONG}}}', r'"\u0000"', '"w-2"', '["info", 1, true]',
]  # fmt: skip
FIELDS = [
    ("event", name) for name in ("severity", "event_type", "payload", "status", "id", "rank", "attempt", "sequence")
]
FIELDS += [("metric", name) for name in ("metric_key", "rank", "attempt", "writer_id")]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_both_databases_compare_alike(both: list[Served], kind: str, field: str) -> None:
    """Whatever type a value has: the same status, the same records, and never a fault of the service."""
    for value in VALUES:
        answers = [
            served.ask("GET", f"/api/v1/runs/run-1/records/{kind}", params={"where": f'{{"{field}":{value}}}'})
            for served in both
        ]
        assert answers[0].status_code == answers[1].status_code < 500, (value[:50], [a.text for a in answers])
        found = [[record["sequence"] for record in answer.json().get("records", [])] for answer in answers]
        assert found[0] == found[1], value[:50]
        if value == "true" and field in ("rank", "attempt"):
            assert found[0] == []


EVENTS, METRICS = "/api/v1/runs/run-1/records/event", "/api/v1/runs/run-1/records/metric"
QUERIES = [
    ("/api/v1/runs", query)
    for query in (
        {"after": "W10="}, {"name": "a\0b"}, {"project": "\0"}, {"started_after": "9999-12-31T00:00:00Z"},
        {"started_before": "0001-01-01T00:00:00Z"}, {"started_after": "0001-01-01T00:00:00+23:00"},
        {"config": f'{{"a":{LONG}}}'},
    )
]  # fmt: skip
QUERIES += [(path, {"after": after}) for path in (EVENTS, METRICS) for after in (str(10**30), "9" * 60)]
QUERIES += [(f"/api/v1/runs/run-1/blobs/{'0' * 64}%0a", {})]


@pytest.mark.parametrize(("path", "query"), QUERIES)
def test_queries_that_no_database_can_answer(both: list[Served], path: str, query: dict[str, str]) -> None:
    """Cursors, names and times out of range: the same answer of both, and no fault of the service."""
    answers = [served.ask("GET", path, params=query).status_code for served in both]
    assert answers[0] == answers[1] < 500


def test_cursors_of_lists_are_checked(both: list[Served]) -> None:
    """A cursor that somebody made up names no place: 400."""
    from base64 import urlsafe_b64encode

    for value, pk in itertools.product((10**30, "x", -(10**30), 1), (10**30, -(10**30))):
        cursor = urlsafe_b64encode(json.dumps(["started_at", True, value, pk]).encode()).decode()
        answers = [served.ask("GET", "/api/v1/runs", params={"after": cursor}) for served in both]
        assert [answer.status_code for answer in answers] == [400, 400]


@pytest.mark.parametrize("kind", ["event", "unknown", "run", "metric", "layer"])
def test_integers_of_thousands_of_digits(both: list[Served], kind: str) -> None:
    """No number of a line is the service's fault; one that cannot be stored refuses its batch with its index."""
    body = f'"body":{{"event_type":"x","severity":"info","payload":{{"a":{LONG}}},"run":{LONG}}}'
    metric = f'"metric_key":"a","value":1,"metadata":{{"a":{LONG}}}'
    line = f'{{"kind":"{kind}","sequence":0,"time":1,"step":1,{metric},{body}}}'
    for served in both:
        path = f"/api/v1/runs/run-{kind}/writers/w/records?first=0&stop=1"
        answer = served.ask("POST", path, content=line.encode())
        assert answer.status_code in (200, 422), answer.text
        assert answer.status_code == 200 or answer.json()["error"]["index"] == 0


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EROFS, 503), (errno.ELOOP, 503), (errno.EMFILE, 503)],
)
def test_a_disk_that_does_not_take_it(number: int, status: int) -> None:
    """Whatever part of the service writes: the client is told to come again, and nothing of our paths."""
    told = problem_of(OSError(number, os.strerror(number), "/srv/secret"))
    assert (told.status, "/srv" in str(told)) == (status, False)
    assert told.headers["Retry-After"] == "1"


def test_a_full_disk_is_told_without_the_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a key on a full disk says so, and shows neither SQL nor the key's digest. The disk is not really full."""
    keys = KeyStore(f"sqlite:///{tmp_path}/service.db")

    def full(*_: Any) -> None:
        raise OperationalError("INSERT INTO service_keys", {"digest": "d1gest"}, Exception("database or disk is full"))

    monkeypatch.setattr(keys._engine, "begin", full)
    with pytest.raises(SessionStoreError, match="disk is full") as caught:
        keys.create("n")
    assert caught.value.code == "disk_full"
    assert not any(word in str(caught.value) for word in ("INSERT", "d1gest"))
    keys.close()


def test_the_database_of_the_keys_is_private(tmp_path: Path) -> None:
    """Nobody but its owner reads who has keys, whatever the umask."""
    before = os.umask(0o022)
    try:
        KeyStore(f"sqlite:///{tmp_path}/service.db").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "service.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "host=h password=PW user=u",
        "postgresql:/u:PW@h/db",
        "postgresql:u:PW@h",
        "u:PW@h/db",
        "mysql://u:PW@h/db",
        "PW",
        "password = PW",
    ],
)
def test_no_password_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What cannot be used may hold a password: it is described, not shown, and no file gets its name."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        ServiceConfig.of(text)
    assert "PW" not in str(caught.value)
    if text not in ("PW", "u:PW@h/db"):  # these are paths
        with pytest.raises(ConfigurationError) as caught:
            SqlStore(text)
        assert "PW" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://u:PW@h",
        "ftp://u:PW@h",
        "http://u:P/PW@h:1",
        "u:PW@h",
        "http://h:port?token=PW",
        "https://PW@h",
        "http://u:PW@[h",
    ],
)
def test_no_password_in_the_error_of_an_address(url: str) -> None:
    """The same for the address of a service."""
    with pytest.raises(ConfigurationError) as caught:
        Connection(url)
    assert "PW" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_database_that_is_gone(served: Served, change: str) -> None:
    """A database that is deleted while it serves takes nothing any more: 503, until the file is back."""
    assert send(served, batch_of(metric_lines(2))).status_code == 200
    path = served.app.state.namespaces.store(None).path
    path.rename(path.with_name("kept"))
    if change == "replaced":
        path.touch()
    answers = [send(served, batch_of(metric_lines(2, first_step=5), 3)), served.ask("GET", "/api/v1/runs/run-1")]
    assert [answer.status_code for answer in answers] == [503, 503]
    path.unlink(missing_ok=True)
    path.with_name("kept").rename(path)
    assert send(served, batch_of(metric_lines(2, first_step=5), 3)).json() == {"next": 5}
    assert served.ask("GET", "/api/v1/runs/run-1/overview").json()["counts"] == {"metric": 4}


def test_a_client_is_told_of_numbers_that_are_too_large() -> None:
    """An integer that no float holds is refused like infinity, and never as an error of Python's own."""
    from fractions import Fraction

    from quark import SchemaValidationError
    from quark.records.grammar import check_index, check_json

    for value in (10**4000, -(10**5000), Fraction(10**400), float("inf")):
        with pytest.raises(SchemaValidationError, match=r"payload\.a must be finite"):
            check_json({"a": value}, "payload")
    with pytest.raises(SchemaValidationError, match="step must be between"):
        check_index(10**5000, "step")
