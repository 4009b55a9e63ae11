"""What one service takes and tells: records over HTTP from four clients, charts meanwhile.

Run with: taskset -c 0,1 pytest tests/benchmarks/bench_service.py -m benchmark -s -p no:randomly
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from quark.client.connection import Connection
from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.service import ServiceConfig
from quark.service.keys import KeyStore
from quark.service.namespaces import Namespaces
from quark.sinks.service import ServiceSink
from quark.testing import make_batch, start_line
from tests.ports import free_port

from . import bench_storage
from .bench_storage import RUN, batches, fill

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

CLIENTS = 4
LINES = 1_000
RECORDS = 150_000
GOALS = {"sqlite": 50_000, "postgresql": 30_000}


class Served:
    """`quark serve` in a process of its own."""

    def __init__(self, db: str, data: Path, workers: int = 1) -> None:
        self.config = ServiceConfig.of(db, data)
        data.mkdir(parents=True, exist_ok=True)
        keys = KeyStore(self.config.keys_url)
        self.key = keys.create("bench")[0]
        keys.close()
        self._log = (data / "log").open("wb")
        self.process = self._start(db, data, workers)

    def _start(self, db: str, data: Path, workers: int) -> "subprocess.Popen[bytes]":
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "quark.cli", "serve", "--db", db, "--data", str(data), "--port", str(port)]
        process = subprocess.Popen([*command, "--workers", str(workers)], stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return process
            except httpx.HTTPError:
                time.sleep(0.05)
        process.kill()
        raise RuntimeError("the service did not start")

    def cpu_s(self) -> float:
        """CPU seconds of the service, its workers included."""
        found = psutil.Process(self.process.pid)
        return sum(sum(each.cpu_times()[:2]) for each in (found, *found.children()))

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._log.close()


def client(url: str, key: str, number: int, per_second: float) -> None:
    """One training process's sink: it sends so much a second, or all as fast as it is taken; then it says how long."""
    origin = Origin(f"client-{number}-{os.getpid()}", "w")  # a run of its own: the service knows those of before
    bench_storage.BATCH_LINES = LINES
    made = [RecordBatch(origin, each.first, each.stop, each.data) for each in batches(RECORDS, 100)]
    sink = ServiceSink(connection=Connection(url, user_key=key))
    sink._run_id = origin.run_id
    sink.write(make_batch(origin, [start_line(origin)]))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    for count, batch in enumerate(made):
        sink.write(batch)
        if per_second:
            time.sleep(max(0.0, began + (count + 1) * LINES / per_second - time.time()))
    print(json.dumps([began, time.time()]), flush=True)
    sink.close()


class Load:
    """Four clients that send at once, so many records a second together if that is given."""

    def __init__(self, served: Served, per_second: float = 0.0) -> None:
        path = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": path}
        code = (
            "import sys; from tests.benchmarks.bench_service import client; a = sys.argv; "
            "client(a[1], a[2], int(a[3]), float(a[4]))"
        )
        share = str(per_second / CLIENTS)
        self._clients = [
            subprocess.Popen(
                [sys.executable, "-c", code, served.url, served.key, str(number), share],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=path, env=environment,
            )
            for number in range(CLIENTS)
        ]  # fmt: skip
        for each in self._clients:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"

    def go(self) -> None:
        """Let them send."""
        for each in self._clients:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()

    def seconds(self) -> float:
        """Wait for all; from the first one's beginning to the last one's end."""
        spans = [json.loads(each.communicate()[0]) for each in self._clients]
        return max(end for _, end in spans) - min(begin for begin, _ in spans)


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Either database."""
    return (
        f"sqlite:///{tmp_path}/data/quark.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )


@pytest.fixture
def served(db: str, tmp_path: Path) -> Iterator[Served]:
    """A service of one process."""
    made = Served(db, tmp_path / "data")
    yield made
    made.stop()


def test_ingestion(served: Served) -> None:
    """Goal: 50,000 records a second into SQLite and 30,000 into PostgreSQL, from four clients on two cores."""
    load = Load(served)
    cpu = served.cpu_s()
    load.go()
    seconds = load.seconds()
    cpu = served.cpu_s() - cpu
    goal = GOALS[served.config.db.partition(":")[0]]
    print(
        f"\n{served.config.db.partition(':')[0]}: {CLIENTS * RECORDS / seconds:,.0f} records/s (goal {goal:,}), "
        f"{cpu / (CLIENTS * RECORDS) * 1e6:.1f} us CPU of the service a record, loads {os.getloadavg()[0]:.1f}"
    )


def test_charts_under_load(tmp_path: Path) -> None:
    """Goal: p95 of a chart of 1,000 buckets over ten million points within 100 ms while 50,000 records/s come."""
    data = tmp_path / "data"
    config = ServiceConfig.of(f"sqlite:///{data}/quark.db")
    namespaces = Namespaces(config)
    store = namespaces.store(None)
    path = store.path
    namespaces.close()
    fill(path, 10_000_000, 1)
    served = Served(config.db, data)
    try:
        for per_second in (50_000, 0):
            charts(served, per_second)
    finally:
        served.stop()


def charts(served: Served, per_second: float) -> None:
    """Ask for charts while records come, and while none do."""
    load = Load(served, per_second)
    quiet, busy, ended = [], [], threading.Event()
    with httpx.Client(base_url=served.url, headers={"X-Quark-API-Key": served.key}) as http:

        def ask(times: list[float]) -> None:
            start = time.perf_counter()
            answer = http.get(f"/api/v1/runs/{RUN}/chart", params={"key": "layer/0/norm", "buckets": 1000})
            times.append((time.perf_counter() - start) * 1e3)
            assert len(answer.json()["count"]) >= 990

        for _ in range(20):
            ask(quiet)
        load.go()
        seconds: list[float] = []
        waiter = threading.Thread(target=lambda: (seconds.append(load.seconds()), ended.set()))
        waiter.start()
        while not ended.is_set():
            ask(busy)
            time.sleep(0.02)
        waiter.join()
    p95 = statistics.quantiles(busy, n=20)[-1]
    print(
        f"\nchart of 10,000,000 points: quiet p50 {statistics.median(quiet):.0f} ms; while "
        f"{CLIENTS * RECORDS / seconds[0]:,.0f} records/s come p50 {statistics.median(busy):.0f} ms, "
        f"p95 {p95:.0f} ms (goal 100), {len(busy)} charts"
    )
