"""What people log is in each mirror under the name that they gave, as far as the tool takes it."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

import quark
from tests.everyday import expected_nonfinite, expected_points, log_everything

from .clearml_session import UNSET, Session, clearml_environment
from .mlflow_server import MlflowServer, content, points
from .wandb_files import settled, wandb_environment, written


def recorded(folder: Path, sink: Any) -> None:
    with quark.start_run(project="p", storage_dir=folder / "q", trackers=[sink], close_timeout_s=100) as run:
        log_everything(run)


def test_in_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are W&B's own columns; one that begins as W&B's own do, or is empty, is below ``metric/``."""
    wandb = pytest.importorskip("wandb", reason='the W&B client is needed: pip install "quark-tracker[wandb]"')
    from quark_integrations.sinks.wandb import WandbSink

    for name, value in wandb_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    recorded(tmp_path, WandbSink(mode="offline", dir=tmp_path))
    settled(tmp_path)
    found = {
        key: value
        for row in written(tmp_path).rows
        for key, value in row.items()
        if not key.startswith(("_", "quark/"))
    }
    wandb.teardown()
    expected = {name: values[0] for name, values in expected_points(7).items()}
    expected["metric/_private"] = expected.pop("_private")
    for name, value in expected.items():
        assert found[name] == value
    for name, value in expected_nonfinite().items():
        assert repr(float(found[name])) == repr(value)


def test_in_clearml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last part of a name is the series, the rest the title; what is not finite is counted by name."""
    pytest.importorskip("clearml", reason='the ClearML client is needed: pip install "quark-tracker[clearml]"')
    from quark_integrations.sinks.clearml import ClearMLSink

    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in clearml_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    recorded(tmp_path, ClearMLSink(offline=True))
    found = {
        title if title == series else f"{title}/{series}": value
        for title, series, step, value in Session(tmp_path).points()
        if step == 7
    }
    for name, values in expected_points(7).items():
        assert found[name] == values[0]
    assert {name for name in found if name.startswith("quark/nonfinite")} == {
        f"quark/nonfinite/{name}" for name in expected_nonfinite()
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("mlflow_quiet")
def test_in_mlflow(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """A name that MLflow refuses has a cleaned one there, and ``quark/names.json`` says which."""
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    from quark_integrations.sinks.mlflow import MLflowSink

    uri = mlflow_server.uri
    sink = MLflowSink("everyday", tracking_uri=uri)
    recorded(tmp_path, sink)
    run_id = str(sink.link.backend_id)
    renamed = content(uri, run_id, "quark/names.json", tmp_path)
    found = {renamed.get(key, key): key for key in MlflowClient(uri).get_run(run_id).data.metrics}
    for name, values in expected_points(7).items():
        assert points(uri, run_id, found[name]) == [(7, values[0])]
    for name, value in expected_nonfinite().items():
        ((_, seen),) = points(uri, run_id, found[name])
        assert math.isnan(seen) if math.isnan(value) else seen == math.copysign(sys.float_info.max, value)
