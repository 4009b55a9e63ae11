"""A run's twin in ClearML, offline: what the session holds is what Quark holds, each once."""

import contextlib
import json
import logging
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

import quark
from quark.cli.entry import app
from quark.records.base import Origin
from quark.session.sync import sync
from quark.testing import SinkContract, event_line, make_batch, make_manifest, metric_lines
from quark_integrations.sinks.clearml import ClearMLSink
from quark_integrations.sinks.mirror import LayerSeries

from .clearml_session import UNSET, Session, clearml_environment, sessions

pytest.importorskip("clearml", reason='the ClearML client is needed: pip install "quark-tracker[clearml]"')
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ClearML lies outside of tmp_path, and it knows no server."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in clearml_environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def offline(**options: Any) -> ClearMLSink:
    return ClearMLSink(offline=True, **options)


class TestContract(SinkContract):
    """The contract of every sink, on an offline session."""

    kinds: ClassVar[frozenset[str] | None] = frozenset({"metric"})

    def make_sink(self, tmp_path: Path) -> ClearMLSink:
        return offline()

    def read_back(self, sink: Any) -> Iterable[Any]:
        tmp_path = Path(sink.link.path).parents[1]
        if not any((path / "metrics.jsonl").exists() for path in sessions(tmp_path)):
            return []
        points = Session(tmp_path).points()
        return [("metric", key, step, value) for key, step, value in _keyed(points) if not key.endswith("quark/epoch")]

    @contextlib.contextmanager
    def broken(self, sink: Any) -> Iterator[None]:
        folder = Path(sink.link.notes["folder"])
        folder.rename(folder.with_name("elsewhere"))
        folder.write_text("a file in the way")
        yield
        folder.unlink()
        folder.with_name("elsewhere").rename(folder)


def _keyed(points: Iterable[tuple[str, str, int, float]]) -> Iterator[tuple[str, int, float]]:
    for title, series, step, value in points:
        key = title if title == series else f"{title}/{series}"
        yield key.removeprefix("rank_1/"), step, value


def test_a_large_run_is_there_value_by_value(tmp_path: Path) -> None:
    """1e5 points of 200 keys, steps out of order, NaN, unicode names and 300 parameters: all there, none twice."""
    keys = [
        f"group-{number % 7}/metric_{number}" if number % 2 else f"train/deep/metric_{number}" for number in range(200)
    ]
    rng = random.Random(3)
    steps = list(range(500))
    rng.shuffle(steps)
    config = {"lr": 0.1, "long": "x" * 5000, **{f"gruppe_{at}": {"größe": at, "π": at / 7} for at in range(150)}}
    expected: Counter[tuple[str, int, float]] = Counter()
    sink = offline()
    with quark.start_run(
        project="groß/e", name="läuft", config=config, tags=["schnell"], storage_dir=tmp_path / "q", trackers=[sink],
        close_timeout_s=100,
    ) as run:  # fmt: skip
        for step in steps:
            values = {key: rng.gauss(0, 1e3) for key in keys}
            run.log(values, step=step)
            expected.update((key, step, value) for key, value in values.items())
        run.log({"train/bad": math.nan, "flat": 1.0}, step=7)
        run.log({"train/bad": -math.inf}, step=3)
        for value in (2.0, 2.0):
            run.log({"flat": value}, step=7)
    expected.update({("flat", 7, 1.0): 1, ("flat", 7, 2.0): 2})
    found = Session(tmp_path)
    nonfinite = [point for point in found.points() if point[0] == "quark/nonfinite"]
    assert nonfinite == [("quark/nonfinite", "train/bad", 7, 1), ("quark/nonfinite", "train/bad", 3, 2)]
    assert (
        found.counted() - Counter({("quark/nonfinite/train/bad", 7, 1.0): 1, ("quark/nonfinite/train/bad", 3, 2.0): 1})
        == expected
    )
    assert (found.task["name"], found.task["project_name"], found.task["status"]) == ("läuft", "groß/e", "completed")
    assert found.task["tags"] == ["schnell"]
    params = found.params()
    assert params.pop("long") == "x" * 3999 + "…"
    assert params == {"lr": "0.1"} | {
        f"gruppe_{at}/{name}": repr(value) for at in range(150) for name, value in (("größe", at), ("π", at / 7))
    }
    assert found.configuration("quark/config") == config
    assert found.packed() == {"task.json", "metrics.jsonl", "log.jsonl"}


