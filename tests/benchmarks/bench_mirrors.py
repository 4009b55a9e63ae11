"""What the training thread pays with MLflow, W&B and ClearML attached at once, and when their backends hang."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .measuring import show

for backend in ("mlflow", "wandb", "clearml"):
    pytest.importorskip(backend, reason=f'all three are attached: pip install "quark-tracker[{backend}]"')

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

ROUNDS = 3
STEPS = 3000

PROGRAM = """
import json, sys, time
import quark
way, folder, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
sinks = []
if way != "none":
    from quark_integrations.sinks.clearml import ClearMLSink
    from quark_integrations.sinks.mlflow import MLflowSink
    from quark_integrations.sinks.wandb import WandbSink
    sinks = [MLflowSink(tracking_uri=f"sqlite:///{folder}/mlflow.db"), WandbSink(mode="offline", dir=folder),
             ClearMLSink(offline=True)]
if way == "hanging":
    for sink in sinks:
        sink.write = lambda batch: time.sleep(3600)
run = quark.start_run(project="p", storage_dir=folder + "/q", trackers=sinks, close_timeout_s=0.2)
values = {f"train/metric_{number}": 0.5 for number in range(20)}
for step in range(200):
    run.log(values, step=step)
if way == "all three":
    time.sleep(20)  # their imports are behind: what is compared is the loop
calls = []
for step in range(200, steps):
    at, thread = time.perf_counter(), time.thread_time()
    run.log(values, step=step)
    calls.append((time.thread_time() - thread, time.perf_counter() - at))
    time.sleep(0.0005)
cpu, wall = (sorted(call[which] for call in calls)[len(calls) // 2] * 1e6 for which in (0, 1))
print(json.dumps({"cpu_us": cpu, "wall_us": wall}), flush=True)
import os
os._exit(0)
"""


def measured(way: str, folder: Path) -> dict[str, float]:
    """Medians of one process: CPU and wall time of a call, microseconds."""
    folder.mkdir(parents=True)
    outside = {f"WANDB_{place}_DIR": str(folder / place) for place in ("DATA", "CACHE", "CONFIG")}
    outside |= {"HOME": str(folder), "CLEARML_CACHE_DIR": str(folder / "clearml"), "CLEARML_LOG_LEVEL": "ERROR"}
    order: list[Any] = [sys.executable, "-c", PROGRAM, way, folder, str(STEPS)]
    done = subprocess.run(order, capture_output=True, text=True, check=True, env={**os.environ, **outside}, cwd=folder)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_loop_does_not_feel_them(tmp_path: Path) -> None:
    """A call of 20 metrics, microseconds: alone, with all three at work on their threads, and with all three hanging.

    Hanging sinks cost nothing; busy ones share caches and the interpreter with the loop, which its calls feel.
    """
    ways = ("none", "all three", "hanging")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way in ways:  # taking turns: the machine is shared
            found[way].append(measured(way, tmp_path / f"{number}-{way.replace(' ', '-')}"))
    rows = {
        way: {name: statistics.median(one[name] for one in several) for name in ("cpu_us", "wall_us")}
        for way, several in found.items()
    }
    for row in rows.values():
        row["ratio (goal 1.1)"] = row["cpu_us"] / rows["none"]["cpu_us"]
    show("a call of run.log with 20 metrics", rows)
    assert rows["all three"]["cpu_us"] < 100
    assert rows["hanging"]["cpu_us"] < 3 * rows["none"]["cpu_us"]
