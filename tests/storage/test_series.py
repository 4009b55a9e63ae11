"""Series and charts are right however the points came: in any order, by any process, packed or not."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quark.core.reader import Chart, Series
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore, append, chunk, columns, seal
from quark.storage import chart as chart_reading
from quark.testing import make_batch, metric_lines, run_line, start_line, wide_lines

RUN = "run-1"
ORIGIN = Origin(RUN, "w")
END = run_line("end", {"status": "completed", "reason": "completed"})


def line(step: int | None, value: float, epoch: int | None = None) -> Line:
    """A point of the series ``x``."""
    return Line("metric", 0, (step or 0) % 10**15, step, epoch, "x", value)


def check(chart: Chart, series: Series, buckets: int, low: int = 0, high: int = 2**63 - 1) -> None:
    """Every bucket holds exactly the next points in the order of steps, with their true extremes."""
    keep = (series.steps >= low) & (series.steps <= high)
    order = np.argsort(series.steps[keep], kind="stable")
    steps, values = series.steps[keep][order], series.values[keep][order]
    assert chart.count.sum() == len(steps) and len(chart.count) <= buckets
    ends = np.cumsum(chart.count)
    for index, (end, count) in enumerate(zip(ends.tolist(), chart.count.tolist(), strict=True)):
        part, at = values[end - count : end], steps[end - count : end]
        assert (chart.minimum[index], chart.maximum[index]) == (part.min(), part.max())
        assert (chart.step_first[index], chart.step_last[index]) == (at.min(), at.max())
        assert chart.mean[index] == pytest.approx(part.mean(), abs=1e-9)
        assert chart.last[index] == part[-1]


@st.composite
def histories(draw) -> list[tuple[int, int, list[int | None]]]:
    """What several processes recorded: attempt, rank and steps of each append."""
    steps = st.one_of(
        st.builds(lambda first, count: list(range(first, first + count)), st.integers(0, 60), st.integers(1, 40)),
        st.lists(st.one_of(st.integers(0, 80), st.none()), min_size=1, max_size=40),
        st.builds(lambda step, count: [step] * count, st.integers(0, 50), st.integers(1, 20)),
    )
    return draw(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), steps), min_size=1, max_size=10))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    history=histories(), buckets=st.integers(1, 30), low=st.integers(0, 90), width=st.integers(0, 90),
    pack_after=st.sets(st.integers(0, 9)),
)  # fmt: skip
def test_any_history(tmp_path_factory, monkeypatch, history, buckets, low, width, pack_after) -> None:
    """Restarts, ranks, repeated and missing steps, packed at any time: the arrays and the chart tell the same truth."""
    for module, name, value in (
        (chunk, "CHUNK_POINTS", 16),
        (seal, "CHUNK_POINTS", 16),
        (chunk, "BLOCK", 4),
        (columns, "BLOCK", 4),
        (chart_reading, "BLOCK", 4),
        (chunk, "DETAIL", 2),
        (chart_reading, "DETAIL", 2),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(chunk, "summarise", lambda steps, values, size=4: columns.summarise(steps, values, size))
    expected: dict[tuple[int, int], list[tuple[int, float]]] = {}
    with SqlStore(tmp_path_factory.mktemp("store") / "quark.db") as store:
        for number, (attempt, rank, steps) in enumerate(history):
            origin = Origin(RUN, f"{attempt}-{rank}", rank, attempt)
            lines = [line(step, number + place / 100, 1) for place, step in enumerate(steps)]
            store.append(make_batch(origin, lines, store.position(RUN, origin.writer_id)))
            mine = expected.setdefault((attempt, rank), [])
            mine += [(-1 if item.step is None else item.step, item.value or 0.0) for item in lines]
            if number in pack_after:
                store.seal(RUN)
        series = store.series(RUN, "x", all_attempts=True)
        by_writer: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for attempt, rank, step, value in zip(
            *(getattr(series, name).tolist() for name in ("attempts", "ranks", "steps", "values")), strict=True
        ):
            by_writer.setdefault((attempt, rank), []).append((step, value))
        assert by_writer == expected
        latest = {
            step: max(a for (a, _), points in expected.items() for s, _ in points if s == step)
            for step in series.steps.tolist()
        }
        shown = store.series(RUN, "x")
        assert sorted(zip(shown.steps.tolist(), shown.values.tolist(), strict=True)) == sorted(
            point
            for (attempt, _), points in expected.items()
            for point in points
            if point[0] < 0 or attempt == latest[point[0]]
        )
        if (series.steps >= 0).any():
            check(store.chart(RUN, "x", buckets=buckets), shown, buckets)
            zoom = store.chart(RUN, "x", buckets=buckets, step_min=low, step_max=low + width)
            check(zoom, shown, buckets, low, low + width)


def test_a_long_series_is_drawn_from_its_summaries(store: SqlStore, monkeypatch) -> None:
    """A wide chart opens no chunk; a narrow zoom opens those it shows. Both are true."""
    values = np.random.default_rng(1).normal(size=300_000)
    lines = [line(step, value) for step, value in enumerate(values.tolist())]
    for start in range(0, len(lines), 50_000):
        store.append(make_batch(ORIGIN, lines[start : start + 50_000], start))
    store.seal(RUN)
    series = store.series(RUN, "x")
    check(store.chart(RUN, "x", buckets=1000, step_min=1234, step_max=260_001), series, 1000, 1234, 260_001)
    check(store.chart(RUN, "x", buckets=100, step_min=5), series, 100, 5)
    opened = []
    monkeypatch.setattr("quark.storage.chart.open_spans", lambda connection, spans, axis: opened.extend(spans))
    check(store.chart(RUN, "x", buckets=100), series, 100)
    assert opened == []


def test_attempts_that_meet_at_the_end_of_a_chunk(store: SqlStore) -> None:
    """A step at which one chunk ends and the next one begins belongs to the later attempt that has it, in both."""
    for number, attempt in enumerate((1, 1, 2)):
        origin = Origin(RUN, f"w{attempt}", 0, attempt)
        store.append(make_batch(origin, [line(0, float(number))], store.position(RUN, origin.writer_id)))
        if number == 0:
            store.seal(RUN)
    assert store.chart(RUN, "x").last.tolist() == [2.0]


@pytest.mark.parametrize("count", [1_000, 5_000, 100_000])
def test_a_chart_is_as_fine_as_it_was_asked_for(store: SqlStore, count: int) -> None:
    """Summaries that would be too coarse are not used: with points enough, all buckets are there and about equal."""
    store.append(make_batch(ORIGIN, [line(step, 1.0) for step in range(count)]))
    store.seal(RUN)
    chart = store.chart(RUN, "x", buckets=150)
    assert len(chart.count) == 150
    assert max(chart.count.tolist()) <= max(2 * count // 150, count // 150 + 1)


@pytest.mark.parametrize("count", [4_000, 20_000])
def test_steps_that_go_back_are_drawn_in_order(store: SqlStore, count: int) -> None:
    """A long series whose steps jump about, some of them missing, has true buckets all the same."""
    steps = np.random.default_rng(3).permutation(count).tolist()
    store.append(make_batch(ORIGIN, [line(None if step % 50 == 7 else step, float(step), 1) for step in steps]))
    store.seal(RUN)
    check(store.chart(RUN, "x", buckets=5), store.series(RUN, "x"), 5)


def test_a_resumed_run_opens_only_where_attempts_meet(store: SqlStore, monkeypatch) -> None:
    """Two long attempts that share a stretch of steps are drawn from summaries outside that stretch."""
    for attempt, first, count in ((1, 0, 100_000), (2, 90_000, 100_000)):
        origin = Origin(RUN, f"w{attempt}", 0, attempt)
        store.append(make_batch(origin, [line(step, attempt + step % 7) for step in range(first, first + count)]))
    store.seal(RUN)
    series = store.series(RUN, "x")
    assert len(series) == 190_000
    opened: list[object] = []
    original = chart_reading.open_spans
    monkeypatch.setattr(
        chart_reading,
        "open_spans",
        lambda connection, spans, axis: (opened.extend(spans), original(connection, spans, axis)),
    )
    check(store.chart(RUN, "x", buckets=100), series, 100)
    assert 0 < len(opened) < 10


def test_a_series_by_epoch_alone_is_drawn_by_epoch(store: SqlStore) -> None:
    """Where no point has a step, epochs are the axis, packed or not."""
    store.append(make_batch(ORIGIN, [line(None, float(epoch), epoch) for epoch in range(700)]))
    for _ in range(2):
        chart = store.chart(RUN, "x", buckets=7)
        assert chart.step_first.tolist() == [0, 100, 200, 300, 400, 500, 600]
        assert chart.maximum.tolist() == [99, 199, 299, 399, 499, 599, 699]
        assert store.chart(RUN, "x", step_min=10, step_max=12).last.tolist() == [10, 11, 12]
        store.seal(RUN)
    store.append(make_batch(ORIGIN, [line(None, 700.0, 700)], 700))
    assert store.chart(RUN, "x", buckets=1).count.tolist() == [701]


def test_a_chart_of_nothing(store: SqlStore) -> None:
    """No points, or none between the bounds, are empty arrays."""
    store.append(make_batch(ORIGIN, [line(5, 1.0)]))
    assert len(store.chart(RUN, "y").count) == 0
    assert len(store.chart(RUN, "x", step_min=6).count) == 0
    assert len(store.chart(RUN, "x", step_max=4).minimum) == 0


def test_steps_as_large_as_they_may_be(store: SqlStore) -> None:
    """Steps at both ends of their range are kept and drawn."""
    store.append(make_batch(ORIGIN, [line(0, 1.0), line(2**63 - 1, 2.0)]))
    for _ in range(2):
        assert store.series(RUN, "x").steps.tolist() == [0, 2**63 - 1]
        assert store.chart(RUN, "x", buckets=5).step_last.tolist() == [0, 2**63 - 1]
        assert store.chart(RUN, "x", buckets=1).count.tolist() == [2]
        store.seal(RUN)


def test_ten_thousand_keys(store: SqlStore) -> None:
    """Ten thousand metrics in one wide line, several times, are each a series."""
    keys = [f"layer_{number}/norm" for number in range(10_000)]
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), *wide_lines(3, keys)]))
    assert store.keys(RUN) == sorted(keys)
    assert store.seal(RUN) == 30_000
    store.append(make_batch(ORIGIN, wide_lines(2, keys, first_step=3), 4))
    assert store.series(RUN, keys[7_777]).steps.tolist() == [0, 1, 2, 3, 4]
    assert len(store.latest(RUN)) == 10_000 and store.latest(RUN)[keys[5]] == (4, 5.2)
    assert store.count(RUN) == {"metric": 50_000}


def test_thousands_of_appends_of_one_point(store: SqlStore) -> None:
    """Slow training appends a few points at a time: they are packed now and then, into chunks that grow full."""
    for number in range(5_000):
        store.append(make_batch(ORIGIN, [line(number, float(number))], number))
        if number % 100 == 99:
            store.seal()
    with store._database.snapshot() as connection:
        sizes = [count for (count,) in connection.execute("SELECT count FROM chunks ORDER BY first_sequence")]
        rows = connection.execute("SELECT count(*) FROM fragments").fetchone()[0]
    assert sum(sizes) + rows == 5_000 and rows <= append.OPEN_ROWS + 100
    assert len(sizes) <= 3 and max(sizes) <= chunk.CHUNK_POINTS
    assert store.series(RUN, "x").values.tolist() == [float(number) for number in range(5_000)]


def test_packing_keeps_what_few_points_have(store: SqlStore) -> None:
    """Descriptions and metadata survive packing, and packing again into a longer chunk."""
    for number in range(3):
        extra = Line("metric", 0, 1, number, None, "x", 1.0, description=f"d{number}", metadata={"n": number})
        plain = [line(step, 0.0) for step in range(100)]
        store.append(make_batch(ORIGIN, [*plain, extra], 101 * number))
        store.seal(RUN)
    found = [record for record in store.records(RUN, "metric") if record.description is not None]  # type: ignore[attr-defined]
    assert [(record.sequence, record.description, record.metadata) for record in found] == [  # type: ignore[attr-defined]
        (100, "d0", {"n": 0}), (201, "d1", {"n": 1}), (302, "d2", {"n": 2}),
    ]  # fmt: skip


def test_two_processes_pack_at_once(store: SqlStore, place: Path | str, monkeypatch) -> None:
    """One of them does it, whichever the database lets: nothing is lost or twice."""
    store.append(make_batch(ORIGIN, metric_lines(500)))
    original = seal._prepare

    def prepare_late(connection, run_pk):
        work = original(connection, run_pk)
        monkeypatch.setattr(seal, "_prepare", original)
        with SqlStore(place) as second:
            packed.append(second.seal(RUN))
        return work

    packed: list[int] = []
    monkeypatch.setattr(seal, "_prepare", prepare_late)
    packed.append(store.seal(RUN))
    assert sorted(packed) == [0, 500]
    assert store.series(RUN, "train/loss").steps.tolist() == list(range(500))


def test_an_ended_run_is_packed_when_the_store_closes(path: Path) -> None:
    """After the end of a run nothing is left unpacked, and the file holds at most 24 bytes a point."""
    rng = np.random.default_rng(2)
    keys = [f"k{number}" for number in range(10)]
    lines = metric_lines(20_000, keys)
    times = np.cumsum(rng.integers(10_000, 50_000_000, len(lines)))
    for item, time in zip(lines, times.tolist(), strict=True):
        item.time = time
    with SqlStore(path) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        for start in range(0, len(lines), 10_000):
            store.append(make_batch(ORIGIN, lines[start : start + 10_000], 1 + start))
        store.append(make_batch(ORIGIN, [END], 1 + len(lines)))
    assert path.stat().st_size <= 24 * len(lines)
    with SqlStore(path) as store:
        assert store.seal(RUN) == 0
        assert len(store.series(RUN, keys[3])) == 20_000


def test_counts_and_latest_values(store: SqlStore) -> None:
    """Small answers agree with the records, packed or not."""
    store.append(
        make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(10, ("a", "b")), line(3, 7.5), line(None, 8.5, 2)])
    )
    for _ in range(2):
        assert store.count(RUN) == {"metric": 22}
        assert store.latest(RUN) == {"a": (9, 0.1), "b": (9, 1.1), "x": (None, 8.5)}
        store.seal(RUN)


@pytest.mark.parametrize("value", ["-0.0", "0.0", "5e-324", "-1.7976931348623157e+308"])
def test_a_latest_value_is_exact(store: SqlStore, value: str) -> None:
    """The last value of a key has its sign and its last bit, packed or not, of one writer as of two."""
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), line(3, 0.0), line(4, float(value))]))
    store.append(make_batch(Origin(RUN, "other"), [line(4, 7.0), line(5, float(value))]))
    for _ in range(2):
        assert {key: (step, repr(last)) for key, (step, last) in store.latest(RUN).items()} == {"x": (5, value)}
        store.seal(RUN)
