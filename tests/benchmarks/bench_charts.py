"""What a chart costs at any window and in any number of buckets: of 1e6 and 1e7 points, also while records arrive.

Run with: pytest tests/benchmarks/bench_charts.py -m benchmark -s -p no:randomly
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from quark.records.base import Origin
from quark.storage import SqlStore
from quark.storage.curves import Window
from quark.storage.points import POINT, pack_fragment
from quark.testing import make_batch, metric_lines, start_line

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

RUN, KEY = "run-1", "train/loss"
ORIGIN = Origin(RUN, "0-1-w")
BUCKETS = (60, 300, 1_000, 1_953, 1_954, 2_000, 4_000)
SHARES = (1.0, 0.5, 0.26, 0.1, 0.01, 0.001)
"""Parts of the whole that are looked at."""


def filled(place: str | Path, points: int) -> SqlStore:
    """A store with one series of so many points, packed; its fragments are written directly, which saves minutes."""
    store = SqlStore(place)
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(1)]))
    rng = np.random.default_rng(0)
    with store._database.snapshot() as connection:
        run, writer, series = connection.execute(
            "SELECT runs.pk, writers.pk, series.pk FROM runs JOIN writers ON writers.run_pk = runs.pk"
            " JOIN series ON series.run_pk = runs.pk"
        ).fetchone()
    for first in range(0, points, 250_000):
        made = np.empty(min(250_000, points - first), POINT)
        numbers = np.arange(first, first + len(made))
        made["series"], made["sequence"], made["step"], made["epoch"] = series, numbers + 2, numbers + 1, -1
        made["time"] = 1_778_112_000_000_000_000 + numbers * 1_000_000 + rng.integers(0, 500_000, len(made))
        made["value"] = rng.random(len(made))
        row = (run, writer, first + 2, first + 1 + len(made), len(made), pack_fragment(made))
        with store._database.writing() as connection:
            connection.insert("fragments", "run_pk, writer_pk, first_sequence, last_sequence, count, points", [row])
        store.seal(RUN, limit=100)
    return store


@contextmanager
def ingesting(store: SqlStore, per_s: int = 5_000) -> Iterator[None]:
    """So many records a second arrive for another run."""
    ended = threading.Event()
    origin = Origin("run-2", "w")

    def write() -> None:
        first, lines = 0, [start_line(origin)]
        while not ended.wait(0.1):
            batch = make_batch(origin, lines, first)
            store.append(batch)
            store.seal()
            first, lines = batch.stop, metric_lines(per_s // 10)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure(store: SqlStore, points: int) -> dict[str, float]:
    """Milliseconds of charts of every window and number of buckets, and of the slowest of them."""
    rng = np.random.default_rng(1)
    taken: dict[tuple[float, int], list[float]] = {}
    for _ in range(3):
        for share in SHARES:
            for buckets in BUCKETS:
                low = float(rng.random() * points * (1 - share))
                window = Window(low=low if share < 1 else None, high=low + points * share, buckets=buckets)
                start = time.perf_counter()
                (chart,) = store.charts(RUN, [KEY], window)
                taken.setdefault((share, buckets), []).append((time.perf_counter() - start) * 1e3)
                assert chart.count >= points * share * 0.99
    every = sorted(value for values in taken.values() for value in values)
    worst = max(taken, key=lambda case: statistics.median(taken[case]))
    print({case: round(statistics.median(values), 1) for case, values in taken.items()})
    return {
        "p50": statistics.median(every), "p95": every[int(len(every) * 0.95)],
        "worst": statistics.median(taken[worst]), "whole, 300": statistics.median(taken[1.0, 300]),
    }  # fmt: skip


@pytest.mark.parametrize("points", [1_000_000, 10_000_000])
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_charts_at_every_zoom(request: pytest.FixtureRequest, tmp_path: Path, database: str, points: int) -> None:
    """Aim: p95 of 50 ms, also beside 5,000 records/s; no zoom costs much more than the whole in 300 buckets."""
    place = tmp_path / "quark.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    with filled(place, points) as store:
        alone = measure(store, points)
        with ingesting(store):
            beside = measure(store, points)
        print(f"\n{database}, {points:,} points, ms: alone {alone}, beside 5,000 records/s {beside}")
        assert alone["worst"] <= 12 * alone["whole, 300"]
