"""What the store costs: batches in, arrays and charts out, bytes on the disk.

Run with: pytest tests/benchmarks/bench_storage.py -m benchmark -s -p no:randomly
"""

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.storage import SqlStore
from quark.testing import make_batch, run_line, start_line

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

RUN = "run-1"
ORIGIN = Origin(RUN, "0-1-w")
BATCH_LINES = 8_500
"""Lines of a batch of about one megabyte, as a sink worker reads it."""

END = run_line("end", {"status": "completed", "reason": "completed"})


def batches(points: int, keys: int, first: int = 1) -> Iterator[RecordBatch]:
    """Single-metric lines of many series, with times that jitter like real ones."""
    rng = np.random.default_rng(0)
    names = [f"layer/{number}/norm" for number in range(keys)]
    times = (1_778_112_000_000_000_000 + np.cumsum(rng.integers(500_000, 5_000_000, points))).tolist()
    values = rng.normal(size=points).tolist()
    for start in range(0, points, BATCH_LINES):
        stop = min(start + BATCH_LINES, points)
        data = b"\n".join(
            encode(Line("metric", first + n, times[n], n // keys, None, names[n % keys], values[n]))
            for n in range(start, stop)
        )
        yield RecordBatch(ORIGIN, first + start, first + stop, data + b"\n")


def best_ms(call: Callable[[], object], rounds: int = 7) -> float:
    """Wall milliseconds of the quickest of several calls."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e3


def fill(path: Path, points: int, keys: int) -> tuple[float, float, float]:
    """Append everything and pack as the sink's worker does; wall seconds, CPU seconds, longest append in seconds."""
    made = deque(batches(points, keys))
    with SqlStore(path) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        longest, wall, cpu = 0.0, time.perf_counter(), time.process_time()
        while made:
            start = time.perf_counter()
            store.append(made.popleft())  # a batch lives no longer than in a worker, decoded lines are large
            longest = max(longest, time.perf_counter() - start)
            store.seal()
        store.append(make_batch(ORIGIN, [END], points + 1))
        while store.seal():
            pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, longest


@pytest.mark.parametrize(("points", "keys"), [(1_000_000, 100), (1_000_000, 1), (300_000, 10_000)])
def test_from_journal_to_store(tmp_path: Path, points: int, keys: int) -> None:
    """Aim: 300,000 records/s of 100 keys and 1 us of CPU a record, decoding and packing included; 24 bytes a point."""
    path = tmp_path / ".quark" / "quark.db"
    wall, cpu, longest = fill(path, points, keys)
    size = path.stat().st_size / points
    with SqlStore(path) as store:
        store.series(RUN, "layer/0/norm")
        series, chart = (
            best_ms(lambda: store.series(RUN, "layer/0/norm")),
            best_ms(lambda: store.chart(RUN, "layer/0/norm")),
        )
    print(
        f"\n{points:,} points of {keys:,} keys: {points / wall:,.0f}/s, {cpu / points * 1e6:.2f} us CPU a record, "
        f"longest append {longest * 1e3:.0f} ms, {size:.1f} bytes a point; "
        f"one series of {points // keys:,}: arrays {series:.1f} ms, chart {chart:.1f} ms"
    )


def test_ten_million_points(tmp_path: Path) -> None:
    """Aim: a chart of 1,000 buckets in 50 ms, wide or zoomed in."""
    path = tmp_path / ".quark" / "quark.db"
    fill(path, 10_000_000, 1)
    with SqlStore(path) as store:
        key = "layer/0/norm"
        store.chart(RUN, key)
        wide = best_ms(lambda: store.chart(RUN, key))
        half = best_ms(lambda: store.chart(RUN, key, step_min=1_234_567, step_max=6_543_210))
        near = best_ms(lambda: store.chart(RUN, key, step_min=5_000_000, step_max=5_400_000))
        close = best_ms(lambda: store.chart(RUN, key, step_min=5_000_000, step_max=5_000_999))
    print(
        f"\nchart of 10,000,000 points: whole {wide:.1f} ms, half {half:.1f} ms, 400,000 of them {near:.1f} ms, "
        f"1,000 of them {close:.1f} ms; {path.stat().st_size / 1e7:.1f} bytes a point"
    )


def test_slow_training(tmp_path: Path) -> None:
    """Aim: 1 ms of CPU for an append of ten metrics; thousands of them stay quick to read."""
    appends, keys = 4_000, 10
    with SqlStore(tmp_path / ".quark" / "quark.db") as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        made = []
        for n in range(appends):
            values = {f"k{key}": 1.0 / (n + key + 1) for key in range(keys)}
            made.append(make_batch(ORIGIN, [Line("metrics", 0, 250_000_000 * n, n, values=values)], n + 1))
        cpu = time.process_time()
        for batch in made[:1_000]:
            store.append(batch)
        first = (time.process_time() - cpu) / 1_000
        open_ms = best_ms(lambda: store.series(RUN, "k3"))
        cpu = time.process_time()
        for n, batch in enumerate(made[1_000:]):
            store.append(batch)
            if n % 4 == 3:
                store.seal()
        rest = (time.process_time() - cpu) / (appends - 1_000)
        series, chart = best_ms(lambda: store.series(RUN, "k3")), best_ms(lambda: store.chart(RUN, "k3"))
    print(
        f"\nan append of {keys} metrics: {first * 1e3:.2f} ms CPU, {rest * 1e3:.2f} ms with packing; arrays: "
        f"{open_ms:.1f} ms out of 1,000 unpacked appends, {series:.1f} ms of {appends} (chart {chart:.1f} ms)"
    )


def test_reading_while_writing(tmp_path: Path) -> None:
    """Readers and the writer do not wait for each other: what each gets done alone and together."""
    made = list(batches(600_000, 100))
    path = tmp_path / ".quark" / "quark.db"
    done = threading.Event()
    waits: list[float] = []

    def read() -> None:
        with SqlStore(path) as reader:
            while not done.is_set():
                start = time.perf_counter()
                reader.series(RUN, "layer/5/norm")
                waits.append(time.perf_counter() - start)
                time.sleep(0.01)

    with SqlStore(path) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        thread = threading.Thread(target=read)
        thread.start()
        start = time.perf_counter()
        for batch in made:
            store.append(batch)
            store.seal()
        taken = time.perf_counter() - start
        done.set()
        thread.join()
    waits.sort()
    print(
        f"\nwhile another thread reads: {600_000 / taken:,.0f} records/s; {len(waits)} reads of a series meanwhile, "
        f"median {waits[len(waits) // 2] * 1e3:.0f} ms, longest {waits[-1] * 1e3:.0f} ms"
    )


def test_opening(tmp_path: Path) -> None:
    """Aim: 150 ms of CPU to import and open a store in a fresh process."""
    program = (
        "import sys,time\nstart=time.process_time()\nimport numpy\nmiddle=time.process_time()\n"
        "from quark.storage import SqlStore\nSqlStore(sys.argv[1]).close()\n"
        "print(time.process_time()-start, middle-start)"
    )
    taken = []
    for name in ("a", "a", "b", "b", "c", "c"):
        command = [sys.executable, "-c", program, str(tmp_path / name / "quark.db")]
        taken.append([float(part) for part in subprocess.check_output(command).split()])
    new, again = min(taken[0::2]), min(taken[1::2])
    print(
        f"\nimport and open, CPU: a new store {new[0] * 1e3:.0f} ms, an existing one {again[0] * 1e3:.0f} ms, "
        f"of which NumPy {again[1] * 1e3:.0f} ms"
    )


def test_the_training_thread_runs_on(tmp_path: Path) -> None:
    """Aim: packing and appending leave a busy Python thread no pause of much more than 5 ms, the interpreter's turn."""
    made = list(batches(400_000, 100))
    pauses: list[float] = []
    done = threading.Event()

    def train() -> None:
        last = time.perf_counter()
        while not done.is_set():
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    with SqlStore(tmp_path / ".quark" / "quark.db") as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        for batch in made:
            batch.lines()  # decoding is the delivery's cost
        thread = threading.Thread(target=train)
        thread.start()
        for batch in made:
            store.append(batch)
            store.seal()
        done.set()
        thread.join()
    pauses.sort()
    print(
        f"\npauses of a busy thread meanwhile: p99.99 {pauses[int(len(pauses) * 0.9999)] * 1e3:.1f} ms, "
        f"longest five {', '.join(f'{pause * 1e3:.1f}' for pause in pauses[-5:])} ms"
    )
