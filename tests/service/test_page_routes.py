"""What a page asks a service for: charts, tables, live events, edits, views."""

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from quark.records.base import Origin
from quark.service import ServiceConfig, stream
from quark.service.columns import MEDIA, packed
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line, wide_lines

from .conftest import Served
from .serving import Threaded


def send(served: Served, run_id: str, items: list[Any], first: int = 0) -> None:
    """Records of the one process of a run."""
    batch = make_batch(Origin(run_id, "w"), items, first)
    path = f"/api/v1/runs/{run_id}/writers/w/records"
    query = {"first": first, "stop": batch.stop}
    served.ask("POST", path, params=query, content=batch.data).raise_for_status()


@pytest.fixture
def filled(served: Served) -> Served:
    """Three runs: two of the project digits, one of another."""
    for run_id, project in (("run-1", "digits"), ("run-2", "digits"), ("run-3", "other")):
        lost = event_line("metric_nonfinite", "error", {"key": "train/loss", "value": "nan"}, step=70)
        send(
            served, run_id, [start_line(Origin(run_id, "w"), project=project), *metric_lines(100), *wide_lines(3), lost]
        )
    return served


CHARTS = {"runs": ["run-1", "run-3", "run-none"], "keys": ["train/loss", "none"], "buckets": 10}


def test_charts_of_many_runs(filled: Served) -> None:
    """Run by run and key by key, in the order asked for; what a key may not see is as what is not there."""
    charts = filled.ask("POST", "/api/v1/charts", json=CHARTS).json()["charts"]
    assert [(chart["run"], chart["key"], chart["count"]) for chart in charts] == [
        ("run-1", "train/loss", 103), ("run-1", "none", 0), ("run-3", "train/loss", 103), ("run-3", "none", 0),
        ("run-none", "train/loss", 0), ("run-none", "none", 0),
    ]  # fmt: skip
    first = charts[0]
    assert (first["max"][0], sum(first["n"]), first["nonfinite"]) == (
        1.0,
        103,
        [{"x": 70.0, "step": 70, "kind": "nan"}],
    )
    assert (first["axis"], first["restarts"], first["nonfinite_count"]) == ("step", [], 1)
    limited = filled.new_key(["read"], ["digits"])
    hidden = filled.ask("POST", "/api/v1/charts", key=limited, json=CHARTS).json()["charts"]
    assert {**hidden[2], "run": "run-none"} == {**hidden[4]} and hidden[0] == first
    group = {"groups": [{"name": "g", "runs": ["run-1", "run-3", "run-1"]}], "keys": ["train/loss"], "buckets": 1000}
    for key, runs in ((None, 2), (limited, 1)):
        (chart,) = filled.ask("POST", "/api/v1/charts/groups", key=key, json=group).json()["charts"]
        assert (chart["name"], chart["runs"], chart["n"]) == ("g", runs, [runs] * len(chart["x"]))


def test_charts_as_columns(filled: Served) -> None:
    """The binary answer holds the numbers of the JSON one, each column aligned for typed arrays."""
    told = filled.ask("POST", "/api/v1/charts", json=CHARTS).json()["charts"]
    answer = filled.ask("POST", "/api/v1/charts", json=CHARTS, headers={"Accept": f"{MEDIA}, application/json;q=0.5"})
    assert answer.headers["content-type"] == MEDIA
    assert [read for read, _ in unpack(answer.content)] == [
        {name: value for name, value in chart.items() if name not in ("x", "mean", "min", "max", "n")} for chart in told
    ]
    for (_, columns), chart in zip(unpack(answer.content), told, strict=True):
        for name, column in columns.items():
            assert column.tolist() == pytest.approx(chart[name], rel=1e-6)


