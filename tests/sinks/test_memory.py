"""MemorySink: the newest records as objects, bounded."""

import pytest

from quark.errors import ConfigurationError
from quark.records.base import Origin
from quark.sinks.memory import MemorySink
from quark.testing import alert_line, event_line, make_batch, make_manifest, metric_lines, run_line, wide_lines

ORIGIN = Origin("run-1", "writer-a")


def test_records_by_kind():
    """Records are read by kind, the metrics of a wide line among them, and may be chosen from."""
    sink = MemorySink()
    sink.write(make_batch(ORIGIN, [run_line("tag", {"tag": "x"}), *wide_lines(2), event_line("note"), alert_line("r")]))
    assert [len(sink.of(kind)) for kind in ("metric", "event", "alert", "artifact")] == [4, 1, 1, 0]
    assert [record.step for record in sink.of("metric", lambda record: record.metric_key == "train/lr")] == [0, 1]
    assert [line.kind for line in sink.lines()] == ["run", "metrics", "metrics", "event", "alert"]


def test_the_oldest_go():
    """It never holds more than max_records, keeps the newest, and says how many went."""
    sink = MemorySink(max_records=10)
    for first in range(0, 40, 4):
        sink.write(make_batch(ORIGIN, metric_lines(4, first_step=first), first))
    assert [record.step for record in sink.records] == list(range(30, 40))
    assert (sink.dropped, len(sink.lines()) <= 10) == (30, True)


def test_it_tells_what_it_was_told():
    """Manifests, stops and the close are kept for tests to look at."""
    sink = MemorySink()
    manifest = make_manifest(ORIGIN)
    sink.on_start(manifest)
    sink.on_stop(None, "error")
    sink.close()
    assert (sink.manifests, sink.stops, sink.closed) == ([manifest], [(None, "error")], True)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "10"])
def test_a_bound_that_cannot_be_used(bad):
    """The bound is a whole number of at least 1."""
    with pytest.raises(ConfigurationError, match="max_records"):
        MemorySink(bad)
