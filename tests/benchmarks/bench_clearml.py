"""What ClearML costs a training: called by the training itself, and through Quark; and when a server hangs.

Run with: pytest tests/benchmarks/bench_clearml.py -m benchmark -s -p no:randomly
"""

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("clearml")

from ..integrations.clearml_server import ClearMLServer
from ..integrations.clearml_session import clearml_environment
from .measuring import show

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]
ROOT = str(Path(__file__).parents[2])

# One process a way, so that nothing is warm for another's sake; the CPU is the whole process's, its exit included.
# The caller's own share is the CPU of its thread, which other programs of the machine hardly change.
WAYS = """
import os, resource, sys, time
way, directory, steps, pause_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
rows = [{f"group/metric_{k}": step / (k + 1) for k in range(int(sys.argv[5]))} for step in range(steps)]
if way == "clearml":
    from clearml import Task
    task = Task.init("bench", "bench", reuse_last_task_id=False, auto_connect_arg_parser=False,
                     auto_connect_frameworks=False, auto_resource_monitoring=False, auto_connect_streams=False)
    logger = task.get_logger()
    def log(row, step):
        for key, value in row.items():
            title, _, series = key.rpartition("/")
            logger.report_scalar(title, series, value, step)
else:
    import quark
    trackers = []
    if way != "quark":
        from quark_integrations.sinks.clearml import ClearMLSink
        trackers = [ClearMLSink(offline=way == "offline")]
    run = quark.start_run(project="bench", storage_dir=directory, trackers=trackers,
                          close_timeout_s=0.5 if way == "hangs" else 100)
    log = lambda row, step: run.log(row, step=step)
if pause_s:
    run.log({"first": 1.0}, step=0)
    time.sleep(2.5)  # clearml is imported meanwhile
begin, own = time.perf_counter(), time.thread_time()
for step, row in enumerate(rows):
    log(row, step)
    if pause_s:
        time.sleep(pause_s)
caller, thread = time.perf_counter() - begin, time.thread_time() - own
if way == "clearml":
    task.close()
else:
    run.finish("completed")
done = time.perf_counter() - begin
used = [sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(caller, thread, sum(used), done)
sys.stdout.flush()
os._exit(0)
"""


def _run(
    way: str, directory: Path, steps: int, pause_s: float = 0.0, width: int = 200, **environment: str
) -> list[float]:
    """Seconds of the caller, CPU seconds of its thread, of the process and its sink's, seconds until all is written."""
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WAYS, way, str(directory / "q"), str(steps), str(pause_s), str(width)],
        cwd=directory, check=True, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ROOT, **clearml_environment(directory), **environment},
    )  # fmt: skip
    return [float(word) for word in done.stdout.split()[-4:]]


def test_the_same_points_by_clearml_and_through_quark(tmp_path: Path) -> None:
    """5,000 points of 200 keys, offline: the caller pays a twentieth, and all in all it is less work.

    More would take minutes: clearml makes its caller wait for a tenth of a second and more with every 100 points.
    """
    ways = {"clearml": {"CLEARML_OFFLINE_MODE": "1"}, "offline": {}, "quark": {}}
    found: dict[str, list[list[float]]] = {way: [] for way in ways}
    for turn in range(2):
        for way, environment in ways.items():
            found[way].append(_run(way, tmp_path / f"{way}-{turn}", 25, **environment))
    names = ("caller_s", "caller_cpu_s", "cpu_s", "written_s")
    medians = {
        way: dict(zip(names, (statistics.median(one) for one in zip(*turns, strict=True)), strict=True))
        for way, turns in found.items()
    }
    show("5,000 points, 200 keys a step, means of 2", medians)
    assert medians["clearml"]["caller_s"] >= 20 * medians["offline"]["caller_s"]
    assert medians["offline"]["cpu_s"] <= medians["clearml"]["cpu_s"]


def test_the_training_thread(tmp_path: Path) -> None:
    """2,000 steps of 10 keys, a millisecond apart: the thread's CPU with the sink, and with a hung server, beside none.

    The import of clearml (0.7 s of CPU, once, on the sink's thread) is over before the loop begins.
    """
    server = ClearMLServer()
    server.awake.clear()
    try:
        found: dict[str, list[float]] = {"quark": [], "offline": [], "hangs": []}
        for turn in range(3):
            for way, taken in found.items():
                environment = server.environment() if way == "hangs" else {}
                taken.append(_run(way, tmp_path / f"{way}-{turn}", 2000, 0.001, 10, **environment)[1])
    finally:
        server.stop()
    medians = {way: statistics.median(taken) for way, taken in found.items()}
    show(
        "2,000 steps of 10 keys, a millisecond apart", {way: {"caller_cpu_s": taken} for way, taken in medians.items()}
    )
    assert medians["offline"] <= 1.1 * medians["quark"]
    assert medians["hangs"] <= 1.1 * medians["quark"]
