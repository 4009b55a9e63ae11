"""`--fail-on` of show, analyze and compare: exit codes that a CI pipeline can gate on."""

import math
from pathlib import Path

import pytest

import quark
from quark import AlertRecord

from ..analysis.runs import falling
from .conftest import Command

SEVERITIES = ("info", "warning", "error", "critical")
LEVELS = SEVERITIES[1:]


def alert(severity: str, subject: str | None = None) -> dict[str, object]:
    return {
        "rule_id": "a_rule", "category": "optimization", "severity": severity, "title": "It is wrong", "summary": "s",
        "fact": "f", "inference": "i", "subject": subject, "step_start": 3,
        "evidence": ({"kind": "metric", "source": "loss", "summary": "it was seen"},),
    }  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that keep one alert of each severity, a healthy one, one with a spike, and one that failed."""
    found = tmp_path_factory.mktemp("gate")
    for severity in SEVERITIES:
        with quark.start_run(project="p", name=severity, storage_dir=found) as run:
            run.log({"loss": 1.0}, step=0)
            run.emit(AlertRecord, alert(severity))  # pyright: ignore[reportAttributeAccessIssue]
    spiked = falling()
    spiked[300] = 9.0
    diverged = [*falling(150), *(2 * 1.3**step for step in range(150))]
    broken = [*falling(200), *[math.nan] * 50]
    for name, values in (("healthy", falling()), ("spiked", spiked), ("diverged", diverged), ("broken", broken)):
        with quark.start_run(project="p", name=name, storage_dir=found) as run:
            for step, value in enumerate(values):
                run.log({"train/loss": value}, step=step)
    with pytest.raises(ValueError), quark.start_run(project="p", name="failed", storage_dir=found) as run:
        run.log({"loss": 1.0}, step=0)
        raise ValueError
    return found


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("words", [("show", "{}"), ("compare", "{}", "healthy")], ids=["show", "compare"])
def test_the_exit_code_says_whether_an_alert_is_that_grave(
    command: Command, place: Path, words: tuple[str, ...], severity: str, level: str, as_json: bool
) -> None:
    """3 with an alert of the level or a worse one, else 0, for every severity and level."""
    arguments = [word.format(severity) for word in words]
    answer = command(*arguments, "-d", place, "--fail-on", level, *(["--json"] if as_json else []))
    grave = SEVERITIES.index(severity) >= SEVERITIES.index(level)
    assert answer.code == (3 if grave else 0)
    if as_json:
        found = answer.json()
        assert found["fail_on"] == level
        assert [one["severity"] for one in found["findings"]] == ([severity] if grave else [])
    else:
        assert ("It is wrong since step 3" in answer.err) is grave


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("run", "severity"), [("spiked", "warning"), ("diverged", "error"), ("broken", "critical")])
def test_an_analysis_made_now_decides_alike(command: Command, place: Path, run: str, severity: str, level: str) -> None:
    """Also where the alerts are not kept with the run: 3 with one of the level or a worse one, else 0."""
    grave = SEVERITIES.index(severity) >= SEVERITIES.index(level)
    for word in ("analyze", "show"):
        assert command(word, run, "-d", place, "--fail-on", level).code == (3 if grave else 0)


@pytest.mark.parametrize(
    ("words", "level", "code"),
    [
        (("show", "healthy"), "warning", 0),
        (("analyze", "spiked", "--silence", "loss_spike"), "warning", 0),
        (("analyze", "healthy"), "warning", 0),
        (("compare", "spiked", "healthy"), "warning", 3),
        (("compare", "healthy", "spiked"), "warning", 0),  # what went away is no regression
        (("compare", "spiked", "spiked"), "warning", 0),
        (("compare", "warning", "critical"), "warning", 0),
        (("compare", "critical", "warning"), "error", 3),  # the same alert in a higher severity
        (("show", "failed"), "error", 3),
        (("show", "failed"), "critical", 0),
        (("analyze", "failed"), "error", 3),
        (("compare", "failed", "healthy"), "error", 3),
        (("compare", "failed", "failed"), "warning", 0),
        (("show", "nobody"), "warning", 1),
        (("analyze", "nobody"), "warning", 1),
        (("compare", "healthy", "nobody"), "warning", 1),
        (("show", "healthy"), "info", 2),
        (("analyze", "healthy"), "fatal", 2),
        (("compare", "healthy", "spiked", "failed"), "warning", 2),
    ],
)
def test_exit_codes(command: Command, place: Path, words: tuple[str, ...], level: str, code: int) -> None:
    """0 fine, 1 an error, 2 a command line that cannot be used, 3 findings; with and without ``--json``."""
    assert command(*words, "-d", place, "--fail-on", level).code == code
    assert command(*words, "-d", place, "--fail-on", level, "--json").code == code


@pytest.mark.parametrize("words", [("show", "critical"), ("analyze", "spiked"), ("compare", "critical", "healthy")])
def test_without_the_option_findings_are_no_failure(command: Command, place: Path, words: tuple[str, ...]) -> None:
    """Who only looks is not told off; the document has no findings either."""
    answer = command(*words, "-d", place, "--json")
    assert answer.code == 0 and "findings" not in answer.json()
