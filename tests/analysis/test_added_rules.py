"""Rules of other packages run beside Quark's own, and do them no harm."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import quark
from quark import AnalyzerEngineConfig, ConfigurationError, Rule, register_rule
from quark.analysis.analysis import Analysis
from quark.analysis.rules import registry
from quark.testing import MemoryRunHandle
from tests.children import child_environment

from .runs import analyzed, falling, losses

PACKAGE = '''
"""A package that adds a rule, and one that cannot be loaded."""

import quark


class LossBelowZero(quark.Rule):
    """A loss that cannot be negative is."""

    name = "loss_below_zero"
    topics = frozenset({"loss"})
    needs = "a training loss"
    actions = ("check the sign of each term",)
    clears = "the loss is positive again"

    def look(self, frame, seen):
        self.judged = True
        if seen.loss < 0:
            self.alert(frame, "error", title="negative", fact="it is negative", inference="a wrong sign", evidence=[
                quark.EvidenceRecord(kind="metric", source="train/loss", summary="the loss", observed_value=seen.loss),
            ])
'''

PROGRAM = """
import json, sys
import quark

with quark.start_run(project="rules", run_id="run", storage_dir=sys.argv[1]) as run:
    live = quark.LiveAnalyzer()
    run.add_tracker(live)
    for step in range(60):
        run.log({"train/loss": 1.0 - step / 50}, step=step)
with quark.open(sys.argv[1]) as store:
    stored = [alert.rule_id for alert in store.run("run").alerts(rule_id="loss_below_zero")]
result = quark.AnalyzerEngine(quark.resume_run(run_id="run", storage_dir=sys.argv[1], completed=True)).analyze()
print(json.dumps([stored, [alert.rule_id for alert in result.alerts if alert.rule_id == "loss_below_zero"]]))
"""


class Counts(Rule):
    """Sees every loss and says nothing."""

    name = "counts"
    topics = frozenset({"loss"})
    needs = "a training loss"
    frames: ClassVar[list[tuple[int | None, float | None, int]]] = []

    def look(self, frame: Any, seen: Any) -> None:
        self.judged = True
        self.frames.append((frame.step, seen.loss, seen.course.count))


class Fails(Counts):
    """Raises at the tenth frame."""

    name = "fails"

    def look(self, frame: Any, seen: Any) -> None:
        if frame.step == 9:
            raise RuntimeError("a defect")


class SaysTooLittle(Counts):
    """Raises an alert that rests on nothing."""

    name = "says_too_little"

    def look(self, frame: Any, seen: Any) -> None:
        self.alert(frame, "error", title="bad", fact="it is", inference="it must be", evidence=[])


class CannotBeMade(Counts):
    """Raises when an analysis begins."""

    name = "cannot_be_made"

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        raise RuntimeError("a defect")


@pytest.fixture
def _no_others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rules of this test alone are registered, and no longer than it."""
    monkeypatch.setattr(registry, "_added", {})
    Counts.frames.clear()
    yield
    Counts.frames.clear()


def test_an_installed_rule_is_found(tmp_path: Path) -> None:
    """By its entry point it runs live and after the fact; one that cannot be loaded is left out with a warning."""
    info = tmp_path / "rules-1.0.dist-info"
    info.mkdir()
    (tmp_path / "more_rules.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rules\nVersion: 1.0\n")
    entries = "[quark.rules]\nbelow = more_rules:LossBelowZero\nmissing = more_rules:Missing\n"
    (info / "entry_points.txt").write_text(entries)
    root = str(Path(quark.__file__).parents[1])
    environment = {**child_environment(), "PYTHONPATH": f"{tmp_path}:{root}"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "store")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["loss_below_zero"], ["loss_below_zero"]]
    assert "the rule 'missing' (more_rules:Missing) could not be loaded" in done.stderr


@pytest.mark.usefixtures("_no_others")
def test_a_loss_that_is_found_by_its_behaviour_is_seen() -> None:
    """A rule of another package sees the same loss as Quark's own."""
    register_rule(Counts)
    run = MemoryRunHandle()
    losses(run, falling(100), key="wibble")
    assert analyzed(run).roles == {"loss": "wibble"}
    assert [loss for _, loss, _ in Counts.frames] == falling(100)


@pytest.mark.usefixtures("_no_others")
def test_every_frame_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule with ``look`` alone sees each frame with its state; Quark's own rules pass over as many as without it."""
    alone: list[int] = []
    feed = Analysis._feed

    def counted(self: Analysis, frame: Any) -> Any:
        if type(self) is Analysis:
            alone.append(frame.step)
        return feed(self, frame)

    monkeypatch.setattr(Analysis, "_feed", counted)
    run = MemoryRunHandle()
    losses(run, falling(2000))
    without, before = analyzed(run), list(alone)
    alone.clear()
    register_rule(Counts)
    beside = analyzed(run)
    assert alone == before and len(before) < 500
    assert [step for step, *_ in Counts.frames] == list(range(2000))
    assert [(loss, count) for _, loss, count in Counts.frames] == [(v, i + 1) for i, v in enumerate(falling(2000))]
    assert [alert.rule_id for alert in beside.alerts] == [alert.rule_id for alert in without.alerts]
    assert set(without.abstentions) == set(beside.abstentions)


@pytest.mark.usefixtures("_no_others")
def test_a_rule_that_fails_says_so_and_the_others_go_on() -> None:
    """In its verdict; a rule that cannot be made is left out, and one that is silenced is not asked."""
    for rule in (Fails, SaysTooLittle, Counts, CannotBeMade):
        register_rule(rule)
    run = MemoryRunHandle()
    losses(run, falling(50))
    found = analyzed(run)
    assert "RuntimeError: a defect" in found.abstentions["fails"]
    assert "evidence" in found.abstentions["says_too_little"]
    assert len(Counts.frames) == 50 and "counts" not in found.abstentions
    Counts.frames.clear()
    silenced = analyzed(run, silenced_rules=["counts"])
    assert (Counts.frames, "counts" in silenced.abstentions) == ([], False)


def wrong(**changes: Any) -> type:
    return type("Wrong", (Counts,), {"name": "wrong", **changes})


@pytest.mark.usefixtures("_no_others")
@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (int, "subclass of quark.Rule"),
        (wrong(name=""), "lower-case word"),
        (wrong(name="plateau"), "no rule of Quark has"),
        (wrong(category="speed"), "optimization"),
        (wrong(topics=frozenset()), "topics"),
        (wrong(topics={"losses"}), "validation"),
        (wrong(look=Rule.look), "look"),
    ],
    ids=["no rule", "no name", "taken", "category", "no topic", "unknown topic", "no look"],
)
def test_a_rule_that_cannot_work_is_refused(cls: Any, message: str) -> None:
    """When it is registered, with what is wrong."""
    with pytest.raises(ConfigurationError, match=message):
        register_rule(cls)
    assert registry._added == {}
