"""Frames that are passed over at once leave every rule as it would be had it looked at each of them."""

import math
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from quark import AnalyzerEngineConfig
from quark.analysis.analysis import Analysis
from quark.analysis.course import Course
from quark.analysis.frames import Frame, frames_of
from quark.analysis.rules import Rule
from quark.analysis.stored import stored_frames, stored_parts
from quark.analysis.stretch import Stretch
from quark.analysis.subject import RunOfReader
from quark.testing import MemoryRunHandle

from .runs import activation, event, gradient, parameter


def inside(thing: Any, depth: int = 6) -> Any:
    """What a rule holds, as values that can be compared; a frame is known by where it is."""
    if isinstance(thing, Frame):
        return thing.step, thing.epoch, thing.rank, thing.time_ns
    if isinstance(thing, (str, int, float, type(None), frozenset)) or not depth:
        return repr(thing)
    if isinstance(thing, (list, tuple, set)) or type(thing).__name__ == "deque":
        return [inside(one, depth - 1) for one in (sorted(thing) if isinstance(thing, set) else thing)]
    if isinstance(thing, dict):
        return {key: inside(value, depth - 1) for key, value in thing.items()}
    names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
    return {name: inside(getattr(thing, name), depth - 1) for name in sorted(set(names))}


def same(ours: Analysis, theirs: Analysis) -> None:
    """Hold all that two analyses know to be equal."""
    assert ours.result() == theirs.result()
    for one, other in zip(ours.rules, theirs.rules, strict=True):
        assert (one.name, inside(one)) == (other.name, inside(other))
    for name in ("course", "steps", "raised", "has_parameters"):
        assert inside(getattr(ours.seen, name)) == inside(getattr(theirs.seen, name))


def both_ways(run: MemoryRunHandle, config: AnalyzerEngineConfig) -> int:
    """Analyze a run with its stretches and frame by frame, hold both to be equal, and count the frames in stretches."""
    analysis, one_by_one = Analysis(config), Analysis(config)
    frames = frames_of(iter(run.journal.lines()))
    count = 0
    for part in stored_parts(RunOfReader(run.reader(), run.run_id), analysis):
        length = len(part) if isinstance(part, Stretch) else 1
        found = analysis.feed(part)
        assert found == [finding for frame in islice(frames, length) for finding in one_by_one.feed(frame)]
        if isinstance(part, Stretch):
            same(analysis, one_by_one)
            count += length
    assert next(frames, None) is None
    same(analysis, one_by_one)
    assert analysis.faults == {}
    return count


def shapes(rng: random.Random, count: int) -> dict[str, list[float]]:
    """Losses of many kinds: falling, with spikes, diverged, flat, around zero, wild, broken."""
    base = [(2.3 * math.exp(-4 * n / count) + 0.1) * math.exp(rng.gauss(0, 0.05)) for n in range(count)]
    spiky = [value * (30.0 if rng.random() < 0.004 else 1.0) for value in base]
    turn = count // 3
    return {
        "falling": base,
        "spiky": spiky,
        "jumped": base[:turn] + [8.0 * math.exp(rng.gauss(0, 0.1)) for _ in range(count - turn)],
        "went and came back": base[:turn] + [9.0] * 60 + base[turn + 60 :],
        "flat": [2.3 * math.exp(rng.gauss(0, 0.01)) for _ in range(count)],
        "below zero": [value - 0.5 for value in base],
        "wild": [math.exp(rng.gauss(0, 1.0)) * (100.0 if rng.random() < 0.02 else 1.0) for _ in range(count)],
        "tiny": [1e-305 * value for value in base],
        "constant": [1.0] * count,
        "climbing": [0.1 * math.exp(3 * n / count + rng.gauss(0, 0.05)) for n in range(count)],
    }


def recorded(losses: list[float], rng: random.Random, **kinds: float) -> MemoryRunHandle:
    """A run of these losses, with other records in between as often as ``kinds`` says."""
    run = MemoryRunHandle()
    rate, accuracy = 0.1, 0.1
    for step, loss in enumerate(losses):
        epoch = step // 500 if "epochs" in kinds else None
        happens = {kind for kind, share in kinds.items() if rng.random() < share}
        if step < len(losses) // 3:
            happens |= {kind.removeprefix("early ") for kind in happens}
        before(run, step, happens, rng)
        values = {"train/loss": loss}
        if "rate" in kinds:
            rate *= 0.999 if rng.random() < 0.998 else 3.0
            values["lr"] = rate
        if "accuracy" in kinds:
            accuracy = min(accuracy + 0.001, 0.95)
            values["acc"] = accuracy * kinds["accuracy"]
        together = [values] if "apart" not in kinds else [{key: values[key]} for key in sorted(values, reverse=True)]
        for part in together:
            run.log_values(part, step=step, epoch=epoch)
        after(run, step, happens, 0.9 * loss + step / len(losses))
    return run


def before(run: MemoryRunHandle, step: int, happens: set[str], rng: random.Random) -> None:
    """What comes between two losses: time, and looks at the network."""
    run._time += 5 * 10**9 if "slow" in happens else 0
    run._time += rng.choice((61, 700, 4000)) * 10**9 if "pause" in happens else 0
    run._time -= 10**9 if "back" in happens else 0
    if "probe" in happens:
        gradient(run, "fc", rng.choice((1.0, 1.0, 1.0, 1e4)), step)
        activation(run, "act", step)
        for name in ("a", "b", "c"):
            parameter(run, name, step, weight=10.0, update=rng.choice((0.01, 1.0)))


