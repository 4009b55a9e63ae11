"""Health scores: what alerts cost, what is unknown, and that a further fault never makes a run look better."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quark
from quark import AlertRecord, AnalyzerEngine
from quark.analysis.health import Health, health_of
from quark.analysis.rules import RULES, RuleOutcome
from quark.analysis.verdict import alert_sentence
from quark.cli.show import event_line
from quark.records.literals import AlertCategory, AlertSeverity
from quark.testing import MemoryRunHandle

from .runs import analyzed, falling, losses, made


def alert(rule: str, category: Any, severity: Any) -> AlertRecord:
    """An alert of a rule."""
    return AlertRecord(
        id=f"{rule}-{severity}", run_id="r", sequence=0, timestamp="2026-05-07T00:00:00Z", rule_id=rule,
        category=category, severity=severity, title="t", summary="s", fact="f", inference="i", evidence=(),
    )  # fmt: skip


def scores(health: Health) -> dict[str, tuple[float, str]]:
    """Score and status by key."""
    return {one["score_key"]: (one["score"], one["status"]) for one in health.scores}


def test_only_the_worst_alert_of_a_rule_counts() -> None:
    """A category starts at 100; a warning costs 15, an error 35, a critical one 60; the whole is held to the lowest."""
    outcomes = [
        RuleOutcome("a", "optimization", ()), RuleOutcome("plateau", "optimization", ()),
        RuleOutcome("overfitting_onset", "generalization", ()),
        RuleOutcome("memory_growth", "runtime", (), "no telemetry"),
    ]  # fmt: skip
    alerts = [alert("a", "optimization", "warning"), alert("a", "optimization", "critical"),
              alert("b", "optimization", "error"), alert("plateau", "optimization", "info")]  # fmt: skip
    health = health_of(outcomes, alerts)
    assert scores(health) == {
        "overall": (25.0, "critical"), "optimization": (5.0, "critical"), "generalization": (100.0, "healthy"),
    }  # fmt: skip
    assert health.scores[1]["contributing_alert_ids"] == ("a-critical", "b-error")
    assert set(health.unknown) == {"representation", "runtime"}


@pytest.mark.parametrize(
    ("severity", "status"), [("warning", "watch"), ("error", "degraded"), ("critical", "critical")]
)
def test_an_alert_bounds_the_status(severity: str, status: str) -> None:
    """Nothing is healthy beside a warning, however many categories are well; the runtime harms no result."""
    outcomes = [RuleOutcome(rule.name, rule.category, ()) for rule in RULES]
    harmed = scores(health_of(outcomes, [alert("no_learning", "optimization", severity)]))
    assert harmed["optimization"][1] == harmed["overall"][1] == status
    slowed = scores(health_of(outcomes, [alert("stalled", "runtime", severity)]))
    assert slowed["runtime"][1] == status
    assert slowed["overall"][0] > harmed["overall"][0]


alerts_of_any_kind = st.builds(
    alert, st.sampled_from(["a", "b", "plateau"]), st.sampled_from(get_args(AlertCategory)),
    st.sampled_from(get_args(AlertSeverity)),
)  # fmt: skip
outcomes_of_any_kind = st.lists(
    st.builds(
        lambda rule, abstained: RuleOutcome(rule.name, rule.category, (), abstained),
        st.sampled_from(RULES), st.sampled_from([None, "it needs more"]),
    ),
    unique_by=lambda outcome: outcome.rule_id,
)  # fmt: skip


@given(outcomes_of_any_kind, st.lists(alerts_of_any_kind, max_size=8), alerts_of_any_kind, st.sampled_from([None, "x"]))
def test_a_further_alert_never_raises_a_score(outcomes: Any, alerts: Any, more: Any, no_progress: str | None) -> None:
    """No score rises, none becomes unknown, and what is unknown has a reason."""
    before = health_of(outcomes, alerts, no_progress)
    after = health_of(outcomes, [*alerts, more], no_progress)
    was, now = scores(before), scores(after)
    assert was.keys() <= now.keys()
    assert all(now[key][0] <= was[key][0] for key in was)
    keys = {"overall", *get_args(AlertCategory)}
    for health in (before, after):
        assert scores(health).keys() | health.unknown.keys() == keys
        assert not scores(health).keys() & health.unknown.keys()
        assert all(health.unknown.values())


def noisy(level: float, count: int, *, spread: float = 0.01) -> list[float]:
    """A loss that stays where it is but for some noise."""
    return [level * (1.0 + spread * ((step * 7 % 11) - 5) / 5) for step in range(count)]


@pytest.mark.parametrize("count", [3, 12, 60])
def test_a_loss_that_has_not_fallen_is_no_good_health(count: int) -> None:
    """However short the run is, nothing is praised; the reason names the metric and its numbers."""
    result = analyzed(made(lambda run: losses(run, noisy(2.302, count))))
    assert all(score.score < 85 for score in result.health_scores)
    assert result.verdict.status != "healthy"
    if not result.alerts:
        assert "train/loss" in result.unknown["overall"]
        assert result.verdict.text == f"Health unknown: {result.unknown['overall']}."


def test_a_run_at_chance_is_no_good_health() -> None:
    """The loss has come down from a bad start to what guessing gives, and so has the accuracy."""

    def build(run: MemoryRunHandle) -> None:
        for step, value in enumerate([3.5, 3.0, 2.6, *noisy(2.303, 40, spread=0.004)]):
            run.log_values({"train/loss": value, "val/acc": 0.10 + 0.01 * (step % 3)}, step=step)

    result = analyzed(made(build))
    assert result.verdict.status == "unknown"
    assert "guessing among 10 classes" in result.verdict.text


def test_a_run_without_a_loss_has_no_score() -> None:
    """One line says what was recorded and how to name the loss."""

    def build(run: MemoryRunHandle) -> None:
        for step in range(200):
            run.log_values({"wibble": 2.0, "wobble": 3.0, "lr": 0.1}, step=step)

    result = analyzed(made(build))
    assert result.health_scores == ()
    assert set(result.unknown) == {"overall", "optimization", "representation", "generalization", "runtime"}
    assert "wibble, wobble" in result.verdict.text
    assert "train_loss_metric_keys" in result.verdict.text
    assert "lr" not in result.verdict.text.split("(")[1].split(")")[0].split(", ")


@pytest.mark.parametrize("count", [6, 30, 400])
def test_a_loss_that_falls_is_good_health(count: int) -> None:
    """Few points are enough where they fall; the text says from where to where."""
    result = analyzed(made(lambda run: losses(run, falling(count))))
    assert (result.verdict.status, result.verdict.severity) == ("healthy", None)
    assert "train/loss went from" in result.verdict.text


@pytest.mark.parametrize(("rise", "status"), [(0.0, "unknown"), (0.3, "healthy")])
def test_an_accuracy_that_rises_is_progress(rise: float, status: str) -> None:
    """One that is high from the start may be the share of the largest class."""

    def build(run: MemoryRunHandle) -> None:
        for step, value in enumerate(noisy(0.2, 60)):
            run.log_values({"train/loss": value, "val/accuracy": 93.0 + rise * (step - 59)}, step=step)

    assert analyzed(made(build)).verdict.status == status


def test_the_verdict_is_stored_with_the_run(tmp_path: Path) -> None:
    """What the analysis said is what a view of the run says, with the roles that metrics were given."""
    with quark.start_run(project="health", storage_dir=tmp_path) as run:
        for step, value in enumerate([*falling(100), *[9.0] * 60]):
            run.log({"Train Loss": value}, step=step)
        result = AnalyzerEngine(run).analyze()
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert view.verdict() == result.verdict
        (analyzed,) = view.events("run_analyzed")
        assert event_line(analyzed).plain.endswith(f" run_analyzed {result.verdict.text}")
        assert result.roles == {"loss": "Train Loss"}
    verdict = result.verdict
    assert (verdict.severity, verdict.rule, verdict.step) == ("error", "lr_too_high", 107)
    assert verdict.text.startswith("The loss rises and does not come back, since step 107: for 20 steps the mean loss")
    assert verdict.text.endswith("Try: Divide the learning rate by 3 to 10.")


def test_a_verdict_follows_from_alerts_alone(tmp_path: Path) -> None:
    """A run that goes on has no analysis yet; what its alerts say is its verdict, the harmful ones first."""
    with quark.start_run(project="health", storage_dir=tmp_path) as run:
        run.flush()
        with quark.open(tmp_path) as store:
            assert store.run(run.run_id).verdict() is None
        for rule, category, severity in (
            ("stalled", "runtime", "critical"),
            ("no_learning", "optimization", "warning"),
        ):
            fields = {name: getattr(alert(rule, category, severity), name) for name in (
                "rule_id", "category", "severity", "title", "summary", "fact", "inference")}  # fmt: skip
            run.emit(AlertRecord, {**fields, "evidence": (quark.EvidenceRecord(kind="k", source="s", summary="s"),)})
        run.flush()
        with quark.open(tmp_path) as store:
            verdict = store.run(run.run_id).verdict()
    assert verdict is not None
    assert (verdict.rule, verdict.status, verdict.alerts) == ("no_learning", "watch", 2)


@pytest.mark.parametrize(("step", "fact", "expected"), [
    (9, "train/loss was nan at step 9.", "train/loss is nan, seen at step 9. Try: "),
    (1200, "train/loss was nan at step 1200.", "train/loss is nan, seen at step 1,200. Try: "),
    (9, "train/loss was nan at step 9. It is the 4th such value.", "train/loss is nan, seen at step 9: it is the 4th"),
    (9, "train/loss was nan at step 8.", "train/loss is nan, seen at step 9: train/loss was nan at step 8. Try: "),
    (9, "", "train/loss is nan, seen at step 9. Try: "),
])  # fmt: skip
def test_a_verdict_says_nothing_twice(step: int, fact: str, expected: str) -> None:
    """A fact that repeats title and step is left out; the first sentence that adds to them is said."""
    about = {"title": "train/loss is nan", "fact": fact, "step_start": step, "step_end": step, "actions": ("Look.",)}
    found = replace(alert("nonfinite_values", "optimization", "error"), **about)
    assert alert_sentence(found).startswith(expected)


def test_an_event_of_a_program_is_no_verdict(tmp_path: Path) -> None:
    """A program may log an event of that name: what it holds is not read as one."""
    with quark.start_run(project="health", storage_dir=tmp_path) as run:
        for payload in ({}, {"verdict": 3}, {"verdict": {"text": 1}}, {"verdict": {"text": "fine", "status": "super"}}):
            quark.EventLogger(run).log("run_analyzed", payload=payload)
        run.flush()
        with quark.open(tmp_path) as store:
            assert store.run(run.run_id).verdict() is None
