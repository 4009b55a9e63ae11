"""What MLflow costs a training: called by the training itself, and through Quark.

Run with: pytest tests/benchmarks/bench_mlflow.py -m benchmark -s -p no:randomly
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow")

import quark
from quark_integrations.sinks.mlflow import MLflowSink

from ..integrations.mlflow_server import MlflowServer, environment, migrated
from .measuring import show

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]
ROOT = str(Path(__file__).parents[2])

# One process a way, so that nothing is warm for another's sake; the CPU is the whole process's, its exit included.
WAYS = """
import os, resource, sys, time
way, uri, directory, steps, width = *sys.argv[1:4], *map(int, sys.argv[4:])
rows = [{f"group/metric_{k}": step / (k + 1) for k in range(width)} for step in range(steps)]
if way == "quark":
    import quark
    from quark_integrations.sinks.mlflow import MLflowSink
    run = quark.start_run(project="bench", storage_dir=directory, close_timeout_s=300,
                          trackers=[MLflowSink("bench", tracking_uri=uri)])
    log = lambda row, step: run.log(row, step=step)
else:
    import mlflow
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("bench")
    mlflow.start_run()
    log = lambda row, step: mlflow.log_metrics(row, step=step, synchronous=way == "synchronous")
begin = time.perf_counter()
for step, row in enumerate(rows):
    log(row, step)
caller = time.perf_counter() - begin
if way == "quark":
    run.finish("completed")
    assert run.health()["sinks"]["mlflow"]["errors"] == 0
else:
    if way == "asynchronous":
        mlflow.flush_async_logging()
    mlflow.end_run()
used = [sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(caller, sum(used), time.perf_counter() - begin)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server of the benchmark's own."""
    made = MlflowServer(tmp_path_factory.mktemp("bench"), migrated(tmp_path_factory.mktemp("template") / "m.db"))
    made.start()
    yield made
    made.stop()


def _run(way: str, uri: str, directory: Path, steps: int, width: int) -> list[float]:
    """Seconds of the caller, CPU seconds of the process and of its sink's, seconds until all is delivered."""
    done = subprocess.run(
        [sys.executable, "-c", WAYS, way, uri, str(directory), str(steps), str(width)], cwd=directory, check=True,
        env={**environment(), "PYTHONPATH": ROOT, "QUARK_PROGRESS": "0"}, capture_output=True, text=True,
    )  # fmt: skip
    return [float(word) for word in done.stdout.split()[-3:]]


@pytest.mark.parametrize(("steps", "width"), [(500, 200), (2000, 5)], ids=["1e5 points, 200 a step", "1e4, 5 a step"])
def test_the_same_points(server: MlflowServer, tmp_path: Path, steps: int, width: int) -> None:
    """log_metrics once a step: through Quark it costs the caller a twentieth, and no more CPU in all."""
    ways = ("synchronous", "asynchronous", "quark")
    found: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(2):
        for way in ways:
            found[way].append(_run(way, server.uri, tmp_path, steps, width))
    best = {way: [min(column) for column in zip(*rounds, strict=True)] for way, rounds in found.items()}
    show(
        f"{steps * width} points, {width} a step (the better of 2 interleaved rounds)",
        {
            way: {
                "caller s": row[0],
                "us a point": row[0] / steps / width * 1e6,
                "CPU s": row[1],
                "delivered s": row[2],
            }
            for way, row in best.items()
        },
    )
    ours = best["quark"]
    assert best["synchronous"][0] >= 20 * ours[0] and best["asynchronous"][0] >= 20 * ours[0]
    assert ours[1] <= best["synchronous"][1]


def test_the_training_thread(server: MlflowServer, tmp_path: Path) -> None:
    """Its CPU for run.log with the sink attached against without, and beside a server that never answers."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        hangs = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        given: dict[str, Any] = {"none": [], "mlflow": [server.uri], "hangs": [hangs]}
        found: dict[str, list[float]] = {name: [] for name in given}
        for number in range(5):
            for name, uris in given.items():
                found[name].append(_thread_cpu(tmp_path / f"{name}-{number}", uris))
    rows = {name: {"us a call (median)": statistics.median(times) * 1e6} for name, times in found.items()}
    show("run.log of 5 values every millisecond, CPU of the training thread", rows)
    floor = statistics.median(found["none"])
    assert statistics.median(found["mlflow"]) <= 1.1 * floor
    assert statistics.median(found["hangs"]) <= 1.1 * floor


def _thread_cpu(directory: Path, uris: list[str]) -> float:
    """CPU seconds of one call in this thread; the sink has opened its run before, or is waiting for an answer."""
    sinks = [MLflowSink("bench", tracking_uri=uri) for uri in uris]
    values = {f"m/{number}": number * 0.1234567 for number in range(5)}
    with quark.start_run(project="bench", storage_dir=directory, trackers=sinks, close_timeout_s=1) as run:
        run.log(values, step=0)
        run.flush(3)
        spent, count = 0.0, 1500
        for step in range(1, count):
            time.sleep(0.001)
            begin = time.thread_time()
            run.log(values, step=step)
            spent += time.thread_time() - begin
    return spent / count


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
