"""QUARK_DISABLE=1: every call does nothing; there is no thread, no file, no socket."""

import subprocess
import sys

EVERYTHING = """
import os, sys, threading
import quark
before = set(sys.modules)
with quark.start_run(project="off", config={"a": 1}, trackers=[]) as run:
    metrics, events = quark.MetricsLogger(run), quark.EventLogger(run)
    artifacts, telemetry = quark.ArtifactStore(run), quark.SystemTelemetry(run)
    record = metrics.log("a", 1.0, step=0)
    record.to_dict()
    metrics.log("no good key", float("nan"))
    events.log("seen").to_dict()
    events.add_log("hello")
    artifacts.store("kind", "name", {"a": 1}).payload_relative_path
    with telemetry.start_step(0) as scope:
        scope.mark_data_ready()
    run.log({"a": 1.0}); run.step(3, {"a": 1.0}); run.add_tag("t"); run.add_log("x"); run.flush()
    run.add_tracker("jsonl"); run.reload(); run.health(); run.to_dict()
    assert list(run.steps([1, 2], epoch=0)) == [1, 2]
    for number in run.steps(range(9)):
        run.stop()
    assert number == 0, number
    for producer in (metrics, events, artifacts, telemetry):
        producer.flush() if hasattr(producer, "flush") else None
        producer.close()
assert run.status == "completed", run.status
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert os.listdir(".") == [], os.listdir(".")
print("nothing", len(os.listdir("/proc/self/fd")))
"""


def test_nothing_happens(tmp_path):
    """The whole surface runs through and leaves no thread, no file and no open descriptor."""
    result = subprocess.run(
        [sys.executable, "-c", EVERYTHING], cwd=tmp_path, env={"QUARK_DISABLE": "1", "PATH": "/usr/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["nothing", "4"]
    assert result.stderr == ""
