"""What is refused is named once per metric, counted, and kept with the run: in `show`, `runs` and `doctor` too."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark import MetricsLogger

BAD = [f"no number {n}" for n in range(24)]


def start(directory: Path, **options):
    return quark.start_run(project="p", storage_dir=directory, **options)


def test_every_refused_metric_is_named_once(tmp_path, caplog):
    """24 bad values in a step are 24 lines, in a thousand steps too; a NaN does not hide another."""
    with caplog.at_level(logging.WARNING), start(tmp_path) as run:
        for step in range(50):
            run.log({"loss": float("nan"), "fine": 1.0, **dict.fromkeys(BAD, None)}, step=step)
        health = run.health()
    words = ("refused", "must be finite")
    lines = [record.getMessage() for record in caplog.records if any(word in record.getMessage() for word in words)]
    assert len(lines) == 25
    for name in ["loss", *BAD]:
        assert sum(f"metric '{name}'" in line for line in lines) == 1
    assert health["refused"] == 24 * 50
    assert health["faults"]["metric_nonfinite"]["subjects"] == {"loss": 50}
    assert health["faults"]["refused_WrongTypeError"]["subjects"]["no number 7"] == 50


def test_counts_of_subjects_are_bounded(tmp_path):
    """Names without end fill neither the memory nor the terminal; the total stays true."""
    with start(tmp_path) as run:
        for number in range(2000):
            run.log({f"name {number}": None}, step=0)
        faults = run.health()["faults"]["refused_WrongTypeError"]
        assert faults["count"] == 2000 == sum(faults["subjects"].values())
        assert len(faults["subjects"]) <= 501


def test_counts_stay_with_the_run(tmp_path):
    """They are read from the store after the process, over all attempts; a run without any has none."""
    with start(tmp_path) as run:
        for step in range(100):
            run.log({"Val Acc (top-1)": None, "ok": 1.0}, step=step)
            MetricsLogger(run).log("ok", None, step=step)
    with start(tmp_path, name="good") as good:
        good.log({"ok": 1.0})
    with quark.open(tmp_path) as store:
        found = store.run(run.run_id).unrecorded()
        assert (found.refused, found.dropped, found.set_aside, found.total) == (200, 0, 0, 200)
        assert dict(found.keys) == {"Val Acc (top-1)": 100, "ok": 100}
        assert store.run(good.run_id).unrecorded() == quark.UnrecordedValues()


def test_counts_of_attempts_are_added(tmp_path):
    """A resumed run counts on."""
    first = start(tmp_path)
    first.log({"bad value": None}, step=0)
    first.end_run("failed")
    with quark.resume_run(run_id=first.run_id, storage_dir=tmp_path) as second:
        second.log({"bad value": None, "worse": None}, step=1)
    with quark.open(tmp_path) as store:
        assert store.run(first.run_id).unrecorded().keys == {"bad value": 2, "worse": 1}


KILLED = """
import os, signal, sys, quark
run = quark.start_run(project="p", storage_dir=sys.argv[1])
for step in range(7):
    run.log({"bad value": None, "ok": 1.0}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_counts_survive_a_kill(tmp_path):
    """The refusals of the last moment are stored as the records of the last moment are."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (len(view.series("ok")), view.unrecorded().refused) == (7, 7)


def test_show_runs_and_doctor_say_it(tmp_path):
    """Who looks at the run sees that something is missing, how much, and of which metrics."""
    with start(tmp_path) as run:
        run.log({"Val Acc (top-1)": None, "ok": 1.0}, step=0)

    def command(*arguments: str) -> str:
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
        line = [sys.executable, "-m", "quark.cli", *arguments, "-d", str(tmp_path)]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment).stdout

    assert "not recorded: 1 values refused (Val Acc (top-1) 1)" in command("show")
    assert "not recorded" in command("runs")
    (listed,) = json.loads(command("runs", "--json"))["runs"]
    assert (listed["id"], listed["unrecorded"]) == (run.run_id, 1)
    checks = {check["name"]: check for check in json.loads(command("doctor", "--json"))["checks"]}
    assert checks["unrecorded values"]["status"] == "warning" and run.run_id in checks["unrecorded values"]["detail"]


@pytest.mark.parametrize("where", [{"step": 2**63}, {"step": 2**64}, {"step": 1, "epoch": 2**63}, {"step": -1}])
def test_steps_and_epochs_have_64_bits_at_every_door(tmp_path, where):
    """What no store could hold is refused and counted, not taken and lost; the steps after it count on as before."""
    with start(tmp_path) as run:
        metrics = MetricsLogger(run)
        metrics.log("a", 1.0, step=0)
        run.log({"a": 1.0}, step=0)
        assert metrics.log("a", 2.0, **where).refused
        run.log({"a": 2.0}, **where)
        run.step(where["step"], {"a": 2.0}, epoch=where.get("epoch"))
        assert quark.EventLogger(run).log("e", **where).refused
        assert quark.ArtifactStore(run).store("k", "n", 1, **where).refused
        assert quark.DataDiagnostics(run).log_batch(1.0, **where).refused
        assert quark.SystemTelemetry(run).sample(**where).refused
        assert run.add_log("m", **where).refused
        assert run.health()["refused"] == 8
        run.log({"a": 3.0})
        run.log({"a": 4.0}, step=2**63 - 1)
    counted_on = 2 if "epoch" in where else 1  # step 1 itself was good
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).series("a").steps.tolist() == [0, 0, counted_on, 2**63 - 1]


def test_text_in_log_is_kept_as_an_event(tmp_path):
    """A text beside numbers is no metric, and is not lost: the event holds it with its name and step."""
    with start(tmp_path) as run:
        run.log({"loss": 0.5, "phase": "warm-up", "nested": {"note": "n"}}, step=3)
        assert run.health()["refused"] == 0
        (event,) = quark.EventLogger(run).read(event_type="logged_text")
    assert (event.step, event.payload) == (3, {"phase": "warm-up", "nested/note": "n"})


def test_what_a_refused_call_returns_says_so(tmp_path):
    """A record of the promised class with what was given: code that reads its fields goes on."""
    with start(tmp_path) as run:
        record = MetricsLogger(run).log("train/loss", float("nan"), step=1)
        assert (record.refused, record.pending) == (True, False)
        assert (record.metric_key, record.namespace, record.metric_name) == ("train/loss", "train", "loss")
        assert record.step == 1
        assert record.value != record.value
        good = MetricsLogger(run).log("train/loss", 0.5, step=2)
        assert (good.refused, good.pending) == (False, False)
        for refused in (
            quark.EventLogger(run).log(5), run.add_log(""), quark.ArtifactStore(run).store("", 5, 1),
            quark.ArtifactStore(run).log_histogram("h", bins=[1.0, 1.0], counts=[1]),
            quark.DataDiagnostics(run).log_batch("x"), quark.SystemTelemetry(run).sample(epoch=-1),
        ):  # fmt: skip
            assert refused.refused
            assert refused.to_dict()["sequence"] == -1


FORKED = """
import os, sys, quark
run = quark.start_run(project="p", storage_dir=sys.argv[1])
run.log({"a": 1.0}, step=0)
child = os.fork()
if child == 0:
    for step in range(100):
        run.log({"a": 2.0}, step=step)
        run.log({"bad value": None}, step=step)
    os._exit(0)
os.waitpid(child, 0)
run.end_run()
"""


def test_a_forked_process_that_logs_is_told_once(tmp_path):
    """Its calls record nothing, which one line says; the parent's run is as it was."""
    done = subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr.count("was forked from the one that records run") == 1
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert view.series("a").values.tolist() == [1.0]


LONG = {
    "name": ({"name": "x" * 70_000}, "name has 70000 characters"),
    "wide name": ({"name": "\N{GRINNING FACE}" * 70_000}, "name has 70000 characters"),
    "tag": ({"tags": ["good", "x" * 600]}, "a tag has at most 512 characters"),
    "tags": ({"tags": [f"t{number}" for number in range(1200)]}, "at most 1000 tags"),
}


@pytest.mark.parametrize("what", LONG)
def test_a_start_with_too_much_text_starts(tmp_path, caplog, what):
    """What is too long is cut or left out, named and counted, and the run is stored; strict mode raises at once."""
    options, told = LONG[what]
    with pytest.raises(quark.errors.SchemaValidationError, match=told):
        start(tmp_path / "strict", strict_mode=True, **options)
    with caplog.at_level(logging.WARNING), start(tmp_path, **options) as run:
        run.log({"loss": 1.0}, step=0)
        assert run.health()["refused"] == 1
    assert sum(told in record.getMessage() for record in caplog.records) == 1
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert (view.status, len(view.series("loss"))) == ("completed", 1)
        if "name" in what:
            assert len(view.name) == 4096 and view.name.startswith(options["name"][:4000])
        else:
            assert view.tags == tuple(tag for tag in options["tags"] if len(tag) < 512)[:1000]


def test_many_long_tags_fit(tmp_path):
    """A thousand tags of the greatest length beside a large configuration are all stored."""
    tags = [f"{number:04}" + "\N{GRINNING FACE}" * 508 for number in range(1000)]
    with start(tmp_path, tags=tags, config={"text": "x" * (3_900_000)}) as run:
        assert run.health()["refused"] == 0
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert view.tags == tuple(tags)
        assert len(view.config["text"]) == 3_900_000


LATE = """
import sys, quark
class Model:
    def __init__(self, run): self.run = run
    def __del__(self): self.run.log({"a": 2.0}, step=1)
model = Model(quark.start_run(project="p", storage_dir=sys.argv[1]))
"""


def test_a_log_call_while_the_interpreter_ends_raises_nothing(tmp_path):
    """Objects die after the run has ended; what they log then is refused with a warning."""
    done = subprocess.run([sys.executable, "-c", LATE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "has ended" in done.stderr
    assert "Exception ignored" not in done.stderr