def unpack(data: bytes) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Charts out of binary columns, as a page reads them."""
    (length,) = struct.unpack_from("<I", data)
    at, made = 4 + length, []
    assert at % 8 == 0
    for chart in msgspec.json.decode(data[4:at])["charts"]:
        columns = {}
        count = chart.pop("length")
        for name, kind in chart.pop("types").items():
            columns[name] = np.frombuffer(data, f"<{kind}", count, at)
            at += -(-columns[name].nbytes // 8) * 8
        made.append((chart, columns))
    assert at == len(data)
    return made


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1.0, 2.0], "f4"), ([1e9, 1e9 + 1], "f8"), ([1e300, -1e300], "f8"), ([0.1, 0.1], "f8"), ([0.0, 0.0], "f4")],
)
def test_columns_are_as_fine_as_their_range(values: list[float], kind: str) -> None:
    """float32 only where a picture of it is the same; infinity is never made of a number."""
    ((about, columns),) = unpack(packed([({"a": 1}, {"x": np.array([1.0, 2.0]), "mean": np.array(values)})]))
    assert about == {"a": 1} and columns["x"].dtype == "<f8"
    assert columns["mean"].dtype == f"<{kind}" and columns["mean"].tolist() == pytest.approx(values, rel=1e-7)


@pytest.mark.parametrize("wrong", [
    {"buckets": 0}, {"buckets": 4001}, {"runs": []}, {"keys": []}, {"axis": ""}, {"min": 2, "max": 1},
    {"runs": ["a b"]},
    {"keys": ["k"] * 700}, {"keys": ["k"] * 200, "buckets": 4000}, {"min": "x"}, {"more": 1},
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(filled: Served, wrong: dict[str, Any]) -> None:
    """Too much at once, or what makes no sense: a fault of the client, in words."""
    for path, body in (
        ("/api/v1/charts", {**CHARTS, **wrong}),
        ("/api/v1/charts/groups", {"keys": ["k"], **wrong, "groups": [{"name": "g", "runs": ["run-1"] * 3}]}),
    ):
        if path.endswith("groups") and "runs" in wrong:
            continue
        body = {name: value for name, value in body.items() if not (path.endswith("groups") and name == "runs")}
        answer = filled.ask("POST", path, json=body)
        assert answer.status_code in (400, 422) and answer.json()["error"]["message"]


def test_a_table_of_runs(filled: Served) -> None:
    """Columns, order and pages; only the runs of the key's projects; a query that is none is the client's fault."""
    wanted = {
        "query": "status:running max:train/loss>0.5",
        "columns": ["lr", "min:train/loss"],
        "sort": "-id",
        "limit": 2,
    }
    page = filled.ask("POST", "/api/v1/runs/query", json=wanted).json()
    assert [run["id"] for run in page["runs"]] == ["run-3", "run-2"]
    assert page["runs"][0]["columns"] == {"lr": 0.1, "min:train/loss": 0.01}
    assert page["runs"][0]["steps"] == {"min:train/loss": 99}
    rest = filled.ask("POST", "/api/v1/runs/query", json={**wanted, "cursor": page["next"]}).json()
    assert ([run["id"] for run in rest["runs"]], rest["next"]) == (["run-1"], None)
    limited = filled.new_key(["read"], ["other"])
    seen = filled.ask("POST", "/api/v1/runs/query", key=limited, json={}).json()["runs"]
    assert [run["id"] for run in seen] == ["run-3"]
    listed = filled.ask("GET", "/api/v1/runs", params={"where": "project:other", "select": ["id"]}).json()["runs"]
    assert listed == [{"id": "run-3"}]
    for wrong in ({"query": "a:b"}, {"columns": ["best:lr"]}, {"sort": "best:lr"}, {"cursor": "x"}, {"limit": 0}):
        assert filled.ask("POST", "/api/v1/runs/query", json=wrong).status_code in (400, 422)


def test_a_run_may_be_called_query(served: Served) -> None:
    """The route of tables hides no run."""
    send(served, "query", [start_line(Origin("query", "w")), run_line("end", {"status": "completed"})])
    assert served.ask("GET", "/api/v1/runs/query").json()["id"] == "query"
    assert served.ask("PATCH", "/api/v1/runs/query", json={"name": "q"}).json()["name"] == "q"
    assert served.ask("DELETE", "/api/v1/runs/query").status_code == 204


def test_edits(filled: Served) -> None:
    """Name, tags and notes, all or nothing; the run's events hold every note that was ever there."""
    path = "/api/v1/runs/run-1"
    made = filled.ask("PATCH", path, json={"name": "n", "notes": "one", "tags": {"add": ["a", "b"]}}).json()
    assert (made["name"], made["tags"]) == ("n", ["a", "b"])
    made = filled.ask("PATCH", path, json={"name": None, "notes": "two", "tags": {"remove": ["a"]}}).json()
    assert (made["name"], made["tags"]) == (None, ["b"])
    assert filled.ask("PATCH", path, json={}).json() == made
    for wrong in ({"tags": {"add": [" "]}, "name": "x"}, {"notes": ""}, {"status": "failed"}, {"name": "x" * 5000}):
        assert filled.ask("PATCH", path, json=wrong).status_code in (400, 422)
    assert filled.ask("GET", path).json() == made
    notes = filled.ask("GET", f"{path}/records/event", params={"where": '{"event_type": "note"}'}).json()["records"]
    assert [note["payload"]["text"] for note in notes] == ["one", "two"]
    assert notes[-1]["payload"]["replaces"] is True