@pytest.mark.parametrize(
    ("reason", "status"), [("completed", "completed"), ("error", "failed"), ("interrupted", "stopped")]
)
def test_the_end_is_true(tmp_path: Path, reason: Any, status: str) -> None:
    """Completed, failed and stopped, with the reason, and the user's notes before it in the comment."""
    sink = offline(notes="mine", task_name="t", project_name="p2")
    with quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[sink]) as run:
        run.log({"loss": 1.0}, step=0)
        run.finish(reason)
    task = Session(tmp_path).task
    assert (task["status"], task["status_reason"], task["name"], task["project_name"]) == (status, reason, "t", "p2")
    assert task["comment"].splitlines()[0] == "mine" and f"({reason})" in task["comment"]


def test_a_resumed_run_goes_on_in_its_task(tmp_path: Path) -> None:
    """The second attempt writes into the same session, shifts nothing, and replaces tables, status and zip."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path / "q", trackers=[offline()]) as run:
        run.log({"loss": 1.0}, step=5)
        run.finish("interrupted")
    with quark.resume_run(run_id="r", storage_dir=tmp_path / "q", trackers=[offline()]) as run:
        run.log({"loss": 2.0}, step=1)
    found = Session(tmp_path)
    assert found.points() == [("loss", "loss", 5, 1.0), ("loss", "loss", 1, 2.0)]
    assert (found.task["status"], found.params("Quark")["attempt"]) == ("completed", "2")
    assert [row["event_type"] for row in found.rows("events")].count("run_ended") == 2


@pytest.mark.parametrize("planted", ["folder", "task"])
def test_a_folder_of_somebody_else_is_not_written_to(tmp_path: Path, planted: str) -> None:
    """A link that names another directory, or the session of another run, is not followed."""
    sink = offline()
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "metrics.jsonl").write_text("mine")
    if planted == "task":
        sink.link.backend_id = "offline-" + "0" * 32
    sink.link.notes = {"folder": str(victim), "marks": {"metrics.jsonl": 0}}
    batch = make_batch(ORIGIN, metric_lines(3))
    if planted == "task":
        with pytest.raises(LookupError):
            sink.write(batch)
    sink.write(batch)
    sink.close()
    assert [path.name for path in victim.iterdir()] == ["metrics.jsonl"]
    assert (victim / "metrics.jsonl").read_text() == "mine"


def test_a_child_knows_its_parents_task(tmp_path: Path) -> None:
    """The parent's twin is named; an offline one is no task of a server, so it stands among the parameters."""
    for run_id, parent in (("a", None), ("b", "a")):
        with quark.start_run(
            project="p", run_id=run_id, parent_run_id=parent, storage_dir=tmp_path / "q", trackers=[offline()]
        ) as run:
            run.log({"x": 1.0}, step=0)
    tasks = {json.loads((path / "task.json").read_text())["id"] for path in sessions(tmp_path)}
    (child,) = [t for path in sessions(tmp_path) if "parent_task" in (t := _quark(path))]
    assert child["parent_task"]["value"] in tasks and child["parent_run_id"]["value"] == "a"


def _quark(path: Path) -> dict[str, Any]:
    return json.loads((path / "task.json").read_text())["hyperparams"]["Quark"]


