"""Every row of the documented table is found in W&B's transaction log of a run that has everything."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quark.records.base import Origin
from quark.records.line import Line
from quark.testing import alert_line, event_line, make_batch, make_manifest, metric_lines, run_line
from quark_integrations.sinks.wandb import WandbSink
from quark_integrations.sinks.wandb.mapping import PROMISES, Promise, markdown

from .wandb_files import Written, wandb_environment, written

wandb = pytest.importorskip("wandb", reason='the W&B client is needed: pip install "quark-tracker[wandb]"')

ORIGIN = Origin("run-1", "w")
DOCS = Path(__file__).parents[2] / "docs"
LONG = "x" * 20_000


def line(kind: str, body: Mapping[str, Any], *, step: int = 1, label: str = "x") -> Line:
    return Line(kind, 0, 1_778_112_000_000_000_000, step, 2, label=label, body=msgspec.Raw(json.dumps(body).encode()))


def everything() -> list[Line]:
    """A record of every kind."""
    layer = {
        "module_name": "net.0", "module_type": "Linear", "summary_type": "activation", "hook_direction": "forward",
        "call_index": 0, "mean": 0.5, "std": None, "norm": 2.0,
    }  # fmt: skip
    telemetry = {"boundary": "step", "step_time_ms": 5.0, "process_rss_bytes": 1000, "cpu_usage_percent": 40.0}
    artifact = {
        "artifact_type": "report", "artifact_name": "r", "artifact_key": "r", "payload_format": "json",
        "payload_relative_path": "artifacts/r.json", "metadata_relative_path": "artifacts/r.meta.json",
        "size_bytes": 2, "sha256": "0" * 64, "metadata": {},
    }  # fmt: skip
    phase = {"phase_name": "stagnation", "display_name": "s", "summary": "", "step_start": 0, "step_end": 1}
    return [
        *metric_lines(3, ("train/loss", "system/process/rss_bytes"), epoch=2), event_line("saved"), alert_line("spike"),
        run_line("config", {"values": {"late": 7}, "step": 3}),
        event_line("summary", payload={"values": {"best": 0.9}}, step=3),
        event_line("note", payload={"text": "by hand"}),
        line("layer", layer, label="net.0"),
        line("parameter", {"parameter_name": "net.0.weight", "weight_norm": 1.0, "metadata": {}}, label="net.0.weight"),
        line("telemetry", telemetry),
        line("telemetry", {**telemetry, "process_rss_bytes": None, "cpu_usage_percent": 70.0}, step=2),
        line("health", {"score_key": "overall", "score": 90.0, "status": "healthy"}), line("phase", phase),
        line("batch", {"loss": 1.0, "class_counts": {}, "metadata": {}}), line("artifact", artifact),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """The transaction log of such a run."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "r.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in wandb_environment(folder).items():
            patch.setenv(name, value)
        sink = WandbSink(mode="offline", dir=folder, notes="why", group="g", job_type="train")
        config = {"lr": float("nan"), "deep": {"prompt": LONG}, "_wandb": 1, "": 2}
        sink.on_start(make_manifest(
            ORIGIN, run_path=str(folder), params=config, tags=("fast",), parent_run_id="parent", git_commit="c0ffee",
        ))  # fmt: skip
        sink.write(make_batch(ORIGIN, everything()))
        sink.write(make_batch(Origin("run-1", "v", rank=1), metric_lines(1)))
        sink.on_stop(None, "completed")
        sink.close()
        wandb.teardown()
        yield written(folder)


def nested(values: Mapping[str, Any], name: str) -> bool:
    head, _, rest = name.partition(".")
    return head in values and (not rest or nested(values[head], rest))


PLACES: dict[str, Callable[[Written, str], bool]] = {
    "column": lambda log, name: any(name in row for row in log.rows),
    "config": lambda log, name: nested(log.config, name),
    "table": lambda log, name: any(key in log.tables for key in (name, f"quark/tables/{name}")),
    "summary": lambda log, name: name in log.summary,
    "alert": lambda log, name: [alert.title for alert in log.alerts] == [name],
    "artifact": lambda log, name: name in {artifact.type for artifact in log.artifacts},
    "run": lambda log, name: bool(getattr(log.runs[-1], name)),
    "exit": lambda log, code: log.exits == [int(code)],
}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.where)
def test_a_promise_is_kept(found: Written, promise: Promise) -> None:
    """What the documentation says is there is there."""
    place, _, name = promise.where.partition(":")
    assert PLACES[place](found, name)


def test_values_are_those_of_the_records(found: Written) -> None:
    """Config, plots and tables hold the values; what is not finite is text, what is missing is no point."""
    assert found.config["lr"] == "nan" and found.config["param/_wandb"] == 1 and found.config["param/"] == 2
    assert found.config["deep"]["prompt"].endswith("…") and len(found.config["deep"]["prompt"]) == 10_000
    memory = found.tables["quark/plots/memory_table"]
    assert [row[-1] for row in memory["data"]] == [1000]
    layers = found.tables["quark/tables/layers"]
    assert dict(zip(layers["columns"], layers["data"][0], strict=True))["std"] is None
    (alert,) = found.alerts
    assert alert.text.endswith("quark record w-7") and alert.level == "WARN"
    assert (found.runs[0].notes, found.runs[0].run_group, found.runs[0].job_type) == ("why", "g", "train")
    assert found.runs[-1].notes == "why\nby hand"
    assert (found.config["late"], found.summary["best"]) == (7, 0.9)
    assert list(found.runs[-1].tags) == ["fast"]


def test_peaks_of_what_the_machine_did(found: Written) -> None:
    """The summary has the highest value of each column of the telemetry that has one."""
    peaks = {name.removeprefix("quark/peak/"): value for name, value in found.summary.items() if "/peak/" in name}
    assert peaks == {"step_time_ms": 5.0, "process_rss_bytes": 1000, "cpu_usage_percent": 70.0}


def test_a_run_without_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``tables=False`` there is no table and no plot; metrics, alerts and the summary are as ever."""
    for name, value in wandb_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    sink = WandbSink(mode="offline", dir=tmp_path, tables=False, artifacts=False)
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    sink.write(make_batch(ORIGIN, everything()))
    sink.on_stop(None, "completed")
    sink.close()
    wandb.teardown()
    log = written(tmp_path)
    assert (log.tables, log.summary["quark/alerts"], log.summary["quark/peak/step_time_ms"]) == ({}, 1, 5.0)
    assert sum("train/loss" in row for row in log.rows) == 3 and len(log.alerts) == 1
    assert sink.spec()["tables"] is False


def test_the_documented_table_is_this_one() -> None:
    """The page shows the table that is walked here."""
    assert markdown() in (DOCS / "wandb.md").read_text("utf-8")
