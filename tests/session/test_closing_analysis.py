"""The short analysis at the end of a run: what it records, when it is left out, and that it never holds a run up."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.session import closing

from ..analysis.runs import falling
from ..children import child_environment


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take long over the first analysis of a process."""
    monkeypatch.setattr(closing, "LEAST_S", 60.0)
    monkeypatch.setattr(closing, "MOST_S", 60.0)


def record(directory: Path, values: list[float], **options: Any) -> quark.TrainingSession:
    """A run with a training loss."""
    with quark.start_run(project="closing", storage_dir=directory, close_timeout_s=120, **options) as run:
        for step, value in enumerate(values):
            run.log({"train/loss": value}, step=step)
    return run


def broken(count: int = 60) -> list[float]:
    """A loss that is NaN at its end."""
    return [*falling(count), *[math.nan] * 5]


def stored(run: quark.TrainingSession) -> tuple[quark.Verdict | None, list[str], int]:
    """The verdict, the rules of the alerts, and the number of scores, as they are read of the store."""
    with quark.open(run.storage_dir) as store:
        view = store.run(run.run_id)
        assert view.status == run.status
        return view.verdict(), [alert.rule_id for alert in view.alerts()], len(view.health_scores())


def test_a_run_is_analyzed_when_it_ends(tmp_path: Path) -> None:
    """Alerts, scores and the verdict are records of the run, before its end."""
    run = record(tmp_path, broken(), analyze=True)
    verdict, rules, scores = stored(run)
    assert rules == ["nonfinite_values"]
    assert scores >= 1
    assert verdict is not None
    assert verdict == run.verdict
    assert (verdict.severity, verdict.status, verdict.step) == ("critical", "critical", 60)
    with quark.open(tmp_path) as store:
        assert [event.event_type for event in store.run(run.run_id).events()][-2:] == ["run_analyzed", "run_ended"]


def test_a_run_that_fails_is_analyzed_too(tmp_path: Path) -> None:
    """The reason of a failure may be in its metrics."""
    with (
        pytest.raises(ValueError),
        quark.start_run(project="closing", storage_dir=tmp_path, analyze=True, close_timeout_s=120) as run,
    ):
        for step, value in enumerate(broken()):
            run.log({"train/loss": value}, step=step)
        raise ValueError
    assert run.status == "failed"
    assert stored(run)[1] == ["nonfinite_values"]


@pytest.mark.parametrize(("variable", "option"), [("0", None), ("1", False), (None, False)])
def test_it_can_be_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, option: bool | None
) -> None:
    """By the variable for all runs, by the option for one."""
    if variable is None:
        monkeypatch.delenv("QUARK_ANALYZE")
    else:
        monkeypatch.setenv("QUARK_ANALYZE", variable)
    assert stored(record(tmp_path, broken(), analyze=option)) == (None, [], 0)


def test_an_interrupted_run_is_not_held_up(tmp_path: Path) -> None:
    """Who pressed Ctrl-C wants out."""
    with (
        pytest.raises(KeyboardInterrupt),
        quark.start_run(project="p", storage_dir=tmp_path, analyze=True, close_timeout_s=120) as run,
    ):
        for step, value in enumerate(broken()):
            run.log({"train/loss": value}, step=step)
        raise KeyboardInterrupt
    assert run.status == "interrupted"
    assert stored(run) == (None, [], 0)


@pytest.mark.parametrize("values", [[], [0.5] * 3])
def test_a_run_of_which_nothing_can_be_said_gets_no_records(tmp_path: Path, values: list[float]) -> None:
    """A handful of values is no basis."""
    assert stored(record(tmp_path, values, analyze=True)) == (None, [], 0)


def test_a_program_that_analyzes_its_run_is_not_corrected(tmp_path: Path) -> None:
    """What it silenced stays silent."""
    with quark.start_run(project="closing", storage_dir=tmp_path, analyze=True, close_timeout_s=120) as run:
        for step, value in enumerate(broken()):
            run.log({"train/loss": value}, step=step)
        config = quark.AnalyzerEngineConfig(silenced_rules=("nonfinite_values",))
        quark.AnalyzerEngine(run, config=config).analyze()
    assert stored(run)[1] == []


def test_a_live_analyzer_is_not_repeated(tmp_path: Path) -> None:
    """Its alerts are recorded once."""
    live = quark.LiveAnalyzer()
    rules = stored(record(tmp_path, broken(), analyze=True, trackers=[live]))[1]
    assert rules == [alert.rule_id for alert in live.alerts]
    assert set(rules) == {"nonfinite_values"}


def test_a_further_attempt_replaces_what_was_said(tmp_path: Path) -> None:
    """The analysis is of the whole run."""
    run = record(tmp_path, broken(), analyze=True)
    with quark.resume_run(run_id=run.run_id, storage_dir=tmp_path, completed=True, close_timeout_s=120) as again:
        again.analyze_at_end = True
        for step in range(65, 130):
            again.log({"train/loss": 0.1}, step=step)
    assert stored(again)[1] == ["nonfinite_values"]


def test_what_takes_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends in time, and its verdict says that there is none."""
    for name in ("LEAST_S", "MOST_S", "LOADING_S"):
        monkeypatch.setattr(closing, name, 0.0)
    run = record(tmp_path, broken(), analyze=True)
    verdict, rules, scores = stored(run)
    assert run.verdict is None
    assert (rules, scores) == ([], 0)
    assert verdict is not None
    assert (verdict.status, verdict.severity) == ("not analyzed", None)
    assert verdict.text.startswith("Not analyzed: ")


def test_a_store_that_cannot_be_read_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is counted, and the run ends as it would have. The fault itself is made up: a disk that fails."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("quark.analysis.stored.analyze_stored", refuse)
    run = record(tmp_path, broken(), analyze=True)
    assert run.status == "completed"
    assert "analysis" in run.health()["faults"]
    assert stored(run) == (None, [], 0)


@pytest.mark.parametrize(("loading_s", "outcome"), [(3600.0, ["False", "True"]), (0.0, ["True", "False"])])
def test_a_short_run_loads_nothing_for_it(tmp_path: Path, loading_s: float, outcome: list[str]) -> None:
    """In a process that never read a store the modules for that cost more than a run of a moment may."""
    code = (
        "import sys, quark\n"
        "from quark.session import closing\n"
        f"closing.LOADING_S, closing.LEAST_S, closing.MOST_S = {loading_s}, 60.0, 60.0\n"
        "with quark.start_run(project='p', storage_dir=sys.argv[1]) as run:\n"
        "    for step in range(60): run.log({'train/loss': 1.0}, step=step)\n"
        "print('sqlalchemy' in sys.modules, run.verdict is None)\n"
    )
    environment = {**child_environment(), "QUARK_ANALYZE": "1"}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, outcome), done.stderr


def test_the_last_lines_say_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong on a line of its own; that all is well in a word."""
    monkeypatch.setenv("QUARK_GOODBYE", "1")
    run = record(tmp_path, broken(), analyze=True)
    lines = capsys.readouterr().err.splitlines()
    assert run.verdict is not None
    assert f"quark: {run.verdict.text}" in lines
    assert any(", 1 alert" in line for line in lines)
    record(tmp_path, falling(), analyze=True)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.endswith(", healthy") for line in lines)
    assert not any("No fault" in line for line in lines)