def test_an_export_twice_changes_nothing(tmp_path: Path) -> None:
    """``quark export --to clearml`` brings a stored run as it would have come live; again, it does nothing."""
    with quark.start_run(project="p", name="n", run_id="r", config={"a": 1}, storage_dir=tmp_path / "q") as run:
        for step in range(50):
            run.log({"loss": float(step)}, step=step)
    order = ["export", "r", "--storage-dir", str(tmp_path / "q"), "--to", "clearml", "--set", "offline=true"]
    contents = []
    for _ in range(2):
        result = CliRunner().invoke(app, order)
        assert result.exit_code == 0, result.output
        (folder,) = sessions(tmp_path)
        contents.append({path: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    found = Session(tmp_path)
    assert found.points() == [("loss", "loss", step, float(step)) for step in range(50)]
    assert (found.task["status"], found.task["name"], found.params()) == ("completed", "n", {"a": "1"})
    assert contents[0] == contents[1]


def test_an_export_since_a_step(tmp_path: Path) -> None:
    """Only what is at the step or later is sent."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path / "q") as run:
        for step in range(50):
            run.log({"loss": float(step)}, step=step)
    order = ["export", "r", "--storage-dir", str(tmp_path / "q"), "--to", "clearml", "--since", "40"]
    result = CliRunner().invoke(app, [*order, "--set", "offline=true"])
    assert result.exit_code == 0, result.output
    assert [step for *_, step, _ in Session(tmp_path).points()] == list(range(40, 50))


# What nobody asked for is not done

INTERFERENCE = """
import argparse, os, signal, sys, threading, time
def taken():
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGABRT)]
    return [sys.excepthook, sys.stdout.write, sys.stderr.write, os.fork, os._exit, open, handlers]
import clearml, torch  # the import itself is the user's choice
import quark
from quark_integrations.sinks.clearml import ClearMLSink
threads, save = set(threading.enumerate()), torch.save
with quark.start_run(project="p", storage_dir=sys.argv[1]) as run:
    before = taken()
    run.add_tracker(ClearMLSink(offline=True))
    run.log({"x": 1.0}, step=0)
    while run.health()["sinks"]["clearml"]["pending"]:
        time.sleep(0.01)
    assert taken() == before and torch.save is save
    more = {thread for thread in threading.enumerate() if not thread.name.startswith("quark-")} - threads
    assert not more, more
