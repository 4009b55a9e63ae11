"""What a run costs that goes to W&B: by W&B's own client, and through Quark; processes of their own, taking turns."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .measuring import show

pytest.importorskip("wandb", reason='the W&B client is compared: pip install "quark-tracker[wandb]"')

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

POINTS = 100_000
ROUNDS = 3

PROGRAM = """
import json, os, resource, sys, time
way, folder, points, keys = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
steps = points // keys
names = [f"train/metric_{number}" for number in range(keys)]

def cpu():
    # the children too once they have ended: wandb-core is one
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

if way == "wandb":
    import wandb
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, disable_code=True,
                              x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False)
    run = wandb.init(mode="offline", dir=folder, project="p", settings=settings)
else:
    import quark
    from quark_integrations.sinks.wandb import WandbSink
    import wandb  # both have it imported when the clock starts; so the sink stays on a thread, and its core is counted
    sinks = [] if way == "quark alone" else [WandbSink(mode="offline", dir=folder)]
    run = quark.start_run(project="p", storage_dir=folder + "/q", trackers=sinks, close_timeout_s=120)
begin = cpu()
caller = wall = 0.0
for step in range(steps):
    values = {name: step + 0.5 for name in names}
    at, thread = time.perf_counter(), time.thread_time()
    run.log(values, step=step)
    caller += time.thread_time() - thread
    wall += time.perf_counter() - at
run.finish() if way == "wandb" else run.finish("completed")
import wandb
wandb.teardown()
print(json.dumps({"caller": caller, "wall": wall, "total": cpu() - begin}))
"""


def measured(way: str, folder: Path, points: int, keys: int) -> dict[str, float]:
    """Seconds: the caller's CPU, its wall time, and the CPU of all processes until everything is written."""
    folder.mkdir(parents=True)
    outside = {f"WANDB_{place}_DIR": str(folder / place) for place in ("DATA", "CACHE", "CONFIG")}
    order: list[Any] = [sys.executable, "-c", PROGRAM, way, folder, str(points), str(keys)]
    done = subprocess.run(order, capture_output=True, text=True, check=True, env={**os.environ, **outside})
    return json.loads(done.stdout.splitlines()[-1])


def best(ways: tuple[str, ...], folder: Path, keys: int) -> dict[str, dict[str, float]]:
    """The least of each figure over rounds in which the ways take turns: what others do only adds to it."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way in ways:
            found[way].append(measured(way, folder / f"{number}-{way}", POINTS, keys))
    return {way: {key: min(one[key] for one in all) for key in all[0]} for way, all in found.items()}


@pytest.mark.parametrize("keys", [1, 10])
def test_beside_its_own_client(tmp_path: Path, keys: int) -> None:
    """The same 1e5 points: the caller pays a twentieth at most, all processes together no more; and beside a run
    without the sink the caller pays at most a tenth more."""
    ways = ("wandb", "quark", "quark alone")
    rows = best(ways, tmp_path, keys)
    show(f"{POINTS:,} points, {keys} a step: seconds", rows)
    assert rows["wandb"]["caller"] >= 20 * rows["quark"]["caller"]
    assert rows["quark"]["total"] <= rows["wandb"]["total"]
    assert rows["quark"]["caller"] <= 1.1 * rows["quark alone"]["caller"]
