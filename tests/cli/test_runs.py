"""`quark runs`."""

from pathlib import Path

import pytest

from quark.reading import RunView
from quark.storage import SqlStore

from .conftest import Command


def test_runs_are_listed_the_newest_first(command: Command, storage: Path) -> None:
    """A line a run, with status, project and name."""
    answer = command("runs", "-d", storage)
    assert answer.code == 0
    assert answer.out.index("nasty-run") < answer.out.index("good-run")
    assert "completed" in answer.out and "failed" in answer.out and "cnn" in answer.out


def test_json_is_one_document(command: Command, storage: Path) -> None:
    """``{"runs": [...], "next": null}`` with every field of the run."""
    document = command("runs", "-d", storage, "--json").json()
    assert document["next"] is None
    assert [run["id"] for run in document["runs"]] == ["nasty-run", "good-run"]
    assert document["runs"][1]["config"] == {"lr": 0.1, "optimizer": {"name": "adamw"}}


def test_a_limit_leaves_a_cursor(command: Command, storage: Path) -> None:
    """``next`` goes on with --after; nothing is cut silently."""
    first = command("runs", "-d", storage, "--limit", 1, "--json").json()
    rest = command("runs", "-d", storage, "--after", first["next"], "--json").json()
    assert [run["id"] for run in (*first["runs"], *rest["runs"])] == ["nasty-run", "good-run"]
    assert "more runs" in command("runs", "-d", storage, "--limit", 1).out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--status", "failed"], ["nasty-run"]),
        (["--status", "failed", "--status", "completed"], ["nasty-run", "good-run"]),
        (["--id", "good-run", "--id", "no-run"], ["good-run"]),
        (["--tag", "first"], ["good-run"]),
        (["--tag", "first", "--tag", "none"], ["good-run"]),
        (["--name", "cnn"], ["good-run"]),
        (["--name-like", "C_N", "--name-like", "x%"], ["good-run"]),
        (["--offset", "1"], ["good-run"]),
        (["--id-after", "nasty-run"], ["good-run"]),
        (["--config", "lr=0.1", "--config", "optimizer.name=adamw"], ["good-run"]),
        (["--where", "status:failed"], ["nasty-run"]),
        (["--where", "lr<1 optimizer.name=adamw -tag:none", "--project", "digits"], ["good-run"]),
        (["--project", "other"], []),
        (["--project", "other", "--project", "digits"], ["nasty-run", "good-run"]),
        (["--since", "1h", "--sort", "id"], ["good-run", "nasty-run"]),
        (["--until", "2020-01-01"], []),
    ],
)
def test_filters(command: Command, storage: Path, options: list[str], expected: list[str]) -> None:
    """Each option restricts what is listed."""
    document = command("runs", "-d", storage, "--json", *options).json()
    assert [run["id"] for run in document["runs"]] == expected


def test_nothing_found_is_said(command: Command, storage: Path) -> None:
    """An empty table would look like a fault."""
    assert command("runs", "-d", storage, "--project", "other").out == "no runs match\n"


@pytest.mark.parametrize(
    "options", [["--status", "done"], ["--since", "yesterday"], ["--config", "lr"], ["--limit", "0"], ["--nope"]]
)
def test_a_wrong_option_is_a_usage_error(command: Command, storage: Path, options: list[str]) -> None:
    """Exit code 2; for people on standard error, for scripts as JSON on standard output."""
    answer = command("runs", "-d", storage, *options)
    assert (answer.code, answer.out) == (2, "") and options[0].lstrip("-") in answer.err
    document = command("runs", "-d", storage, "--json", *options)
    assert document.code == 2 and document.json()["error"]["code"] == "usage" and document.err == ""


def test_columns_show_settings_and_metrics(command: Command, storage: Path) -> None:
    """A best value comes with its step; in JSON the values stand under ``columns``."""
    out = command("runs", "-d", storage, "--columns", "lr,train/accuracy:max").out
    assert "0.98 at 49" in out and "train/accuracy:max" in out
    document = command("runs", "-d", storage, "--columns", "lr", "--columns", "train/accuracy:max", "--json").json()
    assert [run["columns"] for run in document["runs"]] == [
        {"lr": None, "train/accuracy:max": None}, {"lr": 0.1, "train/accuracy:max": 0.98},
    ]  # fmt: skip


def test_a_column_that_no_run_has_is_said(command: Command, storage: Path) -> None:
    """An empty column may be a misspelt one."""
    assert "did you mean train/loss" in command("runs", "-d", storage, "--columns", "train/los:min").out


def test_runs_are_sorted_by_a_metric(command: Command, storage: Path) -> None:
    """The order is that of all runs, so there is no cursor to go on from."""
    for sort, expected in (("-lr", ["good-run", "nasty-run"]), ("a:max", ["nasty-run", "good-run"])):
        document = command("runs", "-d", storage, "--sort", sort, "--json").json()
        assert [run["id"] for run in document["runs"]] == expected and document["next"] is None
    answer = command("runs", "-d", storage, "--sort", "lr", "--after", "x")
    assert (answer.code, "--limit" in answer.err) == (2, True)


def test_one_question_for_all_runs(command: Command, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the runs did not record is asked for once, however many runs are listed."""
    asked: list[list[str]] = []
    ask = SqlStore.unrecorded

    def noted(store: SqlStore, run_ids: list[str], *more: int | None) -> object:
        asked.append(run_ids)
        return ask(store, run_ids, *more)

    monkeypatch.setattr(SqlStore, "unrecorded", noted)
    monkeypatch.setattr(RunView, "events", None)
    assert [run["unrecorded"] for run in command("runs", "-d", storage, "--json").json()["runs"]] == [0, 0]
    assert asked == [["nasty-run", "good-run"]]