assert clearml.Task.current_task() is None and not clearml.Task.is_offline()
args = argparse.ArgumentParser()
args.add_argument("dir")
assert args.parse_args([sys.argv[1]]).dir == sys.argv[1]
"""


@pytest.mark.torch
@pytest.mark.slow
def test_nothing_of_clearmls_automatic_logging_is_on(tmp_path: Path) -> None:
    """No hook, no signal handler, no thread, no current task; offline is the sink's alone, not the process's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERFERENCE, tmp_path / "q"], capture_output=True, text=True,
        check=False, cwd=tmp_path, env={"PATH": "", "PYTHONPATH": str(ROOT), **clearml_environment(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Session(tmp_path).points() == [("x", "x", 0, 1.0)]


def test_clearml_is_not_imported_by_the_training(tmp_path: Path) -> None:
    """Making the sink imports nothing of clearml."""
    code = "import sys; from quark_integrations.sinks.clearml import ClearMLSink; ClearMLSink()"
    code += "; print('clearml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout == "False\n"


def test_no_credentials(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without credentials the run is an offline session, and one warning says how it comes online."""
    with (
        caplog.at_level(logging.WARNING, "quark"),
        quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=["clearml"]) as run,
    ):
        run.log({"loss": 1.0}, step=0)
    (message,) = [record.getMessage() for record in caplog.records if "ClearML" in record.getMessage()]
    assert "clearml-init" in message and "import_offline_session" in message and str(tmp_path / "clearml") in message
    assert Session(tmp_path).task["status"] == "completed"


@pytest.mark.parametrize(("said", "quiet"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline_is_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: str, quiet: bool
) -> None:
    """CLEARML_OFFLINE_MODE chooses quietly; one that means no chooses nothing."""
    monkeypatch.setenv("CLEARML_OFFLINE_MODE", said)
    with caplog.at_level(logging.WARNING, "quark"):
        sink = ClearMLSink()
        sink.on_start(make_manifest(Origin("r", "w"), run_path=str(tmp_path)))
        sink.close()
    assert ("clearml-init" not in caplog.text) is quiet


def test_clearml_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning with the pip line, and the records wait; in strict mode an error where the sink is made."""
    real = quark_find_spec()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "clearml" else real(name, *a))
        with pytest.raises(quark.MissingDependencyError, match=r"pip install .*quark-tracker\[clearml\]"):
            ClearMLSink(strict_mode=True)
        with caplog.at_level(logging.WARNING, "quark"):
            run = quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[offline()], close_timeout_s=1)
            run.log({"loss": 1.0}, step=0)
            run.flush(2)
            assert run.health()["sinks"]["clearml"]["pending"] > 0
            run.finish("completed")
        assert sum("quark-tracker[clearml]" in record.getMessage() for record in caplog.records) == 1
    assert sync(tmp_path / "q").problems == []
    assert Session(tmp_path).points() == [("loss", "loss", 0, 1.0)]


def quark_find_spec() -> Any:
    import importlib.util

    return importlib.util.find_spec


def test_options_that_cannot_be_used() -> None:
    """A bad option is named where the sink is made, before anything is recorded."""
    with pytest.raises(quark.ConfigurationError, match="table_rows"):
        ClearMLSink(table_rows=1)


def test_layers_are_chosen() -> None:
    """Patterns, one pattern, or a LayerSeries; a sink made again from its description chooses the same."""
    series = LayerSeries(("head.*",), layer_fields=("norm",))
    assert ClearMLSink(layers="head.*").layers.names == ("head.*",)
    again = ClearMLSink(**json.loads(json.dumps(ClearMLSink(layers=series).spec())))
    assert again.layers.wants("head.0") and not again.layers.wants("net.0") and again.layers.layer_fields == ("norm",)


# What was not acknowledged

ORIGIN = Origin("run-1", "w")


def _taken_and_not_noted(tmp_path: Path, sink: ClearMLSink) -> None:
    """A process that wrote a batch and died before it noted that down; the last line is torn."""
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    sink.write(make_batch(ORIGIN, metric_lines(5)))
    noted = sink.link.path.read_bytes()
    sink.write(make_batch(ORIGIN, [*metric_lines(5, first_step=5), event_line("saved")], 5))
    sink.close()
    sink.link.path.write_bytes(noted)
    with (Path(sink.link.notes["folder"]) / "metrics.jsonl").open("ab") as file:
        file.write(b'[{"type": "training_stats_sc')


def test_what_was_written_and_not_noted_comes_once(tmp_path: Path) -> None:
    """What lies behind the noted end of the files is cut off, a torn line too, and comes again."""
    _taken_and_not_noted(tmp_path, offline())
    again = offline()
    again.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    assert again.position("w") == 5
    again.write(make_batch(ORIGIN, [*metric_lines(6, first_step=5), event_line("saved")], 5))
    again.on_stop(None, "completed")
    again.close()
    found = Session(tmp_path)
    assert [step for *_, step, _ in found.points()] == list(range(11))
    assert len(found.lines) == 1


def test_a_session_that_was_cleared_away(tmp_path: Path) -> None:
    """A resumed run whose session is gone writes what is new into a fresh one of the same id."""
    import shutil

    with quark.start_run(
        project="p", run_id="r", config={"a": 1}, storage_dir=tmp_path / "q", trackers=[offline()]
    ) as run:
        run.log({"loss": 1.0}, step=0)
        run.finish("interrupted")
    (folder,) = sessions(tmp_path)
    shutil.rmtree(folder)
    with quark.resume_run(run_id="r", storage_dir=tmp_path / "q", trackers=[offline()]) as run:
        run.log({"loss": 2.0}, step=1)
    found = Session(tmp_path)
    assert (found.path, found.points(), found.params()) == (folder, [("loss", "loss", 1, 2.0)], {"a": "1"})
