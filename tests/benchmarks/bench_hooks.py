"""What watching a network costs: the CPU time of a training step with hooks over one without, interleaved medians.

One thread of torch, so that all work is in the measured thread and a busy machine does not count. Run it with:
pytest tests/benchmarks/bench_hooks.py -m benchmark -s
"""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quark import HookEngine, HookEngineConfig, HookScheduleConfig, ParameterDiagnostics, ParameterDiagnosticsConfig
from quark.testing import MemoryRunHandle

from .bench_telemetry import Mapped
from .measuring import show
from .networks import cnn, transformer

pytestmark = [pytest.mark.benchmark, pytest.mark.torch, pytest.mark.timeout(900)]

ROUNDS = 40
CADENCE = 25
NETWORKS: dict[str, tuple[Callable[[], Any], float]] = {
    "CNN, 32 to 128 channels": (lambda: cnn(32), 1.30),
    "CNN, 16 to 64 channels": (lambda: cnn(16), 1.30),
    "transformer, width 256": (lambda: transformer(256), 1.15),
    "transformer, width 128": (lambda: transformer(128), 1.15),
}
"""Each network with the goal for every step. What fails is a gross regression: twice the goal's cost and a tenth."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Training:
    """A model in training, and the ways in which it can be watched."""

    def __init__(self, make: Callable[[], Any]) -> None:
        torch.manual_seed(0)
        self.model, self.inputs, self.targets = make()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.run = MemoryRunHandle()
        self.run.journal = Mapped(self.run.journal.origin)  # type: ignore[assignment]

    def step(self) -> None:
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.inputs), self.targets).backward()
        self.optimizer.step()

    def watched(self, every: int, *, parameters: bool = True, **config: Any) -> Callable[[], None]:
        """A step that is watched every so many steps; 0: never."""
        cadence = {"every_n_steps": every or None}
        schedule = HookScheduleConfig(**cadence)  # type: ignore[arg-type]
        watchers: list[Any] = [HookEngine(self.run, self.model, config=HookEngineConfig(schedule=schedule, **config))]
        if parameters:
            diagnostics = ParameterDiagnosticsConfig(schedule=schedule)
            watchers.append(ParameterDiagnostics(self.run, self.model, self.optimizer, config=diagnostics))
        numbers = iter(range(1 << 30))

        def act() -> None:
            number = next(numbers)
            for watcher in watchers:
                watcher.begin_step(number)
            self.step()
            for watcher in watchers:
                watcher.end_step()

        return act

    def unprobed(self, times: int = 10_000) -> float:
        """What is added to a step that is not probed, CPU seconds: begin_step and end_step of both watchers, no more.

        The model and the optimizer carry no hooks then, which tests/hooks holds.
        """
        schedule = HookScheduleConfig(every_n_steps=times)
        watchers = [
            HookEngine(self.run, self.model, config=HookEngineConfig(schedule=schedule)),
            ParameterDiagnostics(self.run, self.model, self.optimizer,
                                 config=ParameterDiagnosticsConfig(schedule=schedule)),
        ]  # fmt: skip
        begun = time.thread_time()
        for number in range(1, times):
            for watcher in watchers:
                watcher.begin_step(number)
            for watcher in watchers:
                watcher.end_step()
        return (time.thread_time() - begun) / times

    def hooked(self, measure: Callable[[Any], Any]) -> Callable[[], None]:
        """A step with a bare hook on every layer's output and its gradient."""
        leaves = [module for module in self.model.modules() if not list(module.children())]

        def backward(gradient: Any) -> None:
            measure(gradient)

        def forward(module: Any, args: Any, output: Any) -> None:
            measure(output.detach())
            output.register_hook(backward)

        def act() -> None:
            handles = [module.register_forward_hook(forward) for module in leaves]
            self.step()
            for handle in handles:
                handle.remove()

        return act

    def under(self, wandb_run: Any) -> Callable[[], None]:
        """A step under wandb.watch, looked at in every step."""
        wandb_run.watch(self.model, log="all", log_freq=1)

        def act() -> None:
            self.step()
            wandb_run.log({"loss": 0.0})

        return act


