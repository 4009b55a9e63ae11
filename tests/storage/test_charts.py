"""Charts of the page: every spike at every zoom, on any axis, with marks, restarts and groups of runs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quark.errors import SchemaValidationError
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore
from quark.storage.charts import AxisChart
from quark.storage.curves import Window
from quark.testing import event_line, make_batch, start_line
from quark.testing.batches import START_NS

RUN = "run-1"
LONG = 40_000
SPIKES = (17, 4_095, 4_096, 12_345, 20_000, 33_333, 39_999)
VALUES = np.random.default_rng(7).random(LONG)
VALUES[list(SPIKES)] = [30.0 + place for place in range(len(SPIKES))]


def point(step: int | None, value: float, *, key: str = "x", epoch: int | None = None, ms: int | None = None) -> Line:
    """A point, a millisecond after the one before unless it says when."""
    return Line("metric", 0, START_NS + 10**6 * (step or 0 if ms is None else ms), step, epoch, key, value)


def write(store: SqlStore, lines: list[Line], *, run_id: str = RUN, attempt: int = 1) -> None:
    """Append lines as the process of an attempt, behind what it has written."""
    origin = Origin(run_id, f"w{attempt}", 0, attempt)
    first = store.position(run_id, origin.writer_id)
    store.append(make_batch(origin, lines if first else [start_line(origin), *lines], first))


def draw(store: SqlStore, key: str = "x", run_id: str = RUN, **window: object) -> AxisChart:
    """The chart of one metric of a run."""
    (chart,) = store.charts(run_id, [key], Window(**window))  # type: ignore[arg-type]
    return chart


@pytest.fixture(scope="module", params=["detailed", "older"])
def long_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """A run of 40,000 steps with seven spikes, its last steps not packed yet; or as an earlier release packed it."""
    with SqlStore(tmp_path_factory.mktemp("charts") / "quark.db") as store:
        write(store, [point(step, value) for step, value in enumerate(VALUES[:38_000].tolist())])
        store.seal(RUN)
        write(store, [point(step, value) for step, value in enumerate(VALUES[38_000:].tolist(), 38_000)])
        if request.param == "older":
            with store._database.writing() as connection:
                connection.execute("DELETE FROM chunk_details")
        yield store


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    low=st.integers(0, LONG), width=st.sampled_from([0, 1, 31, 300, 4_096, 9_000, 20_000, LONG]),
    buckets=st.sampled_from([1, 7, 60, 74, 75, 300, 599, 600, 1_250, 4_000]),
)  # fmt: skip
def test_no_spike_is_lost_at_any_zoom(long_run: SqlStore, low: int, width: int, buckets: int) -> None:
    """Whatever the window and the number of buckets, each bucket has the extremes of exactly its points."""
    chart = draw(long_run, low=low - 0.5, high=low + width, buckets=buckets)
    values = VALUES[low : low + width + 1]
    assert chart.count == len(values) == chart.n.sum() and len(chart.x) <= buckets
    ends = np.cumsum(chart.n).astype(int)
    parts = [values[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if len(values) else []
    assert chart.minimum.tolist() == [part.min() for part in parts]
    assert chart.maximum.tolist() == [part.max() for part in parts]
    assert chart.mean == pytest.approx([part.mean() for part in parts])
    assert (chart.x - low).tolist() == [0, *ends[:-1]][: len(parts)]
    spikes = sum(low <= spike <= low + width for spike in SPIKES)
    if buckets >= 600:
        assert (chart.maximum > 20).sum() >= spikes - (4_095 in range(low, low + width))  # two stand side by side


def test_buckets_are_even(long_run: SqlStore) -> None:
    """A bucket is no wider than twice what was asked for, on both sides of the number where finer summaries begin."""
    for buckets in (74, 75, 599, 600, 625):
        chart = draw(long_run, buckets=buckets)
        assert len(chart.x) > 0.9 * buckets
        assert chart.n.max() <= 2 * LONG / buckets + 32


def test_a_resumed_run(store: SqlStore) -> None:
    """Of a step that two attempts reached the later one counts; where it began is told; gone marks are not shown."""
    write(store, [*(point(step, 1.0) for step in range(2_000)), _lost(1_500, "nan"), _lost(100, "inf")])
    for _ in range(2):
        assert draw(store).restarts == [] and draw(store).nonfinite_count == 2
        store.seal(RUN)
    write(store, [*(point(step, 2.0) for step in range(1_200, 2_500)), _lost(1_700, "-inf")], attempt=2)
    for _ in range(2):
        for axis, scale in (("step", 1.0), ("relative", 1e-3)):
            chart = draw(store, axis=axis, buckets=25)
            assert chart.count == 2_500 and chart.restarts == [1_200 * scale]
            assert chart.minimum[0] == 1.0 and chart.maximum[-1] == 2.0
            marks = [(mark.x, mark.step, mark.kind) for mark in chart.nonfinite]
            assert marks == [(100 * scale, 100, "inf"), (1_700 * scale, 1_700, "-inf")]
        assert draw(store, low=1_600, high=1_650).restarts == [1_200.0]
        store.seal(RUN)


def _lost(step: int | None, kind: str, key: str = "x") -> Line:
    line = event_line("metric_nonfinite", "error", {"key": key, "value": kind}, step=step)
    return Line("event", 0, START_NS + 10**6 * (step or 0), step, label="metric_nonfinite", body=line.body)


def test_values_that_are_not_finite(store: SqlStore) -> None:
    """They are marks, one of a kind in a bucket, and all of them are counted; events of others do not count."""
    broken = event_line("metric_nonfinite", "error", {"key": 3, "value": ["nan"]})
    lines = [point(step, 1.0) for step in range(0, 1_000, 2)]
    lines += [_lost(step, "nan") for step in range(1, 1_000, 2)]
    lines += [_lost(None, "inf"), _lost(5, "nan", "y"), broken, _lost(7, "what")]
    write(store, lines)
    chart = draw(store, buckets=10)
    assert chart.count == 500 and chart.nonfinite_count == 501
    assert 10 <= len(chart.nonfinite) <= 12 and {mark.kind for mark in chart.nonfinite} == {"nan"}
    assert draw(store, low=100, high=119, buckets=100).nonfinite_count == 10
    never = draw(store, "y")
    assert (never.count, len(never.x), never.nonfinite[0].x) == (0, 0, 5.0)
    assert draw(store, "z").nonfinite_count == 0


def test_a_gap_is_a_jump(store: SqlStore) -> None:
    """Buckets without a point are left out, and the usual distance says that something is missing."""
    write(store, [point(step, 1.0) for step in [*range(1_000), *range(5_000, 6_000)]])
    chart = draw(store, buckets=60)
    jumps = np.diff(chart.x)
    assert (jumps > 3 * chart.width).sum() == 1 and jumps.max() >= 3_900


def test_every_axis_holds_the_same_points(store: SqlStore) -> None:
    """Steps, epochs, time and another metric: each point once, where it lies; those that have no place are left out."""
    lines = []
    for step in range(300):
        lines.append(point(step, float(step), epoch=step // 100, ms=3 * step))
        lines.append(point(step, 1.0 / (step + 1), key="lr"))
    write(store, [*lines, point(None, -1.0, epoch=2, ms=900)])
    for _ in range(2):
        assert (draw(store).count, draw(store, axis="epoch").count) == (300, 301)
        assert sorted(set(draw(store, axis="epoch").x)) == [0.0, 1.0, 2.0]
        wall = draw(store, axis="wall", low=START_NS / 1e9 + 0.3)
        assert wall.count == 201 and wall.minimum.min() == -1.0
        assert draw(store, axis="relative").x == pytest.approx([0.003 * step for step in range(301)])
        other = draw(store, axis="lr")
        assert (other.count, other.x[0], other.mean[0]) == (300, 1 / 300, 299.0)
        assert draw(store, axis="no/such").count == 0
        store.seal(RUN)
    with pytest.raises(SchemaValidationError, match="swap"):
        draw(store, low=2, high=1)


def test_a_metric_by_epoch_alone(store: SqlStore) -> None:
    """Where no point has a step, epochs are the axis, and the chart says so, also of a window."""
    write(store, [point(None, float(epoch), epoch=epoch, ms=epoch) for epoch in range(50)])
    for _ in range(2):
        chart = draw(store, low=10, high=19)
        assert (chart.axis, chart.count, chart.x[0]) == ("epoch", 10, 10.0)
        store.seal(RUN)


def test_many_metrics_in_one_request(store: SqlStore) -> None:
    """The charts come in the order of the keys, by name too; unknown ones are empty."""
    keys = [f"layer/{number}" for number in range(30)]
    write(store, [Line("metrics", 0, START_NS, step, values=dict.fromkeys(keys, float(step))) for step in range(100)])
    for _ in range(2):
        charts = store.charts(RUN, [*keys, "none", keys[0]], Window(buckets=10))
        assert [chart.key for chart in charts] == [*keys, "none", keys[0]]
        assert [chart.count for chart in charts] == [100] * 30 + [0, 100]
        store.seal(RUN)


def test_groups_invent_nothing(store: SqlStore) -> None:
    """Where shorter runs end n falls; mean, least and greatest are those of the runs that are there."""
    for run, (count, value) in enumerate(((100, 1.0), (100, 2.0), (50, 6.0))):
        write(store, [point(10 * step, value) for step in range(count)], run_id=f"run-{run}")
    runs = [f"run-{run}" for run in range(3)]
    ((chart, none),) = store.group_charts([runs], ["x", "y"], Window(buckets=1_000))
    assert (chart.runs, none.runs, len(none.x)) == (3, 0, 0)
    assert chart.x.tolist() == [10.0 * step for step in range(100)]
    assert chart.n.tolist() == [3.0] * 50 + [2.0] * 50
    assert chart.mean.tolist() == [3.0] * 50 + [1.5] * 50
    assert (set(chart.minimum), set(chart.maximum[:50]), set(chart.maximum[50:])) == ({1.0}, {6.0}, {2.0})
    ((few, _),) = store.group_charts([runs], ["x", "y"], Window(buckets=4, low=100, high=899))
    assert few.n.tolist() == [3.0, 3.0, 2.0, 2.0] and few.x[0] == 100.0


def test_groups_of_runs_with_other_strides(store: SqlStore) -> None:
    """A run that records every tenth step does not come and go beside one that records each."""
    write(store, [point(step, 1.0) for step in range(1_000)], run_id="run-a")
    write(store, [point(step, 3.0) for step in range(0, 1_000, 10)], run_id="run-b")
    ((chart,),) = store.group_charts([["run-a", "run-b"]], ["x"], Window(buckets=500))
    assert set(chart.n) == {2.0} and chart.mean.tolist() == [2.0] * 100


def test_a_store_of_an_earlier_release(tmp_path: Path) -> None:
    """It opens, its metrics have their extremes and their last values, packed or not, and its charts are true."""
    path = tmp_path / "quark.db"
    with SqlStore(path) as store:
        write(store, [point(step, value) for step, value in enumerate(VALUES[:6_000].tolist())])
        write(store, [point(step, -float(step), key="y") for step in range(0, 100, 3)])
        store.seal(RUN)
        write(store, [point(6_000, -5.0), point(None, 99.0, key="y", ms=1)])
    with SqlStore(path) as store, store._database.writing() as connection:
        for statement in (
            "DROP TABLE chunk_details", "DROP TABLE views", "DROP INDEX ix_writers_changed_at",
            "ALTER TABLE writers DROP COLUMN changed_at", "ALTER TABLE series DROP COLUMN min_step",
            "ALTER TABLE series DROP COLUMN min_value", "ALTER TABLE series DROP COLUMN max_step",
            "ALTER TABLE series DROP COLUMN max_value", "UPDATE alembic_version SET version_num = '0002'",
        ):  # fmt: skip
            connection.execute(statement)
    with SqlStore(path) as store:
        (row,) = store.run_table("", columns=["min:x", "max:x", "last:x", "min:y", "max:y"]).runs
        assert row.columns == {"min:x": -5.0, "max:x": 32.0, "last:x": -5.0, "min:y": -99.0, "max:y": 99.0}
        assert row.steps == {"min:x": 6_000, "max:x": 4_096, "last:x": 6_000, "min:y": 99}
        chart = draw(store, buckets=100)
        assert (chart.count, chart.minimum.min(), chart.maximum.max()) == (6_001, -5.0, 32.0)
        store.seal(RUN)
        assert store.latest(RUN) == {"x": (6_000, -5.0), "y": (None, 99.0)}
