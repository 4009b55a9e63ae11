"""The tools of `quark mcp`, asked by the SDK's own client in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

import quark
from quark import EventRecord, LayerSummaryRecord, ParameterSummaryRecord
from quark.mcp.bounds import MOST_BYTES
from quark.mcp.server import server_of

from ..analysis.runs import falling
from ..client.conftest import Service, service  # noqa: F401  a service in a process of its own

TOOLS = ("list_runs", "run_summary", "series", "alerts", "diagnose", "compare", "layers_at", "log_lines")
SPIKE_AT = 777
SECRET = "hunter2xyzzy"

Ask = Callable[..., tuple[Any, str]]


def asked(opened: Callable[[], Any], tool: str, **arguments: Any) -> tuple[Any, str]:
    """The document that a tool answers, or None where it answers an error; and the text."""

    async def ask() -> Any:
        async with Client(server_of(opened)) as client:
            return await client.call_tool(tool, arguments)

    result = anyio.run(ask)
    text = result.content[0].text
    if not result.is_error:
        assert json.loads(text) == result.structured_content
    return None if result.is_error else result.structured_content, text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run ``spiked`` with layers and printed lines, a run ``calm``, and ``vast`` with long texts."""
    found = tmp_path_factory.mktemp("mcp")
    losses = falling(2000)
    losses[SPIKE_AT] = 25.0
    with quark.start_run(project="p", name="spiked", storage_dir=found, config={"lr": 0.1, "api_key": SECRET}) as run:
        for step, value in enumerate(losses):
            run.log({"train/loss": value}, step=step)
        for step in (0, 10):
            layers(run, step)
        run.note(f"the password is {SECRET}")
    with quark.start_run(project="p", name="calm", storage_dir=found, config={"lr": 0.2}) as run:
        for step, value in enumerate(falling(2000, seed=1)):
            run.log({"train/loss": value}, step=step)
    config = {f"setting {number}": "x\x1b[31m" * 200 for number in range(500)}
    with quark.start_run(project="p", name="vast", storage_dir=found, config=config) as run:
        run.log({f"metric {number} {'y' * 200}": 1.0 for number in range(300)}, step=0)
        for number in range(30):
            run.note(f"{number} " + "z" * 5000)
        run.summary.update({f"result {number}": "w" * 1000 for number in range(100)})
        for number in range(400):
            line = {"message": f"{number} " + "a" * 2000, "stream": "stdout", "line": number}
            run.emit(EventRecord, {"event_type": "log_line", "severity": "info", "status": None, "payload": line})
        for number in range(300):
            layer(run, f"block.{number}.{'n' * 100}", 0)
    return found


def layer(run: Any, name: str, step: int, norm: float = 1.0) -> None:
    run.emit(LayerSummaryRecord, {
        "module_name": name, "module_type": "Linear", "summary_type": "gradient", "hook_direction": "backward",
        "norm": norm,
    }, step=step)  # fmt: skip


def layers(run: Any, step: int) -> None:
    for name in ("conv1", "conv2", "fc"):
        layer(run, name, step, norm=step + 1.0)
        fields = {"parameter_name": f"{name}.weight", "weight_norm": 2.0, "gradient_norm": 0.1, "update_norm": 0.02}
        run.emit(ParameterSummaryRecord, fields, step=step)


@pytest.fixture
def ask(place: Path) -> Ask:
    """``ask("series", run="calm", key="train/loss")``."""
    return lambda tool, **arguments: asked(lambda: quark.open(place), tool, **arguments)


def test_every_tool_says_that_it_only_reads_and_what_it_takes(place: Path) -> None:
    """A client may call them unasked; each argument that needs a word has one."""

    async def listed() -> Any:
        async with Client(server_of(lambda: quark.open(place))) as client:
            assert "only read" in (client.instructions or "")
            return (await client.list_tools()).tools

    tools = anyio.run(listed)
    assert [tool.name for tool in tools] == list(TOOLS)
    assert all(tool.annotations.read_only_hint and not tool.annotations.destructive_hint for tool in tools)
    assert all(tool.description.endswith(".") for tool in tools)


def test_runs_are_listed_and_filtered(ask: Ask) -> None:
    """By project, status, tag and name; a page at a time."""
    names = [run["name"] for run in ask("list_runs")[0]["runs"]]
    assert names == ["vast", "calm", "spiked"]
    first, _ = ask("list_runs", limit=1)
    second, _ = ask("list_runs", limit=1, after=first["next"])
    assert [first["runs"][0]["name"], second["runs"][0]["name"]] == names[:2]
    found, _ = ask("list_runs", query="name:spiked lr<0.15", status="completed", project="p")
    assert [run["name"] for run in found["runs"]] == ["spiked"]
    assert ask("list_runs", tag="none")[0] == {"next": None, "runs": [], "truncated": False}


def test_the_best_run_is_found(ask: Ask) -> None:
    """Sorted by a metric, with the settings and metrics that are asked for and the steps of their extremes."""
    found, _ = ask("list_runs", sort="-train/loss:max", columns=["lr", "train/loss:max", "nothing"], limit=2)
    assert [run["name"] for run in found["runs"]] == ["spiked", "calm"]
    assert found["runs"][0]["columns"] == {
        "lr": {"value": 0.1, "step": None},
        "train/loss:max": {"value": 25.0, "step": SPIKE_AT},
        "nothing": {"value": None, "step": None},
    }


