"""Batches over HTTP: each record once, all of a batch or nothing."""

import gzip
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import zstandard

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.sinks.service import _compressor, _packed
from quark.testing import event_line, make_batch, metric_lines, start_line

from .conftest import Served

ORIGIN = Origin("run-1", "w")


def send(served: Served, batch: RecordBatch, **more: Any) -> Any:
    path = f"/api/v1/runs/{batch.origin.run_id}/writers/{batch.origin.writer_id}/records"
    where = f"?first={batch.first}&stop={batch.stop}&rank={batch.origin.rank}&attempt={batch.origin.attempt}"
    return served.ask("POST", path + where, **{"content": batch.data, **more})


def batch_of(items: Sequence[Any], first: int = 0) -> RecordBatch:
    return make_batch(ORIGIN, [start_line(ORIGIN), *items] if first == 0 else items, first)


def test_a_run_is_written_and_read(served: Served) -> None:
    """What was sent can be read: the run, its overview, records, series, chart."""
    answer = send(served, batch_of([*metric_lines(5), event_line("saved", payload={"a": 1})]))
    assert (answer.status_code, answer.json()) == (200, {"next": 7})
    assert served.ask("GET", "/api/v1/runs").json()["runs"][0]["project_name"] == "digits"
    overview = served.ask("GET", "/api/v1/runs/run-1/overview").json()
    assert overview["counts"] == {"metric": 5, "event": 1} and overview["keys"] == ["train/loss"]
    (event,) = served.ask("GET", "/api/v1/runs/run-1/records/event").json()["records"]
    assert (event["event_type"], event["payload"], event["writer_id"]) == ("saved", {"a": 1}, "w")
    assert served.ask("GET", "/api/v1/runs/run-1/series?key=train/loss").json()["length"] == 5
    assert served.ask("GET", "/api/v1/runs/run-1/chart?key=train/loss").json()["maximum"][0] == 1.0


def test_a_batch_that_comes_again_changes_nothing(served: Served) -> None:
    """After a lost answer the sender repeats itself; a gap is refused with what is held."""
    batch = batch_of(metric_lines(5))
    assert [send(served, batch).json() for _ in range(2)] == [{"next": 6}, {"next": 6}]
    assert served.ask("GET", "/api/v1/runs/run-1/overview").json()["counts"] == {"metric": 5}
    refused = send(served, batch_of(metric_lines(1), 9))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "sequence_gap")
    assert served.ask("GET", "/api/v1/runs/run-1/writers/w").json() == {"next": 6}


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b'{"kind":"metric"}', b'{"kind":"metric","sequence":6,"time":1,"metric_key":"a"}',
        b'{"kind":"metric","sequence":6,"time":1,"step":-1,"metric_key":"a","value":1.0}',
        b'{"kind":"metric","sequence":99,"time":1,"metric_key":"a","value":1.0}',
        b'{"kind":"event","sequence":6,"time":1,"label":"x","body":{"severity":"huge"}}', b"\xff",
        b"[" * 100_000, b'{"kind":"metric","sequence":6,"time":1,"step":1,"metric_key":"a b","value":1.0}',
        b'{"kind":"metrics","sequence":6,"time":1,"step":1,"values":{"../etc":1.0}}',
        b'{"kind":"metric","sequence":6,"time":1,"step":1,"metric_key":"a","value":1e999}',
        b'{"sequence":6,"kind":"run","time":1,"label":"end","body":{}}',
        b'{"kind":"run","sequence":6,"time":1,"label":"discard","body":{"kind":"metric"}}',
        b'{"kind":"event","sequence":6,"time":1,"label":"x","body":{"event_type":"x","payload":{"a":"\\ud800"}}}',
    ],
)  # fmt: skip
def test_a_bad_line_refuses_its_batch(served: Served, line: bytes) -> None:
    """The index of the line is told, and nothing of the batch is stored."""
    batch = batch_of([*metric_lines(5), line])
    answer = send(served, batch)
    assert (answer.status_code, answer.json()["error"]["index"]) == (422, 6)
    assert served.ask("GET", "/api/v1/runs/run-1").status_code == 404


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_a_run_sends_is_packed(served: Served, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Batches are packed with zstd where it is installed, else with gzip, and the service reads both."""
    if encoding == "gzip":
        monkeypatch.setitem(sys.modules, "zstandard", None)
    _compressor.cache_clear()
    try:
        content, headers = _packed(batch_of(metric_lines(100)).data)
        answer = send(served, batch_of(metric_lines(100)), content=content, headers=headers)
    finally:
        _compressor.cache_clear()
    assert (headers["Content-Encoding"], answer.json()) == (encoding, {"next": 101})
    assert len(content) < len(batch_of(metric_lines(100)).data) / 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_bodies_may_be_packed(served: Served, encoding: str) -> None:
    """gzip and zstd are unpacked; what breaks off, goes on behind its end or grows too large is refused."""
    pack = gzip.compress if encoding == "gzip" else zstandard.compress
    batch = batch_of(metric_lines(100))
    packed, headers = pack(batch.data), {"Content-Encoding": encoding}
    assert send(served, batch, content=packed[:-9], headers=headers).status_code == 400
    assert send(served, batch, content=packed + b"more", headers=headers).status_code == 400
    assert send(served, batch, content=b"nothing of the kind", headers=headers).status_code == 400
    bomb = pack(b"\n" * (1 << 30))
    refused = send(served, batch, content=bomb, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert send(served, batch, content=packed, headers=headers).json() == {"next": 101}
