"""Appending strictly: a service tells its client which line it cannot store, and stores nothing of the batch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore
from quark.storage.append import RefusedLineError
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line

ORIGIN = Origin("run-1", "w")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """An empty store in either database."""
    where = tmp_path / "quark.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with SqlStore(where) as opened:
        yield opened


def batch_with(bad: Line | bytes) -> RecordBatch:
    lines = [start_line(ORIGIN), *metric_lines(3), event_line("before"), bad, run_line("end", {}), *metric_lines(1)]
    return make_batch(ORIGIN, lines)


@pytest.mark.parametrize(
    "bad",
    [
        run_line("end", {}), run_line("discard", {"kind": "metric"}), run_line("tag", {"tag": 3}),
        Line("metric", 0, 1, 1, None, "x", None), Line("event", 0, 1, -1, label="e"),
        b'{"kind":"event","sequence":5,"time":1,"label":"x","body":{"a":"\\ud800"}}',
    ],
)  # fmt: skip
def test_the_first_line_that_cannot_be_stored_refuses_its_batch(store: SqlStore, bad: Line | bytes) -> None:
    """Its number is told; not even the run is there afterwards, and the mended batch is taken whole."""
    with pytest.raises(RefusedLineError) as caught:
        store.append(batch_with(bad), strict=True)
    assert caught.value.sequence == 5
    assert (store.position("run-1", "w"), store.runs().items) == (0, ())
    mended = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(3)])
    assert (store.append(mended, strict=True), store.count("run-1")) == (4, {"metric": 3})


def test_a_line_that_cannot_be_read_refuses_its_batch(store: SqlStore) -> None:
    """What is no line at all is no reason to store its neighbours either."""
    with pytest.raises(RefusedLineError, match="cannot be stored"):
        store.append(batch_with(b'{"kind":"metric","sequence":5,"ti'), strict=True)
    assert store.position("run-1", "w") == 0
