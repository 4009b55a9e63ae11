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
STEPS = 1500

PROGRAM = """
import json, os, sys, time
import torch, quark
way, folder, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
model = torch.nn.Sequential(*[torch.nn.Linear(256, 256) for _ in range(6)])
data, optimizer = torch.randn(128, 256), torch.optim.SGD(model.parameters(), lr=0.01)
def train():
    optimizer.zero_grad()
    model(data).square().mean().backward()
    optimizer.step()
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
for step in range(50):
    train()
run = quark.start_run(project="p", storage_dir=folder + "/q", trackers=sinks, close_timeout_s=0.2)
values = {f"train/metric_{number}": 0.5 for number in range(20)}
for step in range(50):
    train(), run.log(values, step=step)
if way == "all three":
    while any(not sink["delivered"] for sink in run.health()["sinks"].values()):
        time.sleep(0.1)  # their imports are behind, in the way below they are not
calls, begun = [], (time.perf_counter(), time.thread_time())
for step in range(50, steps):
    train()
    at, thread = time.perf_counter(), time.thread_time()
    run.log(values, step=step)
    calls.append((time.thread_time() - thread, time.perf_counter() - at))
cpu, wall = (sorted(call[which] for call in calls)[len(calls) // 2] * 1e6 for which in (0, 1))
print(json.dumps({"call_cpu_us": cpu, "call_wall_us": wall,
                  "step_wall_ms": (time.perf_counter() - begun[0]) / len(calls) * 1e3,
                  "step_cpu_ms": (time.thread_time() - begun[1]) / len(calls) * 1e3}), flush=True)
os._exit(0)
"""


def measured(way: str, folder: Path) -> dict[str, float]:
    """Of one process: medians of the CPU and wall time of a call, microseconds, and means of those of a step."""
    folder.mkdir(parents=True)
    outside = {f"WANDB_{place}_DIR": str(folder / place) for place in ("DATA", "CACHE", "CONFIG")}
    outside |= {"HOME": str(folder), "CLEARML_CACHE_DIR": str(folder / "clearml"), "CLEARML_LOG_LEVEL": "ERROR"}
    if "threads" in way:
        outside["QUARK_SINK_PROCESSES"] = "0"
    order: list[Any] = [sys.executable, "-c", PROGRAM, way, folder, str(STEPS)]
    done = subprocess.run(order, capture_output=True, text=True, check=True, env={**os.environ, **outside}, cwd=folder)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_loop_does_not_feel_them(tmp_path: Path) -> None:
    """A training step of a few milliseconds with a call of 20 metrics: alone, with all three at work in processes of
    their own, the same from the first step on (their imports in between), on threads, and with all three hanging.
    """
    ways = ("none", "all three", "all three, from the start", "on threads, from the start", "hanging")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way in ways:  # taking turns: the machine is shared
            found[way].append(measured(way, tmp_path / f"{number}-{way.replace(' ', '-')}"))
    rows = {way: {name: statistics.median(one[name] for one in several) for name in several[0]}
            for way, several in found.items()}  # fmt: skip
    for row in rows.values():
        row["call (goal 1.1)"] = row["call_cpu_us"] / rows["none"]["call_cpu_us"]
        row["step"] = row["step_wall_ms"] / rows["none"]["step_wall_ms"]
    show("a training step with a call of run.log with 20 metrics", rows)
    assert rows["all three"]["call_cpu_us"] < 3 * rows["none"]["call_cpu_us"]
    assert rows["hanging"]["call_cpu_us"] < 3 * rows["none"]["call_cpu_us"]
