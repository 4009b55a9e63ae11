"""Phases while the run goes on: the same as after the fact, in bounded memory, recorded when they change."""

import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quark
from quark import LiveAnalyzer, PhaseAnalyzer, PhaseAnalyzerConfig
from quark.analysis.frames import frames_of
from quark.analysis.phases.analyzer import Span, phases_of
from quark.analysis.phases.course import courses_of
from quark.analysis.phases.curve import MOST, curve_of
from quark.analysis.phases.folding import Fold
from quark.analysis.phases.following import PhaseFollower
from quark.analysis.subject import RunOfReader
from quark.errors import WrongTypeError
from quark.testing import MemoryRunHandle

from .runs import event, losses, made

CONFIG = PhaseAnalyzerConfig()


def three_phases(count: int = 900, noise: float = 0.02) -> list[float]:
    """A loss that falls fast, then slowly, then not."""
    rng, level, values = random.Random(0), 0.0, []
    for slope in (-2.4, -0.4, 0.0):
        for _ in range(count // 3):
            level += 3 * slope / count
            values.append(math.exp(level + rng.gauss(0, noise)))
    return values


def bounds(phases: Any) -> list[tuple[str, int, int]]:
    """Name, first and last step of phases."""
    return [(one.phase_name, one.step_start, one.step_end) for one in phases]


def spans_of(spans: list[Span]) -> list[tuple[str, int, int]]:
    """The same of phases that are no records yet."""
    return [(one.name, one.step_start, one.step_end) for one in spans]


def folded(run: MemoryRunHandle, key: str, *, accuracy: bool = False) -> Fold:
    """A metric of a run, point by point."""
    fold = Fold(key, accuracy=accuracy)
    for frame in frames_of(iter(run.journal.lines())):
        if key in frame.values:
            fold.add(frame.values[key], frame.step, frame.epoch)
    return fold


POSITIVE = st.floats(1e-30, 1e30)
ANY = st.floats(-1e6, 1e6).map(lambda value: value if abs(value) > 1e-200 else 0.0)
"""Without what has no digits left once it is divided by the largest."""


@given(st.one_of(
    st.lists(POSITIVE, min_size=1, max_size=500), st.lists(ANY, min_size=1, max_size=300)
))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_a_curve_point_by_point_is_the_curve_of_all_points(values: list[float]) -> None:
    """Blocks, their steps and their levels are the same, positive losses or not, several values of a step too."""
    run = MemoryRunHandle()
    for place, value in enumerate(values):
        run.log_values({"loss": value}, step=place - place % 7 // 5)
    mine, whole = folded(run, "loss").curve(), curve_of(run.reader().series(run.run_id, "loss"))
    assert mine is not None
    assert whole is not None
    assert (mine.points, mine.positive) == (whole.points, whole.positive)
    assert mine.first.tolist() == whole.first.tolist()
    assert mine.last.tolist() == whole.last.tolist()
    np.testing.assert_allclose(mine.levels, whole.levels, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mine.losses, whole.losses, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_an_accuracy_is_folded_as_its_distance_from_the_best(whole: float) -> None:
    """In shares and in percent, though the first percents look like shares."""
    run = made(lambda run: losses(run, [whole * (1 - 0.999 * 0.99**step) for step in range(300)], "acc"))
    mine, all_at_once = (
        folded(run, "acc", accuracy=True).curve(),
        curve_of(run.reader().series(run.run_id, "acc"), accuracy=True),
    )
    assert mine is not None
    assert all_at_once is not None
    np.testing.assert_allclose(mine.levels, all_at_once.levels, atol=1e-3)


def test_memory_does_not_grow_with_the_run() -> None:
    """96 blocks at most, however many points."""
    fold = Fold("loss")
    for step in range(20_000):
        fold.add(1.0, step, None)
        assert len(fold._blocks) <= MOST


def test_steps_without_numbers_are_counted_and_numbers_begin_anew() -> None:
    """Points are counted by epochs, else as they come, until steps say more; a step that goes back is left out."""
    fold = Fold("loss")
    for _ in range(5):
        fold.add(1.0, None, None)
    assert fold.points == 5
    for step in (0, 1, 2, 1, 0, 3):
        fold.add(2.0, step, 0)
    assert fold.points == 4
    curve = fold.curve()
    assert curve is not None
    assert curve.last.tolist() == [0, 1, 2, 3]


def validated(run: MemoryRunHandle) -> None:
    """Training falls to its floor, validation turns half-way."""
    rng = random.Random(1)
    for step, value in enumerate(three_phases()):
        row = {"train/loss": value, "other": 1.0}
        if step % 20 == 0:
            row["val/loss"] = 1.5 * math.exp(abs(step - 450) / 450 + rng.gauss(0, 0.01))
        run.log_values(row, step=step)


@pytest.mark.parametrize("write", [lambda run: losses(run, three_phases()), validated])
def test_every_look_at_a_run_that_goes_on_is_that_of_an_analysis(write: Any) -> None:
    """Whenever phases are looked for they are those that PhaseAnalyzer finds in what is recorded by then."""
    run = made(write)
    lines = run.journal.lines()
    follower, looks = PhaseFollower(CONFIG), 0
    for frame in frames_of(iter(lines)):
        follower.feed(frame)
        if not follower.due:
            continue
        follower.look()
        looks += 1
        if looks % 3 == 0:
            so_far = MemoryRunHandle()
            for line in lines[: (frame.step or 0) + 1]:
                so_far.log_values(line.values or {}, step=line.step)
            courses = courses_of(RunOfReader(so_far.reader(), so_far.run_id), CONFIG)
            assert spans_of(follower.spans) == spans_of(phases_of(courses, CONFIG.thresholds))
    assert looks >= 25


def test_phases_are_written_when_they_change_and_not_more_often() -> None:
    """Of a run of three phases few pictures are worth a record, and the last look finds all three."""
    follower, written = PhaseFollower(CONFIG), []
    for frame in frames_of(iter(made(lambda run: losses(run, three_phases(3000))).journal.lines())):
        follower.feed(frame)
        if follower.due:
            follower.look()
            if follower.news(ended=False):
                follower.written = follower.spans
                written.append([span.name for span in follower.spans])
    assert written[-1] == ["rapid_learning", "stabilization", "stagnation"]
    assert 3 <= len(written) <= 15


def test_a_loss_that_breaks_off_is_divergence_at_once() -> None:
    """The first value that is not finite is a reason to look; values that come again are another picture."""
    follower = PhaseFollower(CONFIG)
    run = made(lambda run: losses(run, three_phases()[:300]))
    event(run, "metric_nonfinite", 300, key="train/loss", value="nan")
    event(run, "metric_nonfinite", 301, key="train/loss", value="nan")
    for frame in frames_of(iter(run.journal.lines())):
        follower.feed(frame)
    assert follower.due
    follower.look()
    assert (follower.spans[-1].name, follower.spans[-1].step_start, follower.spans[-1].step_end) == (
        "divergence", 300, 301
    )  # fmt: skip
    assert not follower.due


def waited(condition: Any, seconds: float = 60.0) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def log_all(run: Any, live: LiveAnalyzer, values: list[float], first: int = 0) -> None:
    """Record losses, and wait until they were seen: a busy machine must not make the end of a run too early."""
    for step, value in enumerate(values, first):
        run.log({"train/loss": value}, step=step)
    assert waited(lambda: live.position(run.journal.origin.writer_id) >= run.journal.next)


def test_the_phases_of_a_run_are_recorded_while_it_goes_on(tmp_path: Path) -> None:
    """They are in the store before the run ends, and in the end those of an analysis of the stored run."""
    with quark.start_run(project="phases", storage_dir=tmp_path) as run:
        live = run.add_tracker(LiveAnalyzer())
        log_all(run, live, three_phases())
        reader, wanted = PhaseAnalyzer(run), ["rapid_learning", "stabilization", "stagnation"]
        assert waited(lambda: [one.phase_name for one in reader.read_phases()] == wanted)
        assert run.status == "running"
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert bounds(view.phases()) == bounds(PhaseAnalyzer(view).analyze().phases) == bounds(live.phases.phases)
        assert not live.phases.provisional
        assert view.phases()[-1].step_end == 899


def test_a_resumed_run_has_the_phases_of_all_its_attempts(tmp_path: Path) -> None:
    """What earlier attempts recorded counts, and their phases are replaced."""
    values = three_phases()
    run = quark.start_run(project="phases", storage_dir=tmp_path)
    log_all(run, run.add_tracker(LiveAnalyzer()), values[:500])
    run.end_run("interrupted")
    again = quark.resume_run(run_id=run.run_id, storage_dir=tmp_path)
    log_all(again, again.add_tracker(LiveAnalyzer()), values[500:], 500)
    again.end_run()
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert bounds(view.phases()) == bounds(PhaseAnalyzer(view).analyze().phases)
        assert view.phases()[0].step_start == 0


def test_phases_that_are_to_stay_are_added_to_once(tmp_path: Path) -> None:
    """With replace_existing_outputs=False the phases of the whole run come beside those that were there."""
    with quark.start_run(project="phases", storage_dir=tmp_path) as run:
        live = run.add_tracker(LiveAnalyzer(phases=PhaseAnalyzerConfig(replace_existing_outputs=False)))
        log_all(run, live, three_phases())
        before = PhaseAnalyzer(run).analyze().phases
    with quark.open(tmp_path) as store:
        kept = store.run(run.run_id).phases()
    assert bounds(kept[: len(before)]) == bounds(before)
    assert [one.phase_name for one in kept[len(before) :]] == ["rapid_learning", "stabilization", "stagnation"]


def test_phases_can_be_switched_off_and_a_wrong_type_is_refused(tmp_path: Path) -> None:
    """``phases=False`` records none; what is no config is an error that says so."""
    with quark.start_run(project="phases", storage_dir=tmp_path) as run:
        live = run.add_tracker(LiveAnalyzer(phases=False))
        log_all(run, live, three_phases())
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).phases() == ()
    assert live.phases.phases == ()
    with pytest.raises(WrongTypeError, match="PhaseAnalyzerConfig"):
        LiveAnalyzer(phases="all")  # type: ignore[arg-type]


def test_a_defect_of_the_phases_does_not_silence_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are given up with a report, and alerts go on coming."""

    def broken(self: PhaseFollower) -> None:
        raise ZeroDivisionError("no phases today")

    monkeypatch.setattr(PhaseFollower, "look", broken)
    values = three_phases()
    values[600] = 90.0
    with quark.start_run(project="phases", storage_dir=tmp_path) as run:
        live = run.add_tracker(LiveAnalyzer(log_from="critical"))
        log_all(run, live, values)
    assert "loss_spike" in [alert.rule_id for alert in live.alerts]
    assert live.phases.phases == ()
