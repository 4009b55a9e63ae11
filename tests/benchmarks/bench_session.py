"""What recording costs the training thread, and how soon it is durable.

Run with: pytest tests/benchmarks/bench_session.py -m benchmark -s -p no:randomly
"""

import os
import resource
import statistics
import subprocess
import sys
import threading
import time

import pytest

import quark

from .measuring import clock, each, interleaved, percentiles, plain_record, show

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


@pytest.fixture
def session(tmp_path):
    with quark.start_run(project="bench", storage_dir=tmp_path, close_timeout_s=60) as made:
        made.add_tracker(quark.JsonlSink(tmp_path / "run.jsonl"))
        made.add_tracker(quark.MemorySink(max_records=1000))
        yield made


def test_one_metric_a_call(session):
    """metrics.log with every sink attached, against a plain frozen dataclass of 13 fields, back to back."""
    log = quark.MetricsLogger(session).log
    log("train/loss", 1.0, step=0)
    values = {f"m/{n}": n * 0.1234567 for n in range(100)}
    session.log(values, step=0)
    session.flush()
    rows = interleaved(
        {
            "empty call": lambda n: None,
            "13-field record": plain_record,
            "metrics.log": lambda n: log("train/loss", 0.5 + n * 1e-7, step=n),
        },
        20_000,
    )
    rows |= interleaved({"run.log of 100": lambda n: session.log(values, step=n)}, 2_000)
    show("one call, us (medians of 5 interleaved rounds; the clock's 0.06 included)", rows)


def test_paced_calls(session):
    """One call every 10 ms, as in training, with cold caches."""
    log = quark.MetricsLogger(session).log
    log("train/loss", 1.0, step=0)
    values = {f"m/{n}": n * 0.1234567 for n in range(5)}
    session.log(values, step=0)
    show(
        "paced, us",
        {
            "empty call": percentiles(each(lambda n: None, 300, pause_s=0.01)),
            "13-field record": percentiles(each(plain_record, 300, pause_s=0.01)),
            "metrics.log": percentiles(each(lambda n: log("train/loss", 0.5, step=n), 300, pause_s=0.01)),
            "run.log of 5": percentiles(each(lambda n: session.log(values, step=n), 300, pause_s=0.01)),
        },
    )


def test_beside_a_busy_python_thread(session):
    """1e5 calls in bursts of 100 after each yield, while another thread computes: the call keeps the GIL."""
    log = quark.MetricsLogger(session).log
    log("train/loss", 1.0, step=0)
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    taken: dict[str, list[int]] = {"empty call": [], "metrics.log": [], "os.write": []}
    descriptor = os.open(os.devnull, os.O_WRONLY)
    calls = {
        "empty call": lambda n: None,
        "metrics.log": lambda n: log("train/loss", 0.5, step=n),
        "os.write": lambda n: os.write(descriptor, b"x"),
    }
    for burst in range(1000):
        for name, call in calls.items():
            if name == "os.write" and burst % 50:
                continue
            time.sleep(0)
            taken[name] += each(call, 100)
    stop.set()
    thread.join()
    os.close(descriptor)
    show("beside a busy thread, us", {name: percentiles(found) for name, found in taken.items()})


def test_a_million_metrics(tmp_path):
    """1e6 metrics: logged, durable in the store, CPU, memory; the store alone attached, and three keys apart."""
    rows = {}
    for repeat in range(3):
        with quark.start_run(project="bench", storage_dir=tmp_path / str(repeat), close_timeout_s=60) as session:
            log = quark.MetricsLogger(session).log
            log("train/loss", 1.0, step=0)
            session.flush()
            before, cpu, wall = _rss(), time.process_time(), time.perf_counter()
            for number in range(1_000_000):
                log("train/loss", 0.5, step=number)
            logged = time.perf_counter() - wall
            peak = _rss()
            session.flush(60)
            rows[f"run {repeat}"] = {
                "logged s": logged,
                "durable s": time.perf_counter() - wall,
                "cpu s": time.process_time() - cpu,
                "memory MB": (max(peak, _rss()) - before) / 2**20,
            }
    show("1e6 metrics back to back", rows)


def _rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


COLD = """
import time; begin = time.perf_counter()
import quark
run = quark.start_run(project="cold", storage_dir={directory!r})
quark.MetricsLogger(run).log("a", 1.0, step=0)
started = time.perf_counter() - begin
time.sleep(1.5)
begin = time.perf_counter()
run.end_run()
print(started, time.perf_counter() - begin)
"""


def test_cold_start_and_close(tmp_path):
    """Import, start and first log in a fresh process; closing a run whose records are all delivered."""
    starts, closes = [], []
    for repeat in range(7):
        code = COLD.format(directory=str(tmp_path / str(repeat)))
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        started, closed = map(float, out.split())
        starts.append(started)
        closes.append(closed)
    rows = {
        "start + first log": {"median s": statistics.median(starts), "max s": max(starts)},
        "close, idle": {"median s": statistics.median(closes), "max s": max(closes)},
    }
    show("cold start and close", rows)


def test_start_and_close_with_every_sink_hung(tmp_path):
    """Sinks that never return cost the start nothing and the end its timeout."""

    class Hung(quark.Sink):
        name = "hung"

        def on_start(self, manifest):
            time.sleep(3600)

    begin = time.perf_counter()
    session = quark.start_run(project="hung", storage_dir=tmp_path, trackers=[Hung(), Hung()], close_timeout_s=4)
    quark.MetricsLogger(session).log("a", 1.0, step=0)
    started = time.perf_counter() - begin
    begin = time.perf_counter()
    session.end_run()
    show("every sink hung", {"s": {"start": started, "close (timeout 4)": time.perf_counter() - begin}})


def test_off():
    """With QUARK_DISABLE=1 a log call costs next to nothing."""
    code = """
import os, timeit; os.environ["QUARK_DISABLE"] = "1"
import quark
run = quark.start_run(project="off")
metrics = quark.MetricsLogger(run)
log, values = metrics.log, {"a": 1.0}
for name, call in (("metrics.log", lambda: log("a", 1.0, step=3)), ("run.log", lambda: run.log(values, step=3))):
    empty = min(timeit.repeat(lambda: None, number=100000, repeat=5))
    print(name, (min(timeit.repeat(call, number=100000, repeat=5)) - empty) * 1e4)
"""
    print(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def test_import():
    """CPU of `import quark` above bare Python, medians of 9."""

    def cpu(code: str) -> float:
        found = []
        for _ in range(9):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return statistics.median(found) * 1e3

    bare, ours = cpu("pass"), cpu("import quark")
    names = cpu("import quark; quark.start_run; quark.MetricsLogger; quark.JsonlSink")
    show("import, CPU ms", {"ms": {"bare": bare, "import quark": ours - bare, "with the names used": names - bare}})
    assert clock() > 0
