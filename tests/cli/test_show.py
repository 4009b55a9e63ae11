"""`quark show`."""

import re
from pathlib import Path

import pytest

import quark

from .conftest import Command

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def test_a_run_is_shown_on_one_screen(command: Command, storage: Path) -> None:
    """Configuration, tags, environment, metrics with their course, events and artifacts."""
    out = command("show", "good-run", "-d", storage).out
    for word in ("cnn", "completed", "optimizer.name", "adamw", "first", "python", "train/loss", "0.02", "▁", "█"):
        assert word in out
    for word in ("Half of it is done.", "run_ended", "trainer/last", "checkpoint_metadata"):
        assert word in out


def test_json_holds_what_the_screen_shows(command: Command, storage: Path) -> None:
    """Numbers of each metric, and how many records of each kind there are."""
    document = command("show", "good", "-d", storage, "--json").json()
    assert document["run"]["id"] == "good-run"
    assert document["metrics"]["train/loss"] == {
        "count": 50, "first": 1.0, "last": 0.02, "minimum": 0.02, "maximum": 1.0, "last_step": 49,
        "best": {"key": "train/loss", "value": 0.02, "step": 49, "epoch": 1, "mode": "min"},
        "nonfinite": 0,
    }  # fmt: skip
    assert document["metrics"]["val/loss"]["last_step"] == 49
    assert (document["verdict"], document["summary"], document["notes"]) == (None, {}, [])
    assert document["counts"]["event"] == len(document["events"]) == 3
    assert document["artifacts"][0]["artifact_key"] == "trainer/last"


def test_without_a_run_the_latest_is_shown(command: Command, storage: Path) -> None:
    """The run that was just recorded is the one that people look for."""
    assert command("show", "-d", storage, "--json").json()["run"]["id"] == "nasty-run"


def test_recorded_text_cannot_steer_the_terminal(command: Command, storage: Path) -> None:
    """Control characters are stripped, markup is text; in JSON they are escaped."""
    out = command("show", "nasty-run", "-d", storage).out
    assert not CONTROL.search(out)
    assert "[bold]markup[/bold]" in out
    raw = command("show", "nasty-run", "-d", storage, "--json")
    assert not CONTROL.search(raw.out)
    assert raw.json()["run"]["config"]["note"].count("\x9b") == 1
    assert not CONTROL.search(command("runs", "-d", storage).out)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_it_fits_the_terminal(command: Command, storage: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Tables are no wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("show", "runs"):
        lines = command(name, *(["good-run"] if name == "show" else []), "-d", storage).out.splitlines()
        assert max(len(line) for line in lines if "─" in line or "▁" in line) <= columns


def test_colour_is_for_terminals_only(command: Command, storage: Path) -> None:
    """What is piped into a file holds no escapes."""
    assert "\x1b" not in command("show", "good-run", "-d", storage).out


def test_an_unknown_run_is_an_error(command: Command, storage: Path) -> None:
    """Exit code 1, what was looked for and what to do; as JSON too."""
    answer = command("show", "nope", "-d", storage)
    assert answer.code == 1 and "nope" in answer.err and answer.out == ""
    document = command("show", "nope", "-d", storage, "--json")
    assert (document.code, document.json()["error"]["code"]) == (1, "run_not_found")


def test_best_values_summary_notes_and_verdict_are_shown(command: Command, tmp_path: Path) -> None:
    """What a person asks first: how good, when, what the author said of it, and whether it was healthy."""
    with quark.start_run(project="p", name="my run", storage_dir=tmp_path) as run:
        for step, value in enumerate((0.1, 0.8, 0.3)):
            run.log({"val/acc": value}, step=step)
        run.summary["final_score"] = 7
        run.note("the second epoch was good")
    out = command("show", "my run", "-d", tmp_path).out
    for words in ("0.8 at 1", "final_score", "the second epoch was good"):
        assert words in out
    assert f"not analyzed yet: quark analyze 'my run' -d {tmp_path}" in out
    assert "values=" not in out


def test_the_verdict_of_an_analysis_is_shown(command: Command, tmp_path: Path) -> None:
    """The overall score that was recorded last."""
    with quark.start_run(project="p", storage_dir=tmp_path, trackers=[quark.LiveAnalyzer()]) as run:
        for step in range(200):
            run.log({"train/loss": 1.0 / (step + 1)}, step=step)
    document = command("show", "-d", tmp_path, "--json").json()
    score = document["verdict"]
    assert score["status"] in ("healthy", "watch", "degraded", "critical")
    assert f"health: {score['status']} ({score['score']:.0f} of 100)" in command("show", "-d", tmp_path).out


def test_a_command_to_type_names_the_run_without_doubt(command: Command, tmp_path: Path) -> None:
    """Two runs share a name: the id is written, and the command works as it stands."""
    for _ in range(2):
        with quark.start_run(project="p", name="twin", storage_dir=tmp_path) as run:
            run.log({"loss": 1.0}, step=0)
    assert f"quark analyze {run.run_id} -d" in command("show", run.run_id, "-d", tmp_path).out
