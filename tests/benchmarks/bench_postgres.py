"""What the store costs in PostgreSQL: batches of 1,000 records in, charts out meanwhile, bytes on the server's disk.

Run with: pytest tests/benchmarks/bench_postgres.py -m benchmark -s -p no:randomly
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import psutil
import psycopg
import pytest

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.storage import SqlStore
from quark.testing import event_line, make_batch, start_line

from . import bench_storage
from .bench_storage import ORIGIN, RUN, batches

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

KEY = "layer/0/norm"


@pytest.fixture
def store(postgres_url: str) -> Iterator[SqlStore]:
    """A store with the start of a run."""
    with SqlStore(postgres_url) as opened:
        opened.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        yield opened


@pytest.fixture(autouse=True)
def _thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_storage, "BATCH_LINES", 1_000)


def server_cpu_s() -> float:
    """CPU seconds that the servers of this machine have used, those of their children that ended included."""
    total = 0.0
    for process in psutil.process_iter(["name", "cpu_times"]):
        if process.info["name"] == "postgres" and process.info["cpu_times"] is not None:
            total += sum(process.info["cpu_times"][:4])
    return total


def bytes_of(url: str, *tables: str) -> int:
    """The room that tables take with their indexes."""
    with psycopg.connect(url) as connection:
        rows = [
            connection.execute("SELECT pg_total_relation_size(%s)", (f"quark.{name}",)).fetchone() for name in tables
        ]
    return sum(row[0] for row in rows if row is not None)


def of_run(made: list[RecordBatch], run_id: str) -> list[RecordBatch]:
    """The same batches for another run, decoded."""
    copies = [replace(batch, origin=Origin(run_id, ORIGIN.writer_id)) for batch in made]
    for batch in copies:
        batch.lines()
    return copies


@pytest.mark.parametrize("threads", [1, 4])
def test_ingest(store: SqlStore, postgres_url: str, threads: int) -> None:
    """Aim: 100,000 decoded records/s in batches of 1,000 of 100 keys, each a transaction; 24 bytes a point."""
    each = 400_000 // threads
    made = list(batches(each, 100, first=0))
    work = [of_run(made, f"run-{number}") for number in range(2, 2 + threads)]

    def send(mine: list[RecordBatch]) -> None:
        for batch in mine:
            store.append(batch)

    server, wall, cpu = server_cpu_s(), time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(send, work))
    server, wall, cpu = server_cpu_s() - server, time.perf_counter() - wall, time.process_time() - cpu
    points = each * threads
    fresh = bytes_of(postgres_url, "fragments") / points
    packing, packed = time.perf_counter(), 0
    for number in range(2, 2 + threads):
        packed += store.seal(f"run-{number}", limit=100)
    packing = time.perf_counter() - packing
    assert packed == points
    size = bytes_of(postgres_url, "chunks", "chunk_data") / points
    print(
        f"\n{threads} threads: {points / wall:,.0f} records/s; CPU a record: {cpu / points * 1e6:.2f} us here, "
        f"{server / points * 1e6:.2f} us in the server; {fresh:.1f} bytes a point, {size:.1f} packed "
        f"({packing / points * 1e6:.2f} us a point)"
    )


def test_events(store: SqlStore) -> None:
    """What records cost that are rows of their own, in batches of 1,000."""
    made = [
        make_batch(ORIGIN, [event_line(f"e{n % 10}", step=n) for n in range(first, first + 1000)], 1 + first)
        for first in range(0, 50_000, 1000)
    ]
    for batch in made:
        batch.lines()
    server, wall, cpu = server_cpu_s(), time.perf_counter(), time.process_time()
    for batch in made:
        store.append(batch)
    server, wall, cpu = server_cpu_s() - server, time.perf_counter() - wall, time.process_time() - cpu
    print(f"\nevents: {5e4 / wall:,.0f}/s; CPU a record: {cpu * 20:.1f} us here, {server * 20:.1f} us in the server")


def test_charts_while_ingesting(store: SqlStore) -> None:
    """Aim: p95 of a chart of 1,000 buckets over 1e7 points of 100 ms while another thread ingests and packs."""
    for batch in batches(10_000_000, 1):
        store.append(batch)
        if batch.stop % 250_000 < 1_000:
            store.seal()
    store.seal(RUN, limit=100)
    other = of_run(list(batches(200_000, 100, first=0)), "run-2")
    done = threading.Event()
    sent = 0

    def ingest() -> None:
        nonlocal sent
        while not done.is_set():
            batch = other[sent % len(other)]
            first = sent * 1_000
            moved = RecordBatch(batch.origin, first, first + 1_000, batch.data)
            moved._lines = batch.lines()
            for place, line in enumerate(moved._lines):
                line.sequence = first + place
            store.append(moved)
            store.seal()
            sent += 1

    alone = [timed(store) for _ in range(50)]
    thread = threading.Thread(target=ingest)
    thread.start()
    started = time.perf_counter()
    busy = [timed(store) for _ in range(200)]
    taken = time.perf_counter() - started
    done.set()
    thread.join()
    print(
        f"\nchart of 1,000 buckets over 1e7 points: alone p50 {np.percentile(alone, 50):.0f} ms, "
        f"p95 {np.percentile(alone, 95):.0f} ms; beside {sent * 1000 / taken:,.0f} records/s "
        f"p50 {np.percentile(busy, 50):.0f} ms, p95 {np.percentile(busy, 95):.0f} ms"
    )


def timed(store: SqlStore) -> float:
    """Milliseconds of a chart."""
    start = time.perf_counter()
    store.chart(RUN, KEY)
    return (time.perf_counter() - start) * 1e3
