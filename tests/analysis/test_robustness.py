"""Whatever a run recorded, the rules do not fail and say nothing that is nonsense."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quark import AnalyzerEngineConfig
from quark.analysis.analysis import Analysis
from quark.analysis.frames import Frame, Layer, LayerDetails, Parameter, Telemetry
from quark.analysis.stored import analyze_stored
from quark.analysis.subject import RunOfReader
from quark.testing import MemoryRunHandle

from .runs import alerts, analyzed, falling, losses

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NORM = st.none() | st.floats(0, 1e300) | st.sampled_from([0.0, 1e-300, 5e-324, 1e-30, 1e30])
STEP = st.none() | st.integers(0, 40)


def judged(frames: list[Frame]) -> Analysis:
    """The rules after the frames; no rule has failed."""
    analysis = Analysis(AnalyzerEngineConfig())
    for frame in frames:
        for finding in analysis.feed(frame):
            for one in finding.evidence:
                assert all(v is None or math.isfinite(v) for v in (one.observed_value, one.threshold_value))
    analysis.result()
    assert analysis.faults == {}
    return analysis


@given(st.lists(st.tuples(STEP, FINITE, st.booleans()), max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_series(points: list[tuple[int | None, float, bool]]) -> None:
    """Any finite values, unordered and repeated steps, with and without validation."""
    frames = []
    for step, value, validation in points:
        frame = Frame(step, None, 0, 0)
        frame.values = {"train/loss": value, **({"val/loss": value, "lr": abs(value)} if validation else {})}
        frames.append(frame)
    judged(frames)


@given(st.lists(st.tuples(NORM, NORM, NORM, st.floats(1e-300, 1e300)), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_any_norms(rows: list[tuple[Any, Any, Any, float]]) -> None:
    """Weights, gradients and updates of any size, of nothing, and of none."""
    frames = []
    for step, (weight, gradient, update, loss) in enumerate(rows):
        frame = Frame(step, None, 0, step)
        frame.values = {"loss": loss}
        frame.parameters = [
            Parameter(f"p{i}.weight", 100, (10, 10), weight, gradient, update if i else weight) for i in range(4)
        ]
        frame.layers = [
            Layer("relu", "ReLU", "activation", 100, (10, 10), gradient, weight, update, None, None, LayerDetails()),
            Layer("relu", "ReLU", "gradient", 0, None, None, None, gradient),
        ]
        frame.telemetry = [Telemetry(step_time_ms=weight, data_time_ms=update, process_rss_bytes=gradient)]
        frames.append(frame)
    judged(frames)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_the_scale_of_a_loss_changes_nothing(scale: float) -> None:
    """The same run, with the loss times anything, has the same alerts at the same steps."""
    run = MemoryRunHandle()
    values = falling()
    values[250] = 12.0
    losses(run, [value * scale for value in values])
    assert [(alert.rule_id, alert.step_start) for alert in analyzed(run).alerts] == [("loss_spike", 250)]


@pytest.mark.parametrize(
    "values", [[], [1.0], [0.0] * 50, [-1.0] * 50, [1.0, 1.0], [1.0 + i % 2 for i in range(90)]],
    ids=["empty", "one point", "zeros", "negative", "two points", "square wave"],
)  # fmt: skip
def test_short_and_constant_series_are_no_alarm(values: list[float]) -> None:
    """Too little to judge is not judged."""
    run = MemoryRunHandle()
    losses(run, values)
    assert alerts(run) == {}


def test_a_falling_negative_loss_is_fine() -> None:
    """A log-likelihood that crosses zero on its way down."""
    run = MemoryRunHandle()
    losses(run, [value - 1.5 for value in falling(600)])
    assert [alert for alert in analyzed(run).alerts if alert.severity != "info"] == []


def test_a_restart_that_goes_back_is_fine() -> None:
    """A run that was resumed from an earlier checkpoint repeats steps."""
    run = MemoryRunHandle()
    values = falling(400)
    for step in [*range(300), *range(250, 400)]:
        run.log_values({"train/loss": values[step]}, step=step)
    assert alerts(run) == {}


def test_the_stored_and_the_live_order_agree() -> None:
    """The frames of a journal's lines and those of the same run read back give the same alerts, one by one."""
    from quark.analysis.frames import frames_of

    run = MemoryRunHandle()
    values = falling(300)
    values[200] = 9.0
    for step, value in enumerate(values):
        run.log_values({"train/loss": value, "noise": 1.0}, step=step, epoch=step // 100)
        run.log_values({"lr": 1e-3}, step=step)
        if step % 50 == 49:
            run.log_values({"val/loss": 3.0 + step}, epoch=step // 100)
    _, stored = analyze_stored(RunOfReader(run.reader(), run.run_id), AnalyzerEngineConfig())
    analysis = Analysis(AnalyzerEngineConfig())
    live = [finding for frame in frames_of(iter(run.journal.lines())) for finding in analysis.feed(frame)]
    assert len(live) >= 2
    assert live == stored


def test_a_rule_that_fails_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """It says so in its verdict and is asked no more."""
    analysis = Analysis(AnalyzerEngineConfig())
    broken = next(rule for rule in analysis.rules if rule.name == "plateau")

    def fail(frame: Frame, seen: Any) -> None:
        raise ZeroDivisionError("no")

    broken.look = fail  # type: ignore[method-assign]
    values = falling()
    values[300] = 9.0
    found = []
    for step, value in enumerate(values):
        frame = Frame(step, None, 0, step)
        frame.values = {"loss": value}
        found += analysis.feed(frame)
    assert [finding.rule_id for finding in found] == ["loss_spike"]
    assert [v.abstained for v in analysis.result() if v.rule_id == "plateau"] == [analysis.faults["plateau"]]
    assert caplog.text.count("ZeroDivisionError") == 1