def after(run: MemoryRunHandle, step: int, happens: set[str], validation: float) -> None:
    """What belongs to a step and comes behind its loss."""
    for kind, values in (
        ("late", {"lr": 0.2}),
        ("again", {"train/loss": 1.0}),
        ("validation", {"val/loss": validation}),
    ):
        if kind in happens:
            run.log_values(values, step=step)
    if "placeless" in happens:
        event(run, "note")
    if "checkpoint" in happens:
        event(run, "checkpoint_saved", step)
    if "broken" in happens:
        event(run, "metric_nonfinite", step, key="train/loss", value="nan", step=step)


MIXTURES: dict[str, dict[str, float]] = {
    "losses": {},
    "epochs and rates": {"epochs": 1, "rate": 1, "pause": 0.003, "back": 0.003},
    "probes": {"probe": 0.01, "epochs": 1},
    "records in between": {"late": 0.005, "again": 0.005, "placeless": 0.005, "broken": 0.002, "checkpoint": 0.01},
    "three metrics apart": {"apart": 1, "rate": 1, "accuracy": 100.0, "validation": 0.01, "pause": 0.001},
    "evaluations": {"validation": 0.02, "accuracy": 1.0, "pause": 0.01, "checkpoint": 0.02},
    "what stops": {"early validation": 0.05, "early checkpoint": 0.05, "slow": 1, "accuracy": 1.0},
    "much that breaks": {"broken": 0.01, "epochs": 1},
}


def cases() -> Iterator[Any]:
    """Every shape in every mixture."""
    for shape in shapes(random.Random(0), 12):
        for mixture in MIXTURES:
            yield pytest.param(shape, mixture, id=f"{shape}, {mixture}")


@pytest.mark.parametrize(("shape", "mixture"), list(cases()))
def test_a_stretch_is_the_frames_that_it_stands_for(shape: str, mixture: str) -> None:
    """Alerts, verdicts and every number that a rule keeps are those of an analysis frame by frame."""
    rng = random.Random(f"{shape}, {mixture}")
    run = recorded(shapes(rng, 700)[shape], rng, **MIXTURES[mixture])
    assert both_ways(run, AnalyzerEngineConfig()) > 100


def test_long_runs_in_other_modes_too() -> None:
    """Literal limits, a silenced rule, and more losses than a block."""
    rng = random.Random(3)
    run = recorded(shapes(rng, 3000)["spiky"], rng, probe=0.002)
    for config in (AnalyzerEngineConfig(mode="absolute"), AnalyzerEngineConfig(silenced_rules=("loss_spike",))):
        assert both_ways(run, config) > 2000


def test_the_frames_of_earlier_attempts_are_frames() -> None:
    """What catches up with the attempts before its own takes one frame after the other."""
    rng = random.Random(6)
    run = recorded(shapes(rng, 200)["falling"], rng, validation=0.05)
    reader = RunOfReader(run.reader(), run.run_id)
    found = [frame.step for frame in stored_frames(reader, Analysis(AnalyzerEngineConfig()), before=2)]
    assert found == [frame.step for frame in frames_of(iter(run.journal.lines()))] == list(range(200))
    assert list(stored_frames(reader, Analysis(AnalyzerEngineConfig()), before=1)) == []


def test_a_rule_that_is_not_told_how_sees_every_frame() -> None:
    """Passing over is a rule's own word: by default none is."""
    rng = random.Random(4)
    run = recorded(shapes(rng, 400)["falling"], rng)
    analysis = Analysis(AnalyzerEngineConfig())
    steps: list[int | None] = []

    class Watch(Rule):
        name = "watch"
        topics = frozenset(("loss",))

        def look(self, frame: Frame, seen: Any) -> None:
            steps.append(frame.step)

    analysis.rules.append(Watch(AnalyzerEngineConfig()))
    for part in stored_parts(RunOfReader(run.reader(), run.run_id), analysis):
        analysis.feed(part)
    assert steps == list(range(400))


def test_a_rule_that_fails_at_passing_over_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """It says so in its verdict; the others go on, and nothing is lost to them."""
    rng = random.Random(5)
    run = recorded(shapes(rng, 400)["spiky"], rng)
    for method in ("passes", "pass_over"):
        analysis = Analysis(AnalyzerEngineConfig())
        broken = next(rule for rule in analysis.rules if rule.name == "plateau")
        setattr(broken, method, lambda *_: 1 / 0)
        for part in stored_parts(RunOfReader(run.reader(), run.run_id), analysis):
            analysis.feed(part)
        assert list(analysis.faults) == ["plateau"]
        assert analysis.seen.steps == 400
    assert "plateau" in caplog.text


@pytest.mark.parametrize("shape", list(shapes(random.Random(0), 12)))
def test_the_course_runs_as_it_walks(shape: str) -> None:
    """Many losses at once leave the course as one after the other does, to the last bit, and stop where it matters."""
    losses = shapes(random.Random(shape), 2000)[shape]
    walked, ran = Course(), Course()
    for loss in losses:
        walked.add(loss)
    place = at_once = 0
    while place < len(losses):
        levels, _ = ran.run(losses[place : place + 300])
        place += len(levels)
        at_once += len(levels)
        if place < len(losses):
            before = ran.far
            ran.add(losses[place])
            place += 1
            if len(levels) < 300 and ran.usual.ready and place > 20:
                assert ran.z > 6.0 or ran.high > 3 or ran.far is not before or not ran.seen > 12 or place == len(losses)
    assert inside(walked) == inside(ran)
    assert at_once > 1000