def test_a_summary_holds_what_the_run_is_and_its_metrics(ask: Ask) -> None:
    """Settings, values of metrics and notes, without the secrets that were never recorded."""
    found, text = ask("run_summary", run="spiked")
    assert (found["run"]["status"], found["config"]["lr"], found["metric_count"]) == ("completed", 0.1, 1)
    assert found["metrics"]["train/loss"]["maximum"] == 25.0
    assert len(found["notes"]) == 1 and SECRET not in text


@pytest.mark.parametrize("buckets", [1, 7, 200])
def test_a_spike_of_one_step_is_in_the_series(ask: Ask, buckets: int) -> None:
    """However few buckets are asked for, the extremes are true and no point is missing."""
    found, _ = ask("series", run="spiked", key="train/loss", buckets=buckets)
    assert len(found["buckets"]) <= buckets and not found["truncated"]
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["buckets"]]
    assert sum(row["count"] for row in rows) == 2000
    top = max(rows, key=lambda row: row["max"])
    assert top["max"] == 25.0 and top["step_first"] <= SPIKE_AT <= top["step_last"]


def test_values_that_were_not_finite_are_counted_with_their_steps(tmp_path: Path) -> None:
    """NaN is no gap and no zero."""
    with quark.start_run(project="p", name="nan", storage_dir=tmp_path) as run:
        for step, value in enumerate((1.0, float("nan"), 2.0, float("inf"))):
            run.log({"loss": value}, step=step)
    found, _ = asked(lambda: quark.open(tmp_path), "series", run="nan", key="loss", step_max=2)
    assert found["nonfinite"] == {"count": 1, "first": [{"step": 1, "value": "nan"}]}
    assert found["points"] == 2


def test_alerts_come_with_evidence_and_a_diagnosis_says_why(ask: Ask) -> None:
    """The rule, the onset, the fact in numbers, what to do first."""
    for tool in ("alerts", "diagnose"):
        found, _ = ask(tool, run="spiked")
        (spike,) = [one for one in found["alerts"] if one["rule_id"] == "loss_spike"]
        assert spike["step_start"] == SPIKE_AT and spike["actions"] and spike["evidence"][0]["observed_value"] > 1
    assert ask("diagnose", run="spiked")[0]["health"]["overall"]["score"] < 100
    assert ask("alerts", run="spiked", severity="critical")[0]["alerts"] == []


def test_runs_are_compared(ask: Ask) -> None:
    """Only settings that differ; of two runs also differences with their noise; a pattern leaves metrics out."""
    found, _ = ask("compare", runs=["spiked", "calm"])
    assert found["config"]["lr"] == [0.1, 0.2]
    assert [diff["metric_key"] for diff in found["metric_diffs"]] == ["train/loss"]
    assert [run["name"] for run in found["runs"]] == ["spiked", "calm"]
    assert ask("compare", runs=["spiked", "calm"], metrics="acc")[0]["metric_diffs"] == []
    assert "metric_diffs" not in ask("compare", runs=["spiked", "calm", "spiked"])[0]


@pytest.mark.parametrize(("step", "at"), [(None, 10), (9, 0), (10, 10), (10_000, 10)])
def test_layers_are_those_of_the_last_step_that_was_looked_at(ask: Ask, step: int | None, at: int) -> None:
    """Also where the step itself was not looked at."""
    found, _ = ask("layers_at", run="spiked", step=step, layers="^conv")
    assert found["step"] == at
    assert [(one["layer"], one["norm"]) for one in found["layers"]] == [("conv1", at + 1.0), ("conv2", at + 1.0)]
    assert [one["parameter"] for one in found["parameters"]] == ["conv1.weight", "conv2.weight"]


def test_the_last_printed_lines_in_their_order(ask: Ask) -> None:
    """Those that match a pattern, in the order in which they were printed."""
    found, _ = ask("log_lines", run="vast", last=3, pattern=r"^3\d\d ")
    assert [line["text"].split()[0] for line in found["lines"]] == ["397", "398", "399"]
    assert found["truncated"] is True and "pattern" in found["hint"]
    assert ask("log_lines", run="vast", stream="stderr")[0] == {"lines": [], "truncated": False}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_runs", {}),
        ("run_summary", {"run": "vast"}),
        ("series", {"run": "spiked", "key": "train/loss", "buckets": 200}),
        ("alerts", {"run": "vast"}),
        ("diagnose", {"run": "vast"}),
        ("compare", {"runs": ["vast", "spiked"]}),
        ("layers_at", {"run": "vast", "limit": 200}),
        ("log_lines", {"run": "vast", "last": 500}),
    ],
)
def test_an_answer_is_small_and_says_what_it_left_out(ask: Ask, tool: str, arguments: dict[str, Any]) -> None:
    """20 kB at most whatever a run holds, with a flag and a hint; no control character passes."""
    found, text = ask(tool, **arguments)
    assert len(text.encode()) <= MOST_BYTES
    assert found["truncated"] is ("hint" in found)
    assert "\\u001b" not in text and "\x1b" not in text


