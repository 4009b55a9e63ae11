"""The table of what everything becomes in ClearML: each row is looked up in a session."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quark.records.base import Origin
from quark.records.kinds import KINDS
from quark.records.line import Line
from quark.testing import alert_line, event_line, make_batch, make_manifest, metric_lines, run_line
from quark_integrations.sinks.clearml import ClearMLSink
from quark_integrations.sinks.clearml.meaning import MEANING, table
from quark_integrations.sinks.mirror import TABLES

from .clearml_session import Session, clearml_environment, sessions

pytest.importorskip("clearml", reason='the ClearML client is needed: pip install "quark-tracker[clearml]"')
DOCS = Path(__file__).parents[2] / "docs"

BODIES: dict[str, dict[str, Any]] = {
    "telemetry": {"boundary": "step", "step_time_ms": 12.5},
    "layer": {
        "module_name": "größe.0", "module_type": "Linear", "summary_type": "activation", "hook_direction": "forward",
        "norm": 2.0,
    },
    "parameter": {"parameter_name": "net.weight", "weight_norm": 3.0},
    "batch": {"loss": 0.5, "sample_ids": [], "class_counts": {"7": 2}},
    "health": {"score_key": "overall", "score": 40.0, "status": "degraded", "evidence": []},
    "phase": {"phase_name": "stagnation", "display_name": "Stagnation", "summary": "", "step_start": 1, "step_end": 2},
}  # fmt: skip
ARTIFACT = {
    "artifact_type": "note", "artifact_name": "a", "artifact_key": "a", "payload_format": "text",
    "payload_relative_path": "artifacts/note/a/1.txt", "metadata_relative_path": "x", "size_bytes": 5,
    "sha256": "0" * 64,
}  # fmt: skip
TASKS = {"tasks": {"train": {"function": "f", "log_params": {"kernel": "rbf"}}}, "max_steps": 9}


def line(kind: str, body: dict[str, Any], label: str | None = None) -> Line:
    """A line of any kind at step 4."""
    return Line(kind, 0, 1_790_000_000_000_000_000, 4, None, label=label, body=msgspec.Raw(json.dumps(body).encode()))


LINES: list[Line] = [
    *metric_lines(3, epoch=2),
    Line("metric", 0, 1_790_000_000_000_000_000, None, 7, "val/deep/loss", 0.25),
    Line("metric", 0, 1, 4, None, "system/cpu/usage_percent", 12.0),
    Line("metric", 0, 1, 4, None, "flat", 1.0),
    event_line("metric_nonfinite", "error", {"key": "bad/one", "value": "inf"}, step=1),
    event_line("loop_started", payload=TASKS), alert_line("spike", "error", step=3), run_line("tag", {"tag": "late"}),
    run_line("config", {"values": {"late": 7}, "step": 3}),
    event_line("summary", payload={"values": {"best": 0.9, "word": "fine"}}, step=3),
    event_line("note", payload={"text": "by hand"}),
    line("artifact", ARTIFACT, "a"), line("artifact", ARTIFACT, "a"),
    *(line(kind, body, body.get("module_name") or body.get("parameter_name")) for kind, body in BODIES.items()),
]  # fmt: skip


class Found:
    """A run with a record of everything, and what its session holds."""

    def __init__(self, directory: Path) -> None:
        payload = directory / "run-1" / "artifacts" / "note" / "a" / "1.txt"
        payload.parent.mkdir(parents=True)
        payload.write_text("hello")
        self.parent_id = play(directory, "parent", metric_lines(1))
        self.id = play(directory, "run-1", LINES)
        play(directory, "run-1", metric_lines(1), rank=1)
        (other,) = [path for path in sessions(directory) if path.name == self.parent_id]
        other.rename(directory / "parents")
        self.session = Session(directory)
        self.task = self.session.task
        self.about = self.session.params("Quark")

    def points(self, title: str, series: str) -> list[tuple[int, float]]:
        return [(step, value) for t, s, step, value in self.session.points() if (t, s) == (title, series)]

    def said(self, text: str) -> bool:
        return any(text in message for message in self.session.lines)

    def files(self) -> dict[str, str]:
        return {a["key"]: Path(a["uri"]).read_text() for a in self.task["execution"]["artifacts"]}


def play(directory: Path, run_id: str, lines: list[Line], *, rank: int = 0) -> str:
    origin = Origin(run_id, f"w{rank}", rank, 1)
    sink = ClearMLSink(offline=True, layers=("größe.*", "net.*"))
    params = {"lr": 0.1, "net": {"depth": 3}, "long": "x" * 5000, **({"late": 7} if rank else {})}
    sink.on_start(make_manifest(
        origin, run_path=str(directory / run_id), params=params,
        tags=("fast",), git_commit="abc", parent_run_id=None if run_id == "parent" else "parent",
        environment={"command": ["train.py"], "packages": {"torch": "2"}},
    ))  # fmt: skip
    sink.write(make_batch(origin, lines))
    sink.on_stop(None, "error")
    sink.close()
    return str(sink.link.backend_id)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Played once: what is checked changes nothing."""
    directory = tmp_path_factory.mktemp("meanings")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clearml_environment(directory).items():
            patch.setenv(name, value)
        return Found(directory)


