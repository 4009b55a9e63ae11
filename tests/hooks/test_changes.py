"""A model that is changed after it is watched is watched as it is, and what is not seen is told."""

from typing import Any

import pytest
import torch
from torch import nn

from quark import (
    EventRecord,
    HookEngine,
    HookScheduleConfig,
    LayerSummaryRecord,
    ParameterDiagnostics,
    ParameterDiagnosticsConfig,
    ParameterSummaryRecord,
)
from quark.testing import MemoryRunHandle

from .watching import of

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("kernel")]
Run = MemoryRunHandle


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def train(model: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    model(torch.randn(5, 3)).square().mean().backward()
    optimizer.step()


def told(run: Run, event_type: str) -> list[dict[str, Any]]:
    return [event.payload for event in run.records(EventRecord) if event.event_type == event_type]


# Parameters


def test_weights_that_are_replaced(run: Run) -> None:
    """After load_state_dict(assign=True) the norms are those of the new tensors, and it is told that they are new."""
    model = network()
    with ParameterDiagnostics(run, model, sgd(model)) as diagnostics:
        with diagnostics.step(0):
            pass
        model.load_state_dict({name: value * 10 for name, value in model.state_dict().items()}, assign=True)
        optimizer = sgd(model)
        with diagnostics.step(1):
            norm = float(model[0].weight.detach().norm())
            train(model, optimizer)
            assert model[0].weight.grad is not None
            gradient = float(model[0].weight.grad.norm())
    last = [one for one in run.records(ParameterSummaryRecord) if one.step == 1]
    assert (last[0].weight_norm, last[0].gradient_norm) == pytest.approx((norm, gradient))
    assert all(one.update_norm for one in last)
    assert told(run, "watched_parameters_changed")[0]["replaced"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert told(run, "watched_optimizers_changed")[0]["optimizers"] == ["SGD"]


def test_an_optimizer_that_is_made_anew(run: Run) -> None:
    """Its updates are recorded from its first step on; that it is another one is told once."""
    model = network()
    with ParameterDiagnostics(run, model, sgd(model)) as diagnostics:
        optimizer = torch.optim.Adam(model.parameters())
        for step in range(3):
            with diagnostics.step(step):
                train(model, optimizer)
    assert all(one.update_norm for one in run.records(ParameterSummaryRecord))
    assert len(told(run, "watched_optimizers_changed")) == 1


def test_the_optimizers_of_other_models_are_not_recorded(run: Run) -> None:
    """What trains none of the watched parameters is of no concern."""
    model, other = network(), network()
    optimizer, stranger = sgd(model), sgd(other)
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        train(other, stranger)
        train(model, optimizer)
    assert len(run.records(ParameterSummaryRecord)) == 4
    assert told(run, "watched_optimizers_changed") == []


class Lookahead(torch.optim.Optimizer):
    """An optimizer that steps by another one, as sharding and averaging ones do."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.optimizer = inner

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.optimizer.step()
        self.optimizer.step()


@pytest.mark.parametrize("inner_given", [True, False])
def test_an_optimizer_within_another_is_a_part_of_its_step(run: Run, inner_given: bool) -> None:
    """One record a parameter, with the whole update, whichever of the two was given."""
    model = network()
    inner = sgd(model)
    outer = Lookahead(inner)
    before = model[0].weight.detach().clone()
    with ParameterDiagnostics(run, model, inner if inner_given else outer) as diagnostics, diagnostics.step(0):
        train(model, outer)
    records = run.records(ParameterSummaryRecord)
    assert len(records) == 4
    assert records[0].update_norm == pytest.approx(float((model[0].weight.detach() - before).norm()), rel=1e-5)


def test_optimizers_in_wrappers_and_lists(run: Run) -> None:
    """An optimizer that Accelerate has prepared is looked into, alone and in a list, by both watchers."""
    accelerate = pytest.importorskip("accelerate", reason="missing accelerate")
    model = network()
    optimizer = accelerate.Accelerator(cpu=True).prepare(sgd(model))
    HookEngine(run, model, [optimizer])
    with ParameterDiagnostics(run, model, [optimizer]) as diagnostics, diagnostics.step(0):
        train(model, optimizer)
    assert all(one.update_norm for one in run.records(ParameterSummaryRecord))


# Layers


def test_a_head_that_is_replaced(run: Run) -> None:
    """The new head is watched under the name, with its own shape."""
    model = network()
    with HookEngine(run, model) as hooks:
        with hooks.step(0):
            model(torch.randn(5, 3))
        model[2] = nn.Linear(4, 7)
        with hooks.step(1):
            model(torch.randn(5, 3))
    assert [one.tensor_shape for one in of(run.records(LayerSummaryRecord), "2")] == [(5, 2), (5, 7)]
    assert told(run, "watched_layers_changed")[0]["replaced"] == ["2"]


def test_a_layer_that_is_inserted(run: Run) -> None:
    """Names are those of the model as it is at the probe."""
    model = network()
    hooks = HookEngine(run, model)
    model.insert(1, nn.Tanh())
    with hooks.step(0):
        model(torch.randn(5, 3))
    assert hooks.instrumented_module_names == ("0", "1", "2", "3")
    assert [one.module_type for one in run.records(LayerSummaryRecord)] == ["Linear", "Tanh", "ReLU", "Linear"]
    assert told(run, "watched_layers_changed")[0]["added"] == ["3"]


def test_a_model_that_stays_says_nothing(run: Run) -> None:
    """A lazy layer that gets its shape, or a model that is moved, is no other one."""
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU())
    with HookEngine(run, model) as hooks:
        for step in range(3):
            with hooks.step(step):
                model(torch.randn(5, 3))
            model.double().float()
    assert run.records(EventRecord) == []


class Uncalled(nn.Module):
    """Two layers, of which one is used without being called."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.b.forward(x) if self.how == "forward" else nn.functional.linear(x, self.b.weight, self.b.bias)


@pytest.mark.parametrize("how", ["forward", "functional"])
def test_a_layer_that_trains_without_being_called(run: Run, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """One warning and one event name it, after the first probed step in which it was trained."""
    model = Uncalled(how)
    optimizer = sgd(model)
    with HookEngine(run, model) as hooks:
        for step in range(3):
            with hooks.step(step):
                train(model, optimizer)
            assert [payload["layers"] for payload in told(run, "layers_unseen")] == [["b"]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "module.forward(x)" in caplog.text


def test_a_model_whose_layers_are_never_called(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A model that is trained by its weights alone shows no layer, and it is told."""
    model = network()
    optimizer = sgd(model)
    with HookEngine(run, model) as hooks, hooks.step(1):
        nn.functional.linear(torch.ones(1, 3), model[0].weight).sum().backward()  # type: ignore[arg-type]
        nn.functional.linear(torch.ones(1, 4), model[2].weight).sum().backward()  # type: ignore[arg-type]
        optimizer.step()
    assert run.records(LayerSummaryRecord) == []
    assert [payload["layers"] for payload in told(run, "layers_unseen")] == [["0", "1", "2"]]
    assert "no layer of it was called" in caplog.text


def test_an_output_that_holds_no_tensor_is_told_at_the_end(run: Run) -> None:
    """A layer that is called and makes an object of a class of its own is named when the watcher is closed."""

    class Pair:
        def __init__(self, value: torch.Tensor) -> None:
            self.value = value

    class Pairs(nn.Module):
        def forward(self, x: torch.Tensor) -> Pair:
            return Pair(x)

    model = nn.Sequential(nn.Linear(3, 3), Pairs())
    with HookEngine(run, model) as hooks, hooks.step(0):
        model(torch.randn(2, 3))
    assert told(run, "layers_unseen")[0]["layers"] == ["1"]


@pytest.mark.filterwarnings("ignore")  # torch's own quantization warns of its end
def test_a_quantized_layer_is_the_layer(run: Run) -> None:
    """What holds its packed weights is never called, and no layer."""
    layer = torch.ao.nn.quantized.dynamic.Linear(3, 2)
    model = nn.Sequential(layer)
    with HookEngine(run, model) as hooks, hooks.step(0):
        model(torch.randn(2, 3))
        assert hooks.instrumented_module_names == ("0",)
    assert len(run.records(LayerSummaryRecord)) == 1


# Bounds


def test_the_calls_of_a_step_are_bounded(run: Run) -> None:
    """A rollout of thousands of passes leaves room for the training after it; what is left out is counted and told."""
    model = nn.Linear(3, 1)
    with HookEngine(run, model) as hooks, hooks.step(0):
        with torch.no_grad():
            for _ in range(1000):
                model(torch.randn(1, 3))
        for _ in range(3):
            model(torch.randn(1, 3)).sum().backward()
    records = run.records(LayerSummaryRecord)
    activations = of(records, "(model)")
    assert [one.call_index for one in activations] == [*range(100), 1000, 1001, 1002]
    assert [one.call_index for one in of(records, "(model)", "gradient")] == [1000, 1001, 1002]
    assert told(run, "layer_calls_left_out")[0]["left_out"] == 900


def test_the_gradients_of_a_step_are_bounded(run: Run) -> None:
    """A graph that is walked for each row of a Jacobian is recorded so many times and no more."""
    model = nn.Linear(3, 1)
    with HookEngine(run, model) as hooks, hooks.step(0):
        loss = model(torch.randn(1, 3)).sum()
        for _ in range(450):
            loss.backward(retain_graph=True)
    assert len(of(run.records(LayerSummaryRecord), "(model)", "gradient")) == 400
    assert told(run, "layer_calls_left_out")[0]["left_out"] == 50


def test_the_steps_of_an_optimizer_are_bounded(run: Run) -> None:
    """Hundreds of optimizer steps within one step of the training: the first hundred, and a word on the others."""
    model = nn.Linear(3, 1)
    optimizer = sgd(model)
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        for _ in range(130):
            train(model, optimizer)
    assert len(run.records(ParameterSummaryRecord)) == 200
    assert told(run, "optimizer_steps_left_out")[0]["left_out"] == 30


# Accumulation


@pytest.mark.parametrize("every", [1, 24, 25])
def test_accumulation_over_steps(run: Run, every: int) -> None:
    """A probe without an optimizer step lasts to the end of the next step that has one: whole gradient, and update."""
    model = network()
    optimizer = sgd(model)
    config = ParameterDiagnosticsConfig(schedule=HookScheduleConfig(every_n_steps=every))
    true: dict[int, float] = {}
    with ParameterDiagnostics(run, model, optimizer, config=config) as diagnostics:
        for step in range(100):
            with diagnostics.step(step):
                model(torch.randn(5, 3)).square().mean().backward()
                if step % 4 == 3:
                    assert model[0].weight.grad is not None
                    true[step] = float(model[0].weight.grad.norm())
                    optimizer.step()
                    optimizer.zero_grad()
    records = [one for one in run.records(ParameterSummaryRecord) if one.parameter_name == "0.weight"]
    assert [one.step for one in records] == list(range(0, 100, every))
    updated = [one for one in records if one.update_norm is not None]
    assert len(updated) == (25 if every == 1 else len(records))
    for one in updated:
        in_step = one.metadata.get("optimizer_step", one.step)
        assert in_step == (one.step or 0) // 4 * 4 + 3
        assert one.gradient_norm == pytest.approx(true[in_step], rel=1e-5)
    assert all(one.metadata == {"optimizer_stepped": False} for one in records if one.update_norm is None)
