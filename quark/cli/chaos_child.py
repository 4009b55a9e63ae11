"""The process that the kill test kills: it logs, and notes after each call how many calls have returned."""

import json
import mmap
import os
import random
import sys
import threading
import time
from pathlib import Path

from ..producers.metrics import MetricsLogger
from ..records.line import Line, encode
from ..session import start_run

THREADS = 4
BURST = 20
CALLS = 20_000


def key_of(thread: int) -> str:
    """The metric that a thread logs; its steps count from 0."""
    return f"chaos/thread-{thread}"


def log_until_killed(storage_dir: str, run_id: str, acknowledged: str) -> None:
    """Log from four threads for ever. ``acknowledged`` is a file of one counter per thread, shared with the killer."""
    with open(acknowledged, "r+b") as file:
        counters = memoryview(mmap.mmap(file.fileno(), 8 * THREADS)).cast("Q")
    run = start_run(project="chaos", run_id=run_id, storage_dir=storage_dir, close_timeout_s=1)
    for number in range(THREADS):
        threading.Thread(target=_log, args=(MetricsLogger(run), number, counters), daemon=True).start()
    while True:
        time.sleep(60)


def _log(metrics: MetricsLogger, thread: int, counters: memoryview) -> None:
    key = key_of(thread)
    step = 0
    while True:
        for _ in range(BURST):
            metrics.log(key, float(step), step=step)
            step += 1
            counters[thread] = step
        time.sleep(random.random() * 2e-3)


def measure(storage_dir: str) -> None:
    """Print what a log call costs here, and what storing the same bytes into a mapped file costs, in nanoseconds."""
    with start_run(project="chaos-cost", storage_dir=storage_dir) as run, MetricsLogger(run) as metrics:
        metrics.log("chaos/cost", 0.0, step=0)
        calls = _timed(lambda step: metrics.log("chaos/cost", 0.5, step=step))
    line = encode(Line("metric", 123456, time.time_ns(), 12345, None, "chaos/cost", 0.5)) + b"\n"
    path = Path(storage_dir) / "floor"
    with open(path, "w+b") as file:
        os.posix_fallocate(file.fileno(), 0, len(line) * (CALLS + 1))
        buffer = mmap.mmap(file.fileno(), len(line) * (CALLS + 1))
    buffer[:] = b"\0" * len(buffer)

    def store(step: int) -> None:
        buffer[step * len(line) : (step + 1) * len(line)] = line

    floor = _timed(store)
    buffer.close()
    path.unlink()
    print(json.dumps({"log_ns": calls, "floor_ns": floor, "calls": CALLS}))


def _timed(call: object) -> dict[str, int]:
    times = []
    clock = time.perf_counter_ns
    for step in range(CALLS):
        began = clock()
        call(step)  # type: ignore[operator]
        times.append(clock() - began)
    times.sort()
    return {"p50": times[CALLS // 2], "p99": times[CALLS * 99 // 100], "max": times[-1]}


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        measure(sys.argv[2])
    else:
        log_until_killed(*sys.argv[2:5])