HUGE = 10**30
EXPLODES = "(a|a|aa)+b"


@pytest.mark.parametrize(
    ("tool", "arguments", "word"),
    [
        ("run_summary", {"run": "../../etc/passwd"}, "no run"),
        ("run_summary", {"run": "/etc/passwd"}, "no run"),
        ("run_summary", {"run": "a\0b"}, "no run"),
        ("run_summary", {"run": ""}, "run"),
        ("run_summary", {"run": "x" * 100_000}, "run"),
        ("run_summary", {"run": {"$ne": 1}}, "run"),
        ("run_summary", {"run": "spiked", "metrics": "("}, "no regular expression"),
        ("run_summary", {"run": "spiked", "metrics": "x" * 100_000}, "shorten it"),
        ("run_summary", {}, "run"),
        ("series", {"run": "spiked", "key": "train/los"}, "did you mean train/loss"),
        ("series", {"run": "spiked", "key": "train/loss", "buckets": HUGE}, "buckets"),
        ("series", {"run": "spiked", "key": "train/loss", "buckets": 0}, "buckets"),
        ("series", {"run": "spiked", "key": "train/loss", "step_min": -1}, "step_min"),
        ("series", {"run": "spiked", "key": "train/loss", "step_min": HUGE}, "step_min"),
        ("series", {"run": "spiked", "key": "train/loss", "step_min": 5, "step_max": 1}, "swap them"),
        ("list_runs", {"limit": HUGE}, "limit"),
        ("list_runs", {"limit": -1}, "limit"),
        ("list_runs", {"status": "' OR 1=1"}, "status"),
        ("list_runs", {"sort": "id; DROP TABLE runs"}, "sort"),
        ("list_runs", {"after": "nonsense"}, "cursor"),
        ("list_runs", {"after": "nonsense", "sort": "lr"}, "leave it out"),
        ("list_runs", {"query": "status:nope"}, "status"),
        ("list_runs", {"query": "x" * 100_000}, "query"),
        ("list_runs", {"columns": ["x"] * 1000}, "columns"),
        ("alerts", {"run": "spiked", "limit": HUGE}, "limit"),
        ("alerts", {"run": "spiked", "severity": "worst"}, "severity"),
        ("compare", {"runs": ["spiked"]}, "runs"),
        ("compare", {"runs": ["spiked"] * 11}, "runs"),
        ("compare", {"runs": "spiked"}, "runs"),
        ("layers_at", {"run": "spiked", "layers": "["}, "no regular expression"),
        ("layers_at", {"run": "spiked", "step": -1}, "step"),
        ("log_lines", {"run": "vast", "pattern": EXPLODES}, "write a simpler one"),
        ("log_lines", {"run": "vast", "pattern": "(?R)"}, "no regular expression"),
        ("log_lines", {"run": "vast", "last": HUGE}, "last"),
        ("log_lines", {"run": "vast", "stream": "/dev/sda"}, "stream"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_used_are_refused_in_words(
    ask: Ask, tool: str, arguments: dict[str, Any], word: str
) -> None:
    """Paths, huge numbers, patterns that explode: an error that names the argument, soon and short."""
    found, text = ask(tool, **arguments)
    assert found is None and word in text and len(text) < 2000


def test_nothing_is_written(place: Path, ask: Ask) -> None:
    """A store is the same after every question, and a diagnosis is not kept."""
    with quark.open(place) as store:
        before = {view.id: view.counts() for view in store.runs()}
    for tool in ("diagnose", "alerts", "run_summary", "layers_at", "log_lines"):
        ask(tool, run="spiked")
    with quark.open(place) as store:
        assert {view.id: view.counts() for view in store.runs()} == before


def test_a_run_that_began_since_is_seen(tmp_path: Path) -> None:
    """The server is asked for days; what is recorded meanwhile is there."""
    for count in (1, 2):
        quark.start_run(project="p", storage_dir=tmp_path).end_run()
        assert len(asked(lambda: quark.open(tmp_path), "list_runs")[0]["runs"]) == count


def test_a_service_is_asked_by_the_users_own_key(service: Service) -> None:  # noqa: F811
    """The same answers over HTTP; a key that is none is an error in words that does not hold it."""
    service.start()
    with quark.start_run(project="p", name="there") as run:
        for step, value in enumerate(falling(100)):
            run.log({"train/loss": value}, step=step)
        layers(run, 5)
        run.flush()
    assert [one["name"] for one in asked(quark.connect, "list_runs")[0]["runs"]] == ["there"]
    found, _ = asked(quark.connect, "series", run="there", key="train/loss", buckets=5)
    assert found["points"] == 100
    assert asked(quark.connect, "layers_at", run="there")[0]["step"] == 5
    assert asked(quark.connect, "diagnose", run="there")[0]["run"]["name"] == "there"
    refused, text = asked(lambda: quark.connect(user_key="qk_wrong_key"), "list_runs")
    assert refused is None and "key" in text and "qk_wrong_key" not in text
