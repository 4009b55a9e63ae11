"""Everyday names: what was logged is read under the name that it was given, and under its key."""

import csv
import json
import os
import subprocess
import sys

import pytest

import quark
from quark import ArtifactStore, EventLogger, JsonlSink, MetricsLogger, SchemaValidationError, metric_key
from tests.everyday import NAMES


@pytest.fixture
def run(tmp_path):
    with quark.start_run(project="names", storage_dir=tmp_path / "store") as made:
        yield made


@pytest.fixture
def read(run):
    """The run as it is read from its store."""
    run.flush()
    with quark.open(run.storage_dir) as store:

        def look():
            run.flush()
            return store.run(run.run_id)

        yield look


def lines_of(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_name_is_there_as_it_was_given(run, read):
    """By ``log`` and by a logger, again and again; nothing is refused, and both name and key read the series."""
    metrics = MetricsLogger(run)
    for step in range(3):
        run.log(dict.fromkeys(NAMES, float(step)), step=step)
    for name in NAMES:
        assert metrics.log(name, 3.0, step=3).metric_key == metric_key(name)
    view = read()
    assert view.keys() == sorted(NAMES) == sorted(view.latest())
    assert view.names() == {name: metric_key(name) for name in NAMES}
    for name in NAMES:
        for asked in (name, metric_key(name)):
            assert view.series(asked).values.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert view.chart(name, buckets=2).count.sum() == 4
        assert len(view.metrics(name)) == len(metrics.read(metric_key=name)) == 4
    assert view.unrecorded().total == run.health()["refused"] == 0
    columns = list(view.to_pandas(wide=True).columns)
    assert columns[:2] == ["step", "epoch"]
    assert sorted(columns[2:]) == sorted("metric/epoch" if name == "epoch" else name for name in NAMES)


def test_a_name_is_recorded_once_and_before_its_first_value(run, tmp_path):
    """In the file of a JsonlSink as in the store: who reads line by line knows each name when its values come."""
    path = tmp_path / "run.jsonl"
    run.add_tracker(JsonlSink(path))
    for step in range(5):
        run.log({"Train Loss": 1.0, "lr": 0.1, "q=0.5": float("nan")}, step=step)
        MetricsLogger(run).log("Train Loss", 1.0, step=step)
    run.finish("completed")
    lines = lines_of(path)
    names = {line["body"]["key"]: line for line in lines if line["kind"] == "run" and line["label"] == "name"}
    assert {line["body"]["name"] for line in names.values()} == {"q=0.5", "Train Loss"}
    assert sum(line["kind"] == "run" and line["label"] == "name" for line in lines) == 2
    first = next(line for line in lines if metric_key("Train Loss") in (line.get("values") or {}))
    assert names[metric_key("Train Loss")]["sequence"] < first["sequence"]


def test_a_legal_name_keeps_its_key_whoever_came_first(run, read):
    """Also where it is the very key of another name: then the two are one series, and no value is lost."""
    for first, second in (("acc@1", "acc_1"), (metric_key("val loss"), "val loss")):
        run.log({first: 1.0, second: 2.0}, step=0)
        run.log({first: 3.0, second: 4.0}, step=1)
    view = read()
    assert view.series("acc@1").values.tolist() == [1.0, 3.0]
    assert view.series("acc_1").values.tolist() == [2.0, 4.0]
    assert view.series("val loss").values.tolist() == view.series(metric_key("val loss")).values.tolist()
    assert sorted(view.series("val loss").values.tolist()) == [1.0, 2.0, 3.0, 4.0]


def test_namespaces_take_any_text(run, read):
    """And can be asked for."""
    metrics = MetricsLogger(run)
    metrics.log("Top 1", 1.0, step=0, namespace="My Eval")
    metrics.log("loss", 2.0, step=0, namespace="My Eval")
    assert [record.value for record in metrics.read(namespace="My Eval")] == [1.0, 2.0]
    assert [record.value for record in metrics.read(metric_name="Top 1")] == [1.0]
    assert read().keys() == ["My Eval/Top 1", "My Eval/loss"]


def test_artifacts_and_events_take_any_text(run, read):
    """Their types and names too; a part of 300 characters is no problem for the disk."""
    artifacts, events = ArtifactStore(run), EventLogger(run)
    for name in NAMES:
        assert not artifacts.store("My Kind", name, {"name": name}).refused
        assert not events.log(name, payload={"name": name}).refused
    view = read()
    for name in NAMES:
        (artifact,) = view.artifacts(artifact_type="My Kind", artifact_key=name)
        assert view.load(artifact) == {"name": name}
        assert [event.payload["name"] for event in view.events(name)] == [name]
    assert events.log("Checkpoint Failed_error").severity == "error"


def test_text_keeps_its_name_and_makes_no_metric(run, read):
    """The name of a text is text in an event; the list of metrics does not have it. A number as text is text."""
    assert MetricsLogger(run).log("Stage", "0.5", step=0, namespace="My Run").refused
    run.log({"Best Model": "a.pt", "Train Loss": 1.0, "nothing here": None}, step=0)
    view = read()
    assert view.keys() == ["Train Loss"]
    assert [event.payload for event in view.events("logged_text")] == [{"My Run/Stage": "0.5"}, {"Best Model": "a.pt"}]


def test_strict_mode_keeps_to_the_grammar(tmp_path):
    """It raises at every door, and records no name."""
    with quark.start_run(project="names", storage_dir=tmp_path, strict_mode=True) as run:
        for call in (
            lambda: MetricsLogger(run).log("Train Loss", 1.0, step=0), lambda: run.log({"Train Loss": 1.0}, step=0),
            lambda: EventLogger(run).log("Train Loss"), lambda: ArtifactStore(run).store("a b", "c", 1),
            lambda: ArtifactStore(run).store("a", "c d", 1),
        ):  # fmt: skip
            with pytest.raises(SchemaValidationError, match="not allowed"):
                call()
        run.flush()
        assert run.reader().names(run.run_id) == {}


def test_a_name_that_holds_a_secret_is_recorded_without_it(run, read):
    """As every other text of a run."""
    run.log({"loss password=hunter2": 1.0}, step=0)
    (name,) = read().keys()
    assert "hunter2" not in name and "hunter2" not in metric_key(name)
    assert len(read().series(name)) == 1


KILLED = """
import os, signal, sys, quark
run = quark.start_run(project="p", storage_dir=sys.argv[1])
run.log({"Val Acc (top-1)": 1.0}, step=0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_names_survive_a_kill_and_a_resume(tmp_path):
    """They are in the journal before their values; a further attempt uses the same keys."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert view.keys() == ["Val Acc (top-1)"]
    with quark.resume_run(run_id=view.id, storage_dir=tmp_path) as run:
        run.log({"Val Acc (top-1)": 2.0}, step=1)
    with quark.open(tmp_path) as store:
        assert store.run(view.id).series("Val Acc (top-1)").values.tolist() == [1.0, 2.0]


def test_an_unknown_name_is_answered_with_the_nearest(run, read):
    """By the names that people see."""
    run.log({"Train Loss": 1.0}, step=0)
    with pytest.raises(quark.SessionStoreError, match="did you mean Train Loss"):
        read().series("Train Los")


def test_commands_speak_of_names(run, read, tmp_path):
    """Tables and exports: an artifact is found by its name, and the columns of a CSV say what was logged."""
    run.log({"Train Loss": 1.0}, step=0)
    ArtifactStore(run).store("My Kind", "größe", {"a": 1})
    EventLogger(run).log("Hello World")
    run.flush()

    def command(*arguments):
        line = [sys.executable, "-m", "quark.cli", *arguments, "-d", run.storage_dir]
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
        return subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout

    shown = command("show", run.run_id)
    for name in ("Train Loss", "größe", "My Kind", "Hello World"):
        assert name in shown and metric_key(name) not in shown
    assert command("artifacts", "get", run.run_id, "größe", "-o", "-") == '{"a":1}'
    (row,) = csv.DictReader(command("export", run.run_id, "-f", "csv").splitlines())
    assert (row["metric_key"], row["name"]) == (metric_key("Train Loss"), "Train Loss")
    for column in ("Train Loss", metric_key("Train Loss")):
        (listed,) = json.loads(command("runs", "--columns", f"{column}:max", "--json"))["runs"]
        assert listed["columns"][f"{column}:max"] == 1.0
    document = json.loads(command("export", run.run_id, "-f", "json"))
    assert document["names"]["artifact"][metric_key("größe")] == "größe"


@pytest.mark.parametrize(
    "where", [{"step": -1}, {"step": 0.5}, {"step": 2**63}, {"step": 3, "epoch": -1}, {"step": "7"}]
)
def test_a_position_that_no_series_has_loses_no_value(run, read, where, caplog):
    """Below zero, between two steps: each metric is refused by its name, with what to do, and an event keeps it."""
    run.log({"Val Loss": 0.5, "note": "text"}, **where)
    MetricsLogger(run).log("single", 2.0, **where)
    run.step(where["step"], {"stepped": 3.0}, epoch=where.get("epoch"))
    kept = [event.payload for event in read().events("metric_misplaced")]
    assert [payload["values"] for payload in kept] == [
        {"Val Loss": 0.5, "note": "text"},
        {"single": 2.0},
        {"stepped": 3.0},
    ]
    assert all(payload["step"] == where["step"] for payload in kept)
    assert read().unrecorded().keys == {"Val Loss": 1, "note": 1, "single": 1, "stepped": 1}
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "'Val Loss'" in said and "a whole step from 0 on" in said


@pytest.mark.parametrize("name", ["\ud800", "loss \udcff", "password=hunter2 loss"])
def test_a_name_that_is_recorded_otherwise_is_found_by_what_is_recorded(tmp_path, name):
    """Half of a surrogate pair and a secret are not kept; whoever lists the metrics can read each of them."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({name: 1.0}, step=0)
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert [view.series(known).values.tolist() for known in view.names()] == [[1.0]]
