"""What does not come any more: checkpoints and evaluations, by times that are written."""

from collections.abc import Iterable

import pytest

from quark.analysis.analysis import Analysis
from quark.analysis.frames import Event, Frame
from quark.analysis.rules import Finding, RuleOutcome
from quark.records.thresholds import AnalyzerEngineConfig

MINUTE = 60_000_000_000


def judged(
    evaluations: Iterable[int], *, steps: int = 2000, minutes: float = 0.1, resumed: int | None = None
) -> tuple[RuleOutcome, list[Finding]]:
    """What the rule says of a run that evaluates after these steps, each of which takes so many minutes."""
    analysis = Analysis(AnalyzerEngineConfig())
    due = set(evaluations)
    findings = []
    for step in range(steps):
        frame = Frame(step, None, 0, int(step * minutes * MINUTE))
        frame.values = {"train/loss": 1.0 + 1.0 / (step + 1)}
        if step in due:
            frame.values["val/loss"] = 2.0
        if step == resumed:
            frame.events = [Event("run_resumed")]
        findings += [one for one in analysis.feed(frame) if one.rule_id == "eval_gap"]
    assert analysis.faults == {}
    return next(one for one in analysis.result() if one.rule_id == "eval_gap"), findings


def test_evaluations_that_stop_are_missed() -> None:
    """Every 100 steps, and none after step 900: three times the usual gap later it is told, once."""
    verdict, findings = judged(range(100, 1000, 100))
    (finding,) = findings
    assert (finding.severity, finding.step_start, finding.step_end) == ("warning", 900, 1201)
    assert verdict.findings == (finding,)


def test_an_evaluation_that_comes_late_ends_it() -> None:
    """What stopped again is another alert."""
    _, findings = judged([100, 200, 300, 400, 1200, 1300, 1400], steps=4000)
    assert [(finding.step_start, finding.episode) for finding in findings] == [(400, 0), (1400, 1)]


@pytest.mark.parametrize(
    ("evaluations", "minutes"),
    [(range(50, 2000, 50), 0.1), ([10, 20, 40, 80, 160, 320, 640, 1280], 0.1), (range(0, 300, 10), 0.001),
     ((step for step in range(2000) if step % 300 in (0, 1, 2)), 0.1)],
    ids=["regular", "ever less often", "minutes ago", "three at a time"],
)  # fmt: skip
def test_evaluations_that_come_as_they_always_did(evaluations: Iterable[int], minutes: float) -> None:
    """No alert, and the rule could judge."""
    verdict, findings = judged(evaluations, minutes=minutes)
    assert findings == []
    assert verdict.abstained is None


def test_after_a_resume_the_pace_is_learned_anew() -> None:
    """The second attempt may evaluate less often."""
    _, findings = judged([*range(100, 600, 100), *range(1200, 4000, 700)], steps=4000, resumed=600)
    assert findings == []


def test_two_evaluations_are_no_pace() -> None:
    """The rule abstains and says what it lacks."""
    verdict, findings = judged([100, 200])
    assert findings == []
    assert verdict.abstained is not None
    assert "three evaluations" in verdict.abstained


def paused(pauses: dict[int, float], *, ticks: Iterable[float] = ()) -> list[tuple[str, int | None]]:
    """Severities and starts of what the rule says of a run that pauses for minutes after these steps.

    Args:
        ticks: minutes after the last step at which the clock is looked at.
    """
    analysis = Analysis(AnalyzerEngineConfig())
    findings, now = [], 0
    for step in range(200):
        frame = Frame(step, None, 0, now)
        frame.values = {"train/loss": 1.0 + 1.0 / (step + 1)}
        findings += analysis.feed(frame)
        now += int(pauses.get(step, 0.002) * MINUTE)
    for minutes in ticks:
        findings += analysis.tick(frame.time_ns + int(minutes * MINUTE))
    return [(one.severity, one.step_start) for one in findings if one.rule_id == "stalled"]


def test_long_evaluations_are_no_hang() -> None:
    """The first one is information, the next ones are what is usual."""
    assert paused({30: 1.1, 60: 1.2, 90: 1.0, 120: 2.5}) == [("info", 30)]
    assert paused({30: 1.1, 60: 1.2}, ticks=[1.5, 3.0]) == [("info", 30)]


def test_hours_that_were_lost_are_told() -> None:
    """A hang that ended by itself has cost time all the same."""
    assert paused({100: 30.0}) == [("warning", 100)]


def test_a_hang_grows_worse() -> None:
    """Live: a warning after a minute, an error after five."""
    assert paused({}, ticks=[0.5, 1.1, 2.0, 5.1, 9.0]) == [("warning", 199), ("error", 199)]


def test_a_validation_loss_alone_speaks() -> None:
    """Where no training loss is recorded, a validation loss that only rises is told."""
    analysis = Analysis(AnalyzerEngineConfig())
    findings = []
    for epoch in range(40):
        frame = Frame(None, epoch, 0, epoch * MINUTE)
        frame.values = {"val/loss": 1.0 + abs(epoch - 12) * 0.05}
        findings += analysis.feed(frame)
    assert [(one.rule_id, one.severity) for one in findings] == [("overfitting_onset", "warning")]
    assert "epoch 12" in findings[0].fact


def test_an_evaluation_before_the_first_step_is_held_against_nothing() -> None:
    """Such as Lightning's sanity check: no training loss was known then, and none fell since."""
    analysis = Analysis(AnalyzerEngineConfig())
    findings = []
    for step in range(400):
        frame = Frame(step, None, 0, step * MINUTE // 100)
        frame.values = {} if step == 0 else {"train/loss": 1.0 - step / 4000}
        if step % 50 == 0:
            frame.values = {**frame.values, "val/loss": 1.0 if step == 0 else 2.0}
        findings += analysis.feed(frame)
    assert [one for one in findings if one.rule_id == "overfitting_onset"] == []
