"""What MLflow costs a training: called by the training itself, and through Quark.

What the training thread pays is in bench_mirrors. Run with: pytest tests/benchmarks/bench_mlflow.py -m benchmark -s
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mlflow")

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


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