CHECKS: dict[str, Callable[[Found], Any]] = {
    "config": lambda f: (f.session.params(), f.session.configuration("quark/config")["net"])
    == ({"lr": "0.1", "net/depth": "3", "long": "x" * 3999 + "…", "late": "7"}, {"depth": 3}),
    "config learned after the start": lambda f: (f.session.params()["late"], f.session.configuration("quark/config"))
    == ("7", {"lr": 0.1, "net": {"depth": 3}, "long": "x" * 5000, "late": 7}),
    "`run.summary`": lambda f: (f.points("Summary", "best"), f.session.params("Summary"))
    == ([(-(2**31), 0.9)], {"word": "fine"}),
    "notes": lambda f: f.task["comment"].startswith("by hand\nRecorded"),
    "task parameters of a tracked loop": lambda f: f.session.params("Tasks")
    == {"train/kernel": "rbf", "max_steps": "9"},
    "metric": lambda f: f.points("train", "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    and f.points("val/deep", "loss") == [(7, 0.25)]
    and f.points("flat", "flat") == [(4, 1.0)]
    and f.points("rank_1/train", "loss") == [(0, 1.0)]
    and {e["timestamp"] for e in f.session.events if e["metric"] == "val/deep"} == {1_790_000_000_000},
    "epoch": lambda f: f.points("quark", "epoch") == [(0, 2)],
    "NaN, infinity": lambda f: not f.points("bad", "one")
    and f.points("quark/nonfinite", "bad/one") == [(1, 1)]
    and f.said("metric_nonfinite"),
    "telemetry": lambda f: f.points("system/cpu", "usage_percent") == [(4, 12.0)]
    and f.session.rows("telemetry")[0]["step_time_ms"] == 12.5,
    "layer": lambda f: f.points("quark/layers/größe.0/activation", "norm") == [(4, 2.0)]
    and f.session.rows("layers")[0]["module_name"] == "größe.0",
    "parameter": lambda f: f.points("quark/params/net.weight", "weight_norm") == [(4, 3.0)]
    and f.session.rows("parameters")[0]["weight_norm"] == 3.0,
    "batch": lambda f: f.session.rows("batches")[0]["class_counts"] == '{"7": 2}',
    "event": lambda f: [row["event_type"] for row in f.session.rows("events")]
    == ["metric_nonfinite", "loop_started", "summary", "note"]
    and f.said("loop_started"),
    "alert": lambda f: f.session.rows("alerts")[0]["rule_id"] == "spike"
    and f.said("spike fired")
    and "spike fired" in f.task["comment"],
    "health": lambda f: f.session.rows("health")[0]["score"] == 40.0,
    "phase": lambda f: f.session.rows("phases")[0]["phase_name"] == "stagnation" and f.said("Stagnation"),
    "artifact": lambda f: f.files() == {"a": "hello", "a#2": "hello"},
    "table": lambda f: {e["variant"] for e in f.session.events if e["type"] == "plot" and e["metric"] == "quark/tables"}
    == {one.name for one in TABLES.values()},
    "name": lambda f: (f.task["name"], f.task["project_name"]) == ("cnn", "digits"),
    "tags": lambda f: f.task["tags"] == ["fast", "late"],
    "run": lambda f: (f.about["run_id"], f.about["project"], f.about["attempt"]) == ("run-1", "digits", "1")
    and f.about["started_at"],
    "git commit": lambda f: f.task["script"].items()
    >= {"version_num": "abc", "requirements": {"pip": "torch==2"}, "entry_point": "train.py"}.items(),
    "environment": lambda f: f.session.configuration("quark/environment")["command"] == ["train.py"],
    "parent run": lambda f: (f.about["parent_run_id"], f.about["parent_task"]) == ("parent", f.parent_id),
    "status": lambda f: (f.task["status"], f.task["status_reason"]) == ("failed", "error"),
}  # fmt: skip


def test_the_table_is_complete() -> None:
    """Every kind of record has its row, every row its check, and the page shows the table."""
    assert CHECKS.keys() == MEANING.keys() >= KINDS.keys()
    assert table() in (DOCS / "clearml.md").read_text("utf-8")


@pytest.mark.parametrize("row", MEANING)
def test_a_promise_of_the_table(found: Found, row: str) -> None:
    """What the table says is there."""
    assert CHECKS[row](found)
