"""A request pays for what it becomes: its decoded objects, the records that it reads, its answer."""

from typing import Any

import msgspec
import pytest
import zstandard

from quark.records.base import Origin
from quark.records.limits import MAX_ANNOTATION_BYTES, MAX_ELEMENTS, MAX_RECORD_BYTES
from quark.records.line import Line
from quark.service import costs
from quark.service.ingest import MOST_ACTIONS
from quark.service.room import PAGE_BYTES
from quark.storage import SqlStore
from quark.storage.lifecycle import MAX_TAGS
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line

from .conftest import Served
from .test_ingestion import batch_of, send

ORIGIN = Origin("run-1", "w")
HUGE = MAX_RECORD_BYTES // 2


def event(payload: bytes) -> bytes:
    """The line of an event with a payload."""
    body = b'{"event_type":"x","severity":"info","payload":%s}' % payload
    return b'{"kind":"event","sequence":0,"time":1,"label":"x","body":%s}\n' % body


def everything(served: Served, path: str, name: str, **query: Any) -> list[Any]:
    """All pages of a list, however short they are."""
    found: list[Any] = []
    after: dict[str, Any] = {}
    while True:
        page = served.ask("GET", path, params={**query, **after}).json()
        found += page[name]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def many(element: bytes, count: int = MAX_ELEMENTS + 1) -> bytes:
    """A JSON list in an object."""
    return b'{"m":[' + b",".join([element] * count) + b"]}"


def post(served: Served, data: bytes, stop: int = 1, **more: Any) -> Any:
    """A batch as it comes from a stranger."""
    packed = zstandard.ZstdCompressor().compress(data)
    headers = {"Content-Encoding": "zstd"}
    path = f"/api/v1/runs/run-1/writers/w/records?first=0&stop={stop}"
    return served.ask("POST", path, content=packed, headers=headers, **more)


@pytest.mark.parametrize("element", [b"[]", b"{}", b'{"":0}', b"0", b'"ab"', b"[[[]]]", b"null", b'"\\",["'])
def test_one_record_of_too_many_values(served: Served, element: bytes) -> None:
    """A few kilobytes that unpack to millions of objects are refused before one of them is made."""
    answer = post(served, event(many(element)))
    assert (answer.status_code, answer.json()["error"]["index"]) == (422, 0)
    assert str(MAX_ELEMENTS) in answer.json()["error"]["message"]
    assert served.ask("GET", "/api/v1/runs/run-1").status_code == 404


