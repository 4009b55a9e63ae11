"""`quark export`."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import quark
from quark.reading import RunView
from quark.records.base import plural_of
from quark.records.kinds import KINDS
from quark.records.line import decode_line

from .conftest import Command


def test_json_lines_are_the_lines_of_the_journal(command: Command, storage: Path) -> None:
    """Wide records come out wide, each under its own number; the run and its writer stand before them."""
    lines = [json.loads(line) for line in command("export", "good-run", "-d", storage).out.splitlines()]
    assert [line["kind"] for line in lines[:2]] == ["writer", "run"]
    assert lines[1]["body"]["run"]["id"] == "good-run"
    wide = [line for line in lines if line["kind"] == "metrics"]
    assert len(wide) == 50 and wide[0]["values"] == {"train/accuracy": 0.0, "train/loss": 1.0}
    events = [line for line in lines if line["kind"] == "event"]
    assert [event["label"] for event in events] == ["run_started", "user_log", "run_ended"]
    numbers = [line["sequence"] for line in lines[2:]]
    assert len(set(numbers)) == len(numbers)


def test_every_line_can_be_read_back(command: Command, storage: Path) -> None:
    """The decoder of the journal takes what was exported."""
    for line in command("export", "nasty-run", "-d", storage).out.splitlines():
        assert decode_line(line.encode()).kind


def test_one_json_document(command: Command, storage: Path) -> None:
    """The run and its records by kind."""
    document = json.loads(command("export", "good-run", "-d", storage, "--format", "json").out)
    assert document["run"]["id"] == "good-run"
    assert len(document["metrics"]) == 101 and len(document["events"]) == 3 and len(document["artifacts"]) == 1


def test_a_table(command: Command, storage: Path, tmp_path: Path) -> None:
    """CSV holds one kind, a row a record, negative numbers as numbers."""
    target = tmp_path / "run.csv"
    answer = command("export", "nasty-run", "-d", storage, "-f", "csv", "-o", target, "--json")
    assert answer.json() == {"run_id": "nasty-run", "format": "csv", "path": str(target), "records": 1}
    (row,) = csv.DictReader(target.read_text().splitlines())
    assert (row["metric_key"], row["value"], row["step"], row["epoch"]) == ("a", "-1.5", "0", "")


@pytest.mark.parametrize("as_format", ["csv", "parquet", "jsonl"])
def test_a_table_of_metrics_says_what_it_has_no_rows_for(command: Command, tmp_path: Path, as_format: str) -> None:
    """NaN and infinite values are events; whoever exports the metrics is told, and nobody else."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"Train Loss": float("nan"), "lr": 0.1}, step=0)
        run.log({"Train Loss": float("inf"), "lr": 0.1}, step=1)
    table = command("export", "-d", tmp_path, "-f", as_format, "-o", tmp_path / "table")
    said = "" if as_format == "jsonl" else "no rows here (Train Loss 2); --format csv --kind event has them\n"
    assert (table.code, table.err.endswith(said), bool(table.err)) == (0, True, bool(said))
    events = command("export", "-d", tmp_path, "-f", "csv", "-k", "event")
    assert events.err == "" and "metric_nonfinite" in events.out


def test_a_spreadsheet_runs_nothing(command: Command, storage: Path, tmp_path: Path) -> None:
    """Text that begins like a formula gets an apostrophe."""
    from quark.cli.exporting import _cell

    assert [_cell(text) for text in ("=1+1", "@SUM", "-2", "+3", "plain", -2)] == [
        "'=1+1", "'@SUM", "'-2", "'+3", "plain", -2,
    ]  # fmt: skip
    target = tmp_path / "events.csv"
    assert command("export", "nasty-run", "-d", storage, "-f", "csv", "-k", "event", "-o", target).code == 0
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["event_type"] for row in rows] == ["run_started", "user_log", "runtime_error", "run_ended"]
    assert not any(cell and cell[0] in "=+@\t\r" for row in rows for cell in row.values())


def test_parquet(command: Command, storage: Path, tmp_path: Path) -> None:
    """The metrics, ready for pandas, polars or a database."""
    target = tmp_path / "run.parquet"
    assert "101 records" in command("export", "good-run", "-d", storage, "-f", "parquet", "-o", target).out
    assert pq.read_table(target).num_rows == 101


@pytest.mark.parametrize(
    "options",
    [
        ["-f", "parquet"],
        ["--json"],
        ["-f", "csv", "-k", "event", "-k", "metric"],
        ["-f", "parquet", "-k", "event", "-o", "x"],
        ["-f", "xml"],
    ],
)
def test_what_does_not_go_together_is_refused(command: Command, storage: Path, options: list[str]) -> None:
    """Before anything is written."""
    assert command("export", "good-run", "-d", storage, *options).code == 2


def test_a_file_that_cannot_be_written_is_an_error(command: Command, storage: Path, tmp_path: Path) -> None:
    """Exit code 1 and the reason; no half file."""
    answer = command("export", "good-run", "-d", storage, "-o", tmp_path / "missing" / "run.jsonl", "--json")
    assert (answer.code, answer.json()["error"]["code"]) == (1, "os_error")
    assert list(tmp_path.iterdir()) == []


def test_a_document_names_every_kind_in_plain_english(command: Command, storage: Path) -> None:
    """The keys are those of a RunView's methods, for every kind that there is."""
    document = command("export", "good-run", "-d", storage, "-f", "json").json()
    assert set(document) == {
        "run", "names", "metrics", "events", "telemetry", "layers", "parameters", "batches", "artifacts", "alerts",
        "health_scores", "phases",
    }  # fmt: skip
    assert all(hasattr(RunView, name) for name in set(document) - {"run"})
    assert set(document) - {"run", "names"} == {plural_of(cls) for cls in KINDS.values()}
