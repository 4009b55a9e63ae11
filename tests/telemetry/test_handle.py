"""The run in memory that tests of producers use does what a session does, as far as it goes."""

from typing import Any

import pytest

from quark import EventRecord, MetricRecord, RecordFilter, RunNotFoundError, SchemaValidationError
from quark.core.handle import RunHandle
from quark.testing import MemoryRunHandle


def test_it_is_a_run_handle() -> None:
    """Every method of the protocol is there."""
    names = [name for name in vars(RunHandle) if not name.startswith("_")]
    assert [name for name in names if not hasattr(MemoryRunHandle(), name)] == []


def test_what_is_emitted_comes_back_through_the_wire() -> None:
    """A record that was returned equals the one that is read."""
    handle = MemoryRunHandle()
    fields = {"event_type": "checkpoint_saved", "severity": "info", "payload": {"a": [1, 2]}}
    record = handle.emit(EventRecord, fields, step=3)
    assert list(handle.reader().records("run-1", "event")) == [record]
    with pytest.raises(SchemaValidationError):
        handle.emit(EventRecord, {"severity": "info"})


def test_wide_values_are_read_as_metrics() -> None:
    """Keys, series and charts see the metrics of a wide line."""
    handle = MemoryRunHandle(strict=False)
    for step in range(10):
        handle.log_values({"a/x": step, "b": -step, "c": float("nan")}, step=step, epoch=0)
    reader = handle.reader()
    series = reader.series("run-1", "a/x")
    chart = reader.chart("run-1", "a/x", buckets=3, step_min=1)
    assert (reader.keys("run-1"), len(handle.refused)) == (["a/x", "b"], 10)
    assert (series.steps.tolist(), series.values.tolist()) == (list(range(10)), [float(step) for step in range(10)])
    assert (chart.minimum.tolist(), chart.maximum.tolist()) == ([1.0, 4.0, 7.0], [3.0, 6.0, 9.0])


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [0, 1, 2, 3, None]),
        ({"step": 2}, [2]),
        ({"step_min": 1, "step_max": 2}, [1, 2]),
        ({"epoch_min": 1}, [2, 3, None]),
        ({"limit": 2}, [0, 1]),
        ({"limit": 0}, []),
        ({"after": 1, "limit": 1}, [2]),
        ({"where": {"severity": "error"}}, [1, 3]),
        ({"where": {"severity": ("error", "debug")}}, [1, 3, None]),
    ],
)
def test_records_are_filtered(bounds: dict[str, Any], expected: list[int | None]) -> None:
    """Bounds are inclusive; ``where`` takes a value or several; a record without a step passes no bound on it."""
    handle = MemoryRunHandle()
    for step in range(4):
        fields = {"event_type": "x", "severity": ("info", "error")[step % 2]}
        handle.emit(EventRecord, fields, step=step, epoch=step // 2)
    handle.emit(EventRecord, {"event_type": "x", "severity": "debug"}, epoch=2)
    found = handle.reader().records("run-1", "event", RecordFilter(**bounds))
    assert [record.step for record in found if isinstance(record, EventRecord)] == expected


def test_only_its_own_run_is_known() -> None:
    """Another id is an error, as in a store."""
    reader = MemoryRunHandle().reader()
    assert reader.runs().items == [reader.run("run-1")]
    for read in (reader.run, reader.keys, lambda run_id: list(reader.records(run_id, "metric"))):
        with pytest.raises(RunNotFoundError):
            read("run-2")


def test_refusals_and_reports_are_kept() -> None:
    """A test can ask what was refused; strict mode raises as well."""
    handle = MemoryRunHandle(strict=False)
    error = SchemaValidationError("no")
    handle.refuse(error, what="metric")
    handle.report("sink", error)
    handle.defer("key", 1.0, 0, None, 5)
    assert (handle.refused, handle.reported, handle.deferred) == (
        [("metric", error)], [("sink", error)], [("key", 1.0, 0, None)],
    )  # fmt: skip
    with pytest.raises(SchemaValidationError):
        MemoryRunHandle().refuse(error, what="metric")
    assert handle.records(MetricRecord) == []