def test_views_of_a_project(filled: Served) -> None:
    """Kept under a name, listed, replaced, removed; a key for another project learns nothing."""
    path, query = "/api/v1/views/mine", {"project": "digits"}
    assert filled.ask("GET", path, params=query).status_code == 404
    for content in ({"charts": ["a"]}, {"charts": ["b"]}):
        assert filled.ask("PUT", path, params=query, json={"content": content}).json() == {"content": content}
    assert filled.ask("GET", path, params=query).json()["content"] == {"charts": ["b"]}
    assert [view["name"] for view in filled.ask("GET", "/api/v1/views", params=query).json()["views"]] == ["mine"]
    large = {"content": {"a": "x" * 16_384}}
    assert filled.ask("PUT", path, params=query, json=large).status_code == 422
    limited = filled.new_key(["write"], ["other"])
    for method in ("GET", "PUT", "DELETE"):
        assert filled.ask(method, path, key=limited, params=query, json={"content": {}}).status_code == 404
    assert filled.ask("DELETE", path, params=query).status_code == 204
    assert filled.ask("DELETE", path, params=query).status_code == 404


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Threaded]:
    """A service on a socket that looks for changes often."""
    monkeypatch.setattr(stream, "LOOK_S", 0.05)
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(stream, "MOST_OF_A_KEY", 2)
    made = Threaded(ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db"))
    yield made
    made.close()


def test_live_events(live: Threaded) -> None:
    """What is written is told while it happens; a stream that is idle is kept alive, and one too many is refused."""
    start = [start_line(Origin("run-1", "w"))]
    with live._client.stream("GET", "/api/v1/events/stream", params={"seconds": 60}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": connected"
        with live._client.stream("GET", "/api/v1/events/stream", params={"seconds": 60}) as second:
            next(second.iter_lines())
            refused = live.ask("/api/v1/events/stream?seconds=1")
            assert refused.status_code == 429 and "retry-after" in refused.headers
        while next(lines) != ": alive":
            pass
        assert live.write(make_batch(Origin("run-1", "w"), [*start, event_line("saved")])) == 200
        told, number = [], ""
        while len(told) < 3:
            line = next(lines)
            number = line.removeprefix("id: ") if line.startswith("id: ") else number
            if line.startswith("data: "):
                told.append(msgspec.json.decode(line.removeprefix("data: ")))
    assert {hint["kind"] for hint in told} == {"metric", "run", "event"}
    assert all((hint["run"], hint["project"], hint["seq"]) == ("run-1", "digits", 2) for hint in told)
    assert live.write(make_batch(Origin("run-1", "w"), metric_lines(3), 2)) == 200
    again = ""
    for _ in range(100):  # the streams of before are let go of when the server has seen that they are gone
        answer = live._client.get("/api/v1/events/stream?seconds=0.2", headers={"Last-Event-ID": number})
        if answer.status_code == 200:
            again = answer.text
            break
        threading.Event().wait(0.1)
    assert '"run":"run-1"' in again and '"kind":"all"' in again and '"seq":5' in again
    assert '"run-1"' not in live.ask("/api/v1/events/stream?seconds=0.2").text
    assert '"run-1"' not in live.ask("/api/v1/events/stream?seconds=0.2&project=other").text
