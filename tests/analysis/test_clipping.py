"""A clip that always acts is told, by what the optimizer got or by a known limit; a gradient that is alike is not."""

import random
from pathlib import Path

import pytest

import quark
from quark import AnalyzerEngine
from quark.testing import MemoryRunHandle

from .runs import alerts, analyzed, event, falling, losses, parameter


@pytest.fixture
def run() -> MemoryRunHandle:
    """An empty run in memory."""
    return MemoryRunHandle()


def looked(run: MemoryRunHandle, norms: list[tuple[float, float]], every: int = 5) -> None:
    """A falling loss, and two weights with these norms of their gradients at every ``every``-th step."""
    losses(run, falling(every * len(norms)))
    for look, (first, second) in enumerate(norms):
        parameter(run, "a.weight", look * every, grad=first)
        parameter(run, "b.weight", look * every, grad=second)


def clipped(rng: random.Random, limit: float) -> tuple[float, float]:
    """Two norms that make up the limit together."""
    share = rng.uniform(0.3, 0.9)
    return limit * share, limit * (1 - share**2) ** 0.5


@pytest.mark.parametrize("every", [1, 5])
def test_gradients_that_are_cut_to_one_length(run: MemoryRunHandle, every: int) -> None:
    """The parts change, the whole does not: only a clip does that. It costs no point of health."""
    rng = random.Random(0)
    looked(run, [clipped(rng, 0.25) for _ in range(120)], every)
    found = analyzed(run)
    assert [(alert.rule_id, alert.severity) for alert in found.alerts] == [("clip_rate", "info")]
    assert "0.25" in found.alerts[0].fact
    assert found.health_scores[0].score == 100.0


def test_one_look_in_five_that_is_not_cut_is_no_rate(run: MemoryRunHandle) -> None:
    """A clip that acts in 80 % of the steps still lets the gradients say something."""
    rng = random.Random(0)
    looked(run, [clipped(rng, 0.25 if look % 5 else 0.1) for look in range(120)])
    assert alerts(run) == {}


def test_gradients_that_never_change_are_not_clipped(run: MemoryRunHandle) -> None:
    """A linear loss has the same gradient for ever, whole and parts."""
    looked(run, [(0.3, 0.4)] * 120)
    found = analyzed(run)
    assert found.alerts == ()
    assert "clip_rate" not in found.abstentions


def logged(run: MemoryRunHandle, norm: float) -> None:
    """A metric of the gradient norm, as it was before clipping."""
    rng = random.Random(1)
    for step, value in enumerate(falling(300)):
        run.log_values({"train/loss": value, "train/grad_norm": norm * rng.uniform(0.9, 1.5)}, step=step)


@pytest.mark.parametrize(
    "payload",
    [{"max_grad_norm": 1.0}, {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "norm"}],
    ids=lambda one: next(iter(one)),
)
def test_a_metric_with_a_known_limit(run: MemoryRunHandle, payload: dict[str, object]) -> None:
    """The framework says at which norm it clips, and every norm is above or below it."""
    event(run, "fit_started", 0, **payload)
    logged(run, 2.0)
    assert alerts(run)["clip_rate"].severity == "info"
    below = MemoryRunHandle()
    event(below, "fit_started", 0, **payload)
    logged(below, 0.5)
    found = analyzed(below)
    assert found.alerts == ()
    assert "clip_rate" not in found.abstentions


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"max_grad_norm": 0.0},
        {"gradient_clip_val": 1.0},
        {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"},
    ],
    ids=["none", "off", "no algorithm", "by value"],
)
def test_a_metric_without_a_known_limit_is_not_judged(run: MemoryRunHandle, payload: dict[str, object]) -> None:
    """The rule abstains and says what it lacks."""
    event(run, "fit_started", 0, **payload)
    logged(run, 2.0)
    assert "known clip" in analyzed(run).abstentions["clip_rate"]


@pytest.mark.torch
@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_a_real_training(tmp_path: Path, limit: float) -> None:
    """A clip far below the usual norm is found and told with its limit; one far above it does nothing."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with quark.start_run(project="clip", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        for _ in run.steps(range(200), progress=False):
            inputs = torch.randn(16, 8)
            loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
            optimizer.step()
            run.log({"train/loss": loss.item()})
    with quark.open(tmp_path) as store:
        result = AnalyzerEngine(store.run(run.run_id)).analyze()
    assert "clip_rate" not in result.abstentions
    told = [alert.fact for alert in result.alerts if alert.rule_id == "clip_rate"]
    assert [fact.rpartition(" ")[2] for fact in told] == (["0.001."] if limit < 1 else [])