def test_one_record_that_is_too_large(served: Served) -> None:
    """One string may be as long as a record may be large; separators within a string are no values."""
    assert post(served, event(b'{"m":"%s"}' % (b"[,{" * (HUGE // 3)))).status_code == 200
    answer = post(served, event(b'{"m":"%s"}' % (b"x" * MAX_RECORD_BYTES)))
    assert (answer.status_code, answer.json()["error"]["index"]) == (422, 0)
    assert str(MAX_RECORD_BYTES) in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["metric", "metrics", "run", "event", "unknown-kind"])
def test_a_batch_that_becomes_too_much(served: Served, kind: str) -> None:
    """Records that are small enough one by one are refused with 413 together: their sender halves the batch."""
    line = b'{"kind":"%s","sequence":%d,"time":1,"step":1,"metric_key":"a","value":1,"values":{"a":1},"metadata":%s}\n'
    data = b"".join(line % (kind.encode(), number, many(b"[]", 100_000)) for number in range(7))
    answer = post(served, data, 7)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert served.app.state.room.free == served.app.state.config.max_memory


def test_annotations_of_a_metric(served: Served) -> None:
    """A metric is no place for documents: there are too many metrics."""
    line = Line("metric", 0, 1, 1, None, "a", 1.0, metadata={"m": "x" * MAX_ANNOTATION_BYTES})
    answer = send(served, make_batch(ORIGIN, [line]))
    assert (answer.status_code, answer.json()["error"]["index"]) == (422, 0)


def test_a_batch_of_many_actions(served: Served) -> None:
    """Tags by the hundred thousand are refused in one batch, and a run has so many tags at most."""
    tags = [run_line("tag", {"tag": f"t{number}"}) for number in range(MAX_TAGS + 5)]
    assert send(served, make_batch(ORIGIN, tags)).status_code == 413
    assert MOST_ACTIONS == MAX_TAGS
    assert send(served, make_batch(ORIGIN, [start_line(ORIGIN), *tags[:900]])).status_code == 200
    answer = send(served, make_batch(ORIGIN, tags[900:], 901))
    assert (answer.status_code, answer.json()["error"]["index"]) == (422, MAX_TAGS - 900)


@pytest.mark.parametrize("data", [b"", b'{"a":[1,2,{}]}' * 10_000, "é[,".encode() * 70_000, b"x" * 65_537, b"[{,}]"])
def test_what_is_counted(data: bytes) -> None:
    """Lines and single texts are counted alike, however long they are."""
    text = data.decode()
    expected = (len(data) if data.isascii() else 4 * len(data)) + 100 * (text.count("[") + text.count("{"))
    assert costs.decoded_bytes(data) == expected + 48 * text.count(",")
    if data.isascii():
        assert costs.decoded_text(text) == costs.decoded_bytes(data)


def test_honest_batches_fit(served: Served) -> None:
    """A segment of a journal, eight mebibytes of metrics, is not too much at once."""
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in metric_lines(1000))
    assert costs.decoded_bytes(data) * ((8 << 20) / len(data)) < served.app.state.config.max_memory / 4


def test_pages_of_large_records(served: Served) -> None:
    """A page ends before it holds too much, and the next one goes on behind it; nothing is left out."""
    lines = [event_line("x", payload={"m": "x" * 300_000}) for _ in range(20)]
    send(served, batch_of(lines))
    path = "/api/v1/runs/run-1/records/event"
    first = served.ask("GET", path, params={"limit": 1000}).json()
    assert 0 < len(first["records"]) <= PAGE_BYTES // 300_000
    assert len(everything(served, path, "records", limit=1000)) == 20


@pytest.mark.parametrize("filters", [{}, {"config": '{"n": 1}'}])
def test_pages_of_large_runs(served: Served, filters: dict[str, str]) -> None:
    """The same for runs with large configurations, whether they are chosen by them or not."""
    for number in range(12):
        origin = Origin(f"run-{number:02}", "w")
        body = msgspec.json.decode(start_line(origin).body)
        body["run"]["config"] = {"n": number % 2, "text": "x" * 500_000}
        assert send(served, make_batch(origin, [run_line("start", body)])).status_code == 200
    first = served.ask("GET", "/api/v1/runs", params={"limit": 1000, **filters}).json()
    assert 0 < len(first["runs"]) <= PAGE_BYTES // 500_000
    found = everything(served, "/api/v1/runs", "runs", limit=5, sort="id", **filters)
    assert [run["id"] for run in found] == [f"run-{number:02}" for number in range(12) if not filters or number % 2]


READS = ["/api/v1/runs", "/api/v1/runs/run-1", "/api/v1/runs/run-1/records/event", "/api/v1/runs/run-1/records/metric",
         "/api/v1/runs/run-1/overview", "/api/v1/runs/run-1/series?key=train/loss",
         "/api/v1/runs/run-1/chart?key=train/loss"]  # fmt: skip


@pytest.mark.parametrize("path", READS)
def test_answers_take_room(served: Served, path: str) -> None:
    """What an answer needs is taken from the memory of all requests and given back; 503 if there is none."""
    metric = Line("metric", 0, 1, 1, None, "train/loss", 1.0, metadata={"a": "b" * 100})
    send(served, batch_of([event_line("x", payload={"m": "x" * 1000}), metric])).raise_for_status()
    room = served.app.state.room
    room.take("others", room.free - 50)
    answer = served.ask("GET", path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    room.leave("others")
    assert served.ask("GET", path).status_code == 200
    assert room.free == served.app.state.config.max_memory


@pytest.mark.parametrize(
    ("method", "path"),
    [("stretch", "/series?key=train/loss"), ("chart", "/chart?key=train/loss"), ("latest", "/overview")],
)
def test_points_take_room_before_they_are_read(
    served: Served, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """An answer for which there is no room is not made to find that out."""
    send(served, batch_of(metric_lines(1000))).raise_for_status()
    made: list[str] = []
    before = getattr(SqlStore, method)
    monkeypatch.setattr(SqlStore, method, lambda *args, **named: made.append(method) or before(*args, **named))
    room = served.app.state.room
    room.take("others", room.free - 50_000)
    assert served.ask("GET", f"/api/v1/runs/run-1{path}").status_code == 503
    assert made == []
    room.leave("others")
    assert served.ask("GET", f"/api/v1/runs/run-1{path}").status_code == 200
    assert made == [method]


def test_more_points_than_there_is_room(served: Served) -> None:
    """A series that is larger than the room is served alone, so that none is too long to be read."""
    send(served, batch_of(metric_lines(1000))).raise_for_status()
    object.__setattr__(served.app.state.config, "max_memory", 20_000)
    served.app.state.room.free = 20_000
    assert served.ask("GET", "/api/v1/runs/run-1/series?key=train/loss").json()["length"] == 1000
    assert served.app.state.room.free == 20_000


def test_filters_pay_for_what_they_decode(served: Served) -> None:
    """Configurations that are looked into take room, also those that do not match: as much as the largest of them."""
    for number in range(3):
        origin = Origin(f"run-{number}", "w")
        body = msgspec.json.decode(start_line(origin).body)
        body["run"]["config"] = {"n": number, "values": [0] * 10_000}
        assert send(served, make_batch(origin, [run_line("start", body)])).status_code == 200
    room = served.app.state.room
    room.take("others", room.free - 100_000)
    assert served.ask("GET", "/api/v1/runs", params={"config": '{"n": 7}'}).status_code == 503
    room.leave("others")
    room.take("others", room.free - 600_000)
    assert served.ask("GET", "/api/v1/runs", params={"config": '{"n": 7}'}).json() == {"runs": [], "next": None}
    room.leave("others")
    assert room.free == served.app.state.config.max_memory