def ratios(calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median over rounds of each call's CPU time over that of the first one, which is done before and after it."""
    names = list(calls)
    for act in calls.values():
        act()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            begun = time.thread_time()
            calls[name]()
            taken[name].append(time.thread_time() - begun)
    bare = statistics.median(taken[names[0]])
    return {name: statistics.median(values) / bare for name, values in taken.items()} | {"bare, ms": bare * 1e3}


def average(bare: Callable[[], None], watched: Callable[[], None]) -> float:
    """The median ratio of whole periods of the cadence, each between two of bare steps: for a dozen seconds."""

    def period(act: Callable[[], None]) -> float:
        begun = time.thread_time()
        for _ in range(CADENCE):
            act()
        return time.thread_time() - begun

    watched()  # step 0 is probed; from here a period holds one probe, in its last step
    before, found, until = period(bare), [], time.monotonic() + 12
    while len(found) < 5 or time.monotonic() < until:
        taken = period(watched)
        after = period(bare)
        found.append(2 * taken / (before + after))
        before = after
    return statistics.median(found)


@pytest.mark.parametrize("network", NETWORKS)
def test_cost_of_every_step(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is probed costs a fraction of a step, and its parts add up to it."""
    make, goal = NETWORKS[network]
    training = Training(make)
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "plain")
    plain = {
        "plain: forward and backward": training.watched(1, parameters=False),
        "plain: forward, backward, parameters": training.watched(1),
    }
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "auto")
    calls = {
        "bare": training.step,
        "bare again": training.step,
        "empty hooks": training.hooked(lambda tensor: None),
        "each tensor summed once": training.hooked(lambda tensor: tensor.sum().item()),
        "forward": training.watched(1, parameters=False, capture_backward=False),
        "forward and backward": training.watched(1, parameters=False),
        "forward, backward, parameters": training.watched(1),
        **plain,
    }
    found = ratios(calls, ROUNDS)
    every = found["forward, backward, parameters"]
    goals = {"forward, backward, parameters": goal}
    show(f"{network}: every step, CPU time over a bare step", _beside(found, goals))
    assert every < 1 + 2 * (goal - 1) + 0.1


@pytest.mark.parametrize("network", NETWORKS)
def test_cost_of_a_cadence(network: str) -> None:
    """With a probe every 25 steps the average step costs a few percent, one that is not probed nothing."""
    training = Training(NETWORKS[network][0])
    training.step()
    bare = training.step
    step_s = statistics.median(_timed(bare) for _ in range(10))
    found = {
        "every 25": average(bare, training.watched(CADENCE)),
        "bare again": average(bare, bare),
        "not probed": 1 + training.unprobed() / step_s,
    }
    goals = {"every 25": 1.02, "bare again": 1.0, "not probed": 1.005}
    show(f"{network}: a cadence, CPU time over a bare step", _beside(found, goals))
    assert found["every 25"] < 1.1
    assert found["not probed"] < 1.005


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("network", ["CNN, 16 to 64 channels", "transformer, width 128"])
def test_cost_of_a_compiled_model(network: str) -> None:
    """A probed step runs eagerly; with a probe every 25 steps the average compiled step costs a few percent more."""
    training = Training(NETWORKS[network][0])
    eager = Training(NETWORKS[network][0]).step
    training.model = torch.compile(training.model)
    bare = training.step
    found = ratios({"bare": bare, "eager": eager, "every step": training.watched(1)}, ROUNDS)
    found |= {"every 25": average(bare, training.watched(CADENCE)), "bare again": average(bare, bare)}
    show(f"{network}, compiled: CPU time over a bare compiled step", _beside(found, {"every 25": 1.03}))
    assert found["every 25"] < 1.1


def _timed(act: Callable[[], None]) -> float:
    begun = time.thread_time()
    act()
    return time.thread_time() - begun


def _beside(found: dict[str, float], goals: dict[str, float]) -> dict[str, dict[str, Any]]:
    return {name: {"measured": value, "goal": goals.get(name, "")} for name, value in found.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("network", ["CNN, 16 to 64 channels", "transformer, width 128"])
def test_beside_wandb(network: str, tmp_path: Path) -> None:
    """The peer's way to watch a model costs more at the same cadence."""
    wandb = pytest.importorskip("wandb", reason="wandb is compared where it is installed")
    ours, theirs = Training(NETWORKS[network][0]), Training(NETWORKS[network][0])
    with wandb.init(mode="offline", dir=tmp_path) as run:
        found = ratios({"bare": ours.step, "quark": ours.watched(1), "wandb": theirs.under(run)}, ROUNDS)
    show(f"{network}: every step", {name: {"ratio": value} for name, value in found.items()})
    assert found["quark"] < found["wandb"]
