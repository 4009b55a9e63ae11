"""What MLflow holds of a run: everything that the table of meanings promises, on a real server."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import quark
from quark.records.base import Origin
from quark.records.kinds import KINDS
from quark.records.line import Line
from quark.testing import SinkContract, alert_line, event_line, make_batch, make_manifest, metric_lines, run_line

pytest.importorskip("mlflow")
from mlflow import MlflowClient
from mlflow.entities import Run

from quark_integrations.sinks.mirror import TABLES, LayerSeries
from quark_integrations.sinks.mlflow import MLflowSink
from quark_integrations.sinks.mlflow.meaning import MEANING, table
from quark_integrations.sinks.mlflow.names import name_for

from .mlflow_server import MlflowServer, content, files, points, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("mlflow_quiet")]
DOCS = Path(__file__).parents[2] / "docs"


def test_a_large_run_is_found_whole(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """1e5 points of 200 keys, steps out of order, NaN, names of any script, 300 parameters: all equal in MLflow."""
    uri = mlflow_server.uri
    config = {f"p{number}": number for number in range(297)}
    config |= {"größe [µm]": 1, "deep": {"a/b": {"c": [1, 2]}}, "long": "x" * 7000}
    keys = [f"group-{number % 7}/metric_{number}" for number in range(200)]
    steps = [step for step in range(500) if step % 5] + [step for step in range(500) if not step % 5]
    sink = MLflowSink("Große Läufe 🔥", tracking_uri=uri)
    with quark.start_run(
        project="p", name="ein Läufer", config=config, tags=["schnell", "a=b 長"], storage_dir=tmp_path,
        trackers=[sink], close_timeout_s=200,
    ) as run:  # fmt: skip
        for step in steps:
            run.log({key: step / (number + 1) for number, key in enumerate(keys)}, step=step, epoch=step // 100)
        run.log({"sick": math.nan}, step=3)
        run.log({"sick": -math.inf}, step=4)
    client = MlflowClient(uri)
    made = client.get_run(str(sink.link.backend_id))
    run_id = made.info.run_id
    assert (made.info.status, made.info.run_name) == ("FINISHED", "ein Läufer")
    assert client.get_experiment(made.info.experiment_id).name == "Große Läufe 🔥"
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert {*view.keys(), "sick", "quark/epoch"} == made.data.metrics.keys()
        for key in keys[::10]:
            series = view.series(key)
            expected = sorted(zip(series.steps.tolist(), series.values.tolist(), strict=True))
            assert sorted(points(uri, run_id, key)) == expected and len(expected) == 500
    (_, nan), (_, low) = sorted(points(uri, run_id, "sick"))
    assert math.isnan(nan) and low == -sys.float_info.max
    names = content(uri, run_id, "quark/names.json", tmp_path)
    params = {names.get(key, key): value for key, value in made.data.params.items()}
    assert params.pop("long") == "x" * 5999 + "…"
    assert params == {
        **{f"p{number}": str(number) for number in range(297)}, "größe [µm]": "1", "deep.a/b.c": "[1, 2]",
    }  # fmt: skip
    assert content(uri, run_id, "quark/config.json", tmp_path) == config
    assert {"schnell", "a=b 長"} <= set(made.data.tags.values())
    summary = {row["key"]: row for row in rows(uri, run_id, "summary", tmp_path)}
    assert (summary[keys[0]]["count"], summary[keys[0]]["max"], summary[keys[0]]["last_step"]) == (500, 499.0, 499)


# The table of meanings

ORIGIN = Origin("run-1", "w")
BODIES: dict[str, dict[str, Any]] = {
    "telemetry": {"boundary": "step", "step_time_ms": 12.5},
    "layer": {
        "module_name": "net[0]", "module_type": "Linear", "summary_type": "activation", "hook_direction": "forward",
        "norm": 2.0,
    },
    "parameter": {"parameter_name": "net.weight", "weight_norm": 3.0},
    "batch": {"loss": 0.5, "sample_ids": [], "class_counts": {"7": 2}},
    "health": {"score_key": "overall", "score": 40.0, "status": "degraded", "evidence": []},
    "phase": {"phase_name": "stagnation", "display_name": "Stagnation", "summary": "", "step_start": 1, "step_end": 2},
}  # fmt: skip


def line(kind: str, body: dict[str, Any], label: str | None = None) -> Line:
    """A line of any kind at step 4."""
    return Line(kind, 0, 1_790_000_000_000_000_000, 4, None, label=label, body=msgspec.Raw(json.dumps(body).encode()))


class Found:
    """A run with a record of everything, and what a client of MLflow finds of it."""

    def __init__(self, uri: str, directory: Path) -> None:
        self.uri = uri
        self.directory = directory
        parent = MLflowSink("meanings", tracking_uri=uri)
        self._play(parent, "parent", [*metric_lines(1)], 1)
        self.parent_id = str(parent.link.backend_id)
        payload = directory / "run-1" / "artifacts" / "note" / "a" / "1.txt"
        payload.parent.mkdir(parents=True)
        payload.write_text("hello")
        artifact = {
            "artifact_type": "note", "artifact_name": "a", "artifact_key": "a", "payload_format": "text",
            "payload_relative_path": "artifacts/note/a/1.txt", "metadata_relative_path": "x", "size_bytes": 5,
            "sha256": "0" * 64,
        }  # fmt: skip
        tasks = {"tasks": {"train": {"function": "f", "log_params": {"kernel": "rbf"}}}, "max_steps": 9}
        lines = [
            *metric_lines(3, epoch=2),
            Line("metric", 0, 1, None, 7, "val/loss", 0.25),
            event_line("metric_nonfinite", "error", {"key": "bad", "value": "inf"}, step=1),
            event_line("loop_started", payload=tasks), alert_line("spike", "error", step=3),
            run_line("tag", {"tag": "late"}), run_line("config", {"values": {"late": 7}, "step": 3}),
            event_line("summary", payload={"values": {"best": 0.9, "word": "fine", "train/loss": 0.1}}, step=3),
            event_line("note", payload={"text": "by hand"}),
            line("artifact", artifact, "a"),
            *(line(kind, body, body.get("module_name") or body.get("parameter_name")) for kind, body in BODIES.items()),
        ]  # fmt: skip
        self._play(MLflowSink("meanings", tracking_uri=uri), "run-1", lines, 1)
        second = MLflowSink("meanings", tracking_uri=uri)
        self._play(second, "run-1", metric_lines(1), 2)
        self.run: Run = MlflowClient(uri).get_run(str(second.link.backend_id))
        self.id, self.tags, self.params = self.run.info.run_id, self.run.data.tags, self.run.data.params

    def _play(self, sink: MLflowSink, run_id: str, lines: list[Line], attempt: int) -> None:
        origin = Origin(run_id, f"w{attempt}", 0, attempt)
        sink.on_start(make_manifest(
            origin, run_path=str(self.directory / run_id), params={"lr": 0.1 * attempt, "net": {"depth": 3}},
            tags=("fast",), git_commit="abc", parent_run_id=None if run_id == "parent" else "parent",
            environment={"command": ["train.py"]},
        ))  # fmt: skip
        sink.write(make_batch(origin, lines))
        sink.on_stop(None, "error")
        sink.close()

    def points(self, key: str) -> list[tuple[int, float]]:
        return points(self.uri, self.id, key)

    def rows(self, name: str) -> list[dict[str, Any]]:
        return rows(self.uri, self.id, name, self.directory)

    def content(self, path: str) -> Any:
        return content(self.uri, self.id, path, self.directory)


@pytest.fixture(scope="module")
def found(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Played once: what is checked changes nothing."""
    return Found(mlflow_server.uri, tmp_path_factory.mktemp("meanings"))


