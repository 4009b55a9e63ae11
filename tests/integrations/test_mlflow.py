"""MLflowSink against a real MLflow server: everything that the table of meanings promises is found there."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.records.base import KINDS, Origin
from quark.testing import SinkContract, alert_line, event_line, make_batch, make_manifest, run_line

pytest.importorskip("mlflow")
from mlflow import MlflowClient
from mlflow.entities import Run

from quark_integrations.sinks.mirror import TABLES, LayerSeries
from quark_integrations.sinks.mlflow import MLflowSink
from quark_integrations.sinks.mlflow.address import absolute, address_of, without_secret
from quark_integrations.sinks.mlflow.meaning import MEANING, table
from quark_integrations.sinks.mlflow.names import name_for

from .mlflow_server import QUIET, MlflowServer, migrated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
ORIGIN = Origin("run-1", "w")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables in it."""
    return migrated(tmp_path_factory.mktemp("mlflow") / "template.db")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[MlflowServer]:
    """The server that most tests share; each uses an experiment of its own."""
    made = MlflowServer(tmp_path_factory.mktemp("mlflow-server"), template)
    made.start()
    yield made
    made.stop()


def twin(server: MlflowServer, sink: MLflowSink) -> Run:
    """The run in MLflow, as a client of MLflow reads it."""
    return MlflowClient(server.uri).get_run(str(sink.link.backend_id))


def points(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) of a series, in MLflow's order."""
    return [(metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run_id, key)]


def files(uri: str, run_id: str, path: str | None = None) -> set[str]:
    """The paths of all artifacts."""
    made: set[str] = set()
    for entry in MlflowClient(uri).list_artifacts(run_id, path):
        made |= files(uri, run_id, entry.path) if entry.is_dir else {entry.path}
    return made


def content(uri: str, run_id: str, path: str, tmp_path: Path) -> Any:
    """A JSON artifact."""
    found = MlflowClient(uri).download_artifacts(run_id, path, str(tmp_path))
    return json.loads(Path(found).read_text("utf-8"))


def rows(uri: str, run_id: str, name: str, tmp_path: Path) -> list[dict[str, Any]]:
    """The rows of a table."""
    found = content(uri, run_id, f"quark/{name}.json", tmp_path)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


def sinks(health: Any) -> Any:
    """What the session says of its sinks."""
    return health["sinks"] if "sinks" in health else health


# The whole run


def test_everything_is_found(server: MlflowServer, tmp_path: Path) -> None:
    """1e5 points of 200 keys, steps out of order, NaN, names of any script, 300 parameters: all equal in MLflow."""
    config = {f"p{number}": number for number in range(297)}
    config |= {"größe [µm]": 1, "deep": {"a/b": {"c": [1, 2]}}, "long": "x" * 7000}
    keys = [f"group-{number % 7}/metric_{number}" for number in range(200)]
    steps = [step for step in range(500) if step % 5] + [step for step in range(500) if not step % 5]
    sink = MLflowSink("Große Läufe 🔥", tracking_uri=server.uri)
    with quark.start_run(
        project="p", name="ein Läufer", config=config, tags=["schnell", "a=b 長"], storage_dir=tmp_path,
        trackers=[sink], close_timeout_s=200,
    ) as run:  # fmt: skip
        for step in steps:
            run.log({key: step / (number + 1) for number, key in enumerate(keys)}, step=step, epoch=step // 100)
        run.log({"sick": math.nan}, step=3)
        run.log({"sick": -math.inf}, step=4)
    made = twin(server, sink)
    client = MlflowClient(server.uri)
    assert (made.info.status, made.info.run_name) == ("FINISHED", "ein Läufer")
    assert client.get_experiment(made.info.experiment_id).name == "Große Läufe 🔥"
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert set(view.keys()) <= made.data.metrics.keys() <= {*view.keys(), "quark/epoch", "sick"}
        for key in keys[::10]:
            series = view.series(key)
            expected = sorted(zip(series.steps.tolist(), series.values.tolist(), strict=True))
            assert sorted(points(server.uri, made.info.run_id, key)) == expected and len(expected) == 500
    (_, nan), (_, low) = sorted(points(server.uri, made.info.run_id, "sick"))
    assert math.isnan(nan) and low == -sys.float_info.max
    names = content(server.uri, made.info.run_id, "quark/names.json", tmp_path)
    params = {names.get(key, key): value for key, value in made.data.params.items()}
    assert params.pop("long") == "x" * 5999 + "…"
    expected = {f"p{number}": str(number) for number in range(297)}
    assert params == {**expected, "größe [µm]": "1", "deep.a/b.c": "[1, 2]"}
    assert content(server.uri, made.info.run_id, "quark/config.json", tmp_path) == config
    assert {"schnell", "a=b 長"} <= set(made.data.tags.values())
    assert {int(value) for _, value in points(server.uri, made.info.run_id, "quark/epoch")} == {0, 1, 2, 3, 4}