LAYER = name_for("quark/layers/net[0]/activation/norm")
CHECKS: dict[str, Callable[[Found], Any]] = {
    "config": lambda f: (f.params["lr"], f.params["net.depth"], f.content("quark/config.json")["net"])
    == ("0.1", "3", {"depth": 3}),
    "config learned after the start": lambda f: (f.params["late"], f.content("quark/config.json"))
    == ("7", {"lr": 0.1, "net": {"depth": 3}, "late": 7}),
    "`run.summary`": lambda f: (f.points("best"), f.points("summary/train/loss"), f.tags["quark.summary.word"])
    == ([(3, 0.9)], [(3, 0.1)], "fine"),
    "notes": lambda f: f.tags["mlflow.note.content"].startswith("by hand\nRecorded"),
    "config changed by a resumed attempt": lambda f: (f.tags["quark.params_changed"], f.content("quark/config-2.json"))
    == ("lr", {"lr": 0.2, "net": {"depth": 3}}),
    "task parameters of a tracked loop": lambda f: (f.params["tasks.train.kernel"], f.params["max_steps"])
    == ("rbf", "9"),
    "metric": lambda f: f.points("train/loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    and f.points("val/loss") == [(7, 0.25)],
    "epoch": lambda f: f.points("quark/epoch") == [(0, 2.0)],
    "NaN, infinity": lambda f: f.points("bad") == [(1, sys.float_info.max)],
    "telemetry": lambda f: f.rows("telemetry")[0]["step_time_ms"] == 12.5,
    "layer": lambda f: f.points(LAYER) == [(4, 2.0)] and f.rows("layers")[0]["module_name"] == "net[0]",
    "parameter": lambda f: f.points("quark/params/net.weight/weight_norm") == [(4, 3.0)]
    and f.rows("parameters")[0]["weight_norm"] == 3.0,
    "batch": lambda f: f.rows("batches")[0]["class_counts"] == '{"7": 2}',
    "event": lambda f: [row["event_type"] for row in f.rows("events")]
    == ["metric_nonfinite", "loop_started", "summary", "note"],
    "alert": lambda f: f.rows("alerts")[0]["rule_id"] == "spike"
    and (f.tags["quark.alerts"], f.tags["quark.worst_alert"]) == ("1", "error")
    and "spike fired" in f.tags["mlflow.note.content"],
    "health": lambda f: f.rows("health")[0]["score"] == 40.0,
    "phase": lambda f: f.rows("phases")[0]["phase_name"] == "stagnation",
    "artifact": lambda f: "artifacts/note/a/1.txt" in files(f.uri, f.id),
    "statistics of series": lambda f: [row["max"] for row in f.rows("summary") if row["key"] == "train/loss"] == [1.0],
    "name": lambda f: f.run.info.run_name == "cnn",
    "tags": lambda f: (f.tags["quark.tag.fast"], f.tags["quark.tag.late"]) == ("fast", "late"),
    "run": lambda f: [f.tags[f"quark.{name}"] for name in ("run_id", "project", "attempt", "status", "stop_reason")]
    == ["run-1", "digits", "2", "failed", "error"],
    "git commit": lambda f: f.tags["mlflow.source.git.commit"] == "abc",
    "environment": lambda f: f.content("quark/environment.json")["command"] == [f.tags["mlflow.source.name"]],
    "parent run": lambda f: (f.tags["quark.parent_run_id"], f.tags["mlflow.parentRunId"]) == ("parent", f.parent_id),
    "status": lambda f: f.run.info.status == "FAILED",
    "a name that MLflow refuses": lambda f: f.content("quark/names.json")[LAYER]
    == "quark/layers/net[0]/activation/norm",
}  # fmt: skip


def test_the_table_is_complete() -> None:
    """Every kind of record has its row, every row its check, and the page shows the table."""
    assert CHECKS.keys() == MEANING.keys() >= KINDS.keys()
    assert table() in (DOCS / "mlflow.md").read_text("utf-8")


@pytest.mark.parametrize("row", MEANING)
def test_a_promise_of_the_table(found: Found, row: str) -> None:
    """What the table says is there."""
    assert CHECKS[row](found)


def test_tables_are_mlflows_own(found: Found) -> None:
    """MLflow lists them as tables, so that its pages show them as such."""
    listed = {entry["path"] for entry in json.loads(found.tags["mlflow.loggedArtifacts"])}
    assert listed == {f"quark/{TABLES[kind].name}.json" for kind in TABLES} | {"quark/summary.json"}
    assert listed <= files(found.uri, found.id)


# The contract, on a database without a server


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
class TestContract(SinkContract):
    """The series, in MLflow's own database."""

    kinds: ClassVar[frozenset[str] | None] = frozenset({"metric"})
    keeps_sign_of_zero: ClassVar[bool] = False  # the database is SQLite, which stores -0.0 as the integer 0

    @pytest.fixture(autouse=True)
    def _database(self, mlflow_template: Path, tmp_path: Path) -> None:
        (tmp_path / "m.db").write_bytes(mlflow_template.read_bytes())

    def make_sink(self, tmp_path: Path) -> MLflowSink:
        return MLflowSink(tracking_uri=f"sqlite:///{tmp_path}/m.db")

    def read_back(self, sink: Any) -> list[Any]:
        uri, run_id = sink.address.uri, sink.link.backend_id
        client = MlflowClient(uri)
        keys = client.get_run(run_id).data.metrics if run_id else {}
        return [
            ("metric", key.removeprefix("rank_1/"), metric.step, metric.value)
            for key in keys
            for metric in sorted(client.get_metric_history(run_id, key), key=lambda metric: metric.step)
        ]

    @contextlib.contextmanager
    def broken(self, sink: Any) -> Iterator[None]:
        MlflowClient(sink.address.uri).delete_run(sink.link.backend_id)
        yield
        MlflowClient(sink.address.uri).restore_run(sink.link.backend_id)


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_a_run_of_somebody_else_is_not_written_to(mlflow_template: Path, tmp_path: Path) -> None:
    """A link that leads to a run without this run's tag is dropped, and the run mirrored from its beginning."""
    (tmp_path / "m.db").write_bytes(mlflow_template.read_bytes())
    uri = f"sqlite:///{tmp_path}/m.db"
    client = MlflowClient(uri)
    foreign = client.create_run(client.create_experiment("foreign")).info.run_id
    sink = MLflowSink(tracking_uri=uri)
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    sink.link.backend_id, sink.link.positions = foreign, {ORIGIN.writer_id: 2}
    batch = make_batch(ORIGIN, metric_lines(3))
    with pytest.raises(LookupError, match="mirrored from its beginning"):
        sink.write(batch)
    assert sink.position(ORIGIN.writer_id) == 0
    sink.write(batch)
    sink.close()
    assert client.get_run(foreign).data.metrics == {}
    own = sink.link.backend_id
    assert own is not None and client.get_run(own).data.tags["quark.run_id"] == ORIGIN.run_id


# Names and choices


@pytest.mark.parametrize("name", ["a//b", "/a", "a/../b", "a/", "x[0]", "é.長", "🔥", "k" * 300, "a@b", "", "a\nb"])
def test_every_name_is_taken(name: str) -> None:
    """What MLflow would refuse is changed so that it does not, and no two names become one."""
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(name_for(name))
    assert name_for(name_for(name)) == name_for(name)
    assert name_for("a@b") != name_for("a#b") != name_for("a_b") == "a_b"


def test_layers_are_chosen() -> None:
    """Patterns, one pattern, or a LayerSeries; a sink made again from its description chooses the same."""
    series = LayerSeries(("head.*",), layer_fields=("norm",))
    assert MLflowSink(layers="head.*").layers.names == ("head.*",)
    again = MLflowSink(**json.loads(json.dumps(MLflowSink(layers=series).spec())))
    assert again.layers.wants("head.0") and not again.layers.wants("net.0")
    assert again.layers.layer_fields == ["norm"]
