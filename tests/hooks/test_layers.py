"""Every layer that breaks naive hooks is seen, and trains as if nobody looked."""

import dataclasses
from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from quark import HookEngine, HookEngineConfig, LayerFilterConfig, LayerSummaryRecord
from quark.testing import MemoryRunHandle

from .watching import of, places, probed

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("kernel")]
Run = MemoryRunHandle


class Apply(nn.Module):
    """A leaf that calls a function."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: torch.Tensor) -> Any:
        return self.act(x)


def paths(records: list[Any]) -> list[str]:
    """The paths of tensors in an output."""
    return [record.metadata.get("path", "") for record in records]


def test_a_plain_network(run: Run) -> None:
    """Each leaf has one activation and one gradient, with the figures of its tensors; the step and epoch are theirs."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(5, 4)
    hidden = model[0](x).detach()
    records = probed(run, model, lambda: model(x).sum().backward())
    forward = [("0", "forward", 0), ("1", "forward", 0), ("2", "forward", 0)]
    backward = [("2", "backward", 0), ("1", "backward", 0), ("0", "backward", 0)]
    assert places(records) == forward + backward
    assert {(record.step, record.epoch, record.metadata["training"]) for record in records} == {(0, 0, True)}
    relu = of(records, "1")[0]
    assert relu.module_type == "ReLU"
    assert (relu.tensor_shape, relu.element_count) == ((5, 8), 40)
    assert relu.mean == pytest.approx(float(hidden.relu().mean()), rel=1e-5)
    assert relu.std == pytest.approx(float(hidden.relu().std(correction=0)), rel=1e-5)
    assert relu.dead_unit_ratio == int((hidden <= 0).sum()) / 40
    assert relu.metadata["unit_dead_ratio"] == int((hidden <= 0).all(dim=0).sum()) / 8
    assert of(records, "2", "gradient")[0].norm == pytest.approx(10**0.5)
    assert of(records, "2", "gradient")[0].dead_unit_ratio is None


def test_an_in_place_relu(run: Run) -> None:
    """ReLU(inplace=True), on which a full backward hook raises: what came before and after it are both seen."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    x = torch.randn(4, 1, 8, 8)
    records = probed(run, model, lambda: model(x).square().sum().backward())
    assert len(records) == 6
    assert of(records, "1")[0].metadata["max_abs"] > 0
    assert of(records, "1")[0].mean == pytest.approx(0.0, abs=1e-6)  # before it was overwritten
    assert of(records, "2")[0].mean > 0.1
    inner, outer = of(records, "1", "gradient")[0], of(records, "2", "gradient")[0]
    assert inner.norm == pytest.approx(outer.norm)  # twice the ReLU's own output is zero where the ReLU is
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_lstm(run: Run) -> None:
    """A nested output: one record per tensor, with its path; the order of memory does not matter."""
    model = nn.LSTM(3, 5, batch_first=True)
    records = probed(run, model, lambda: model(torch.randn(2, 7, 3))[0].sum().backward())
    assert paths(of(records, "(model)")) == ["0", "1.0", "1.1"]
    assert [record.tensor_shape for record in of(records, "(model)")] == [(2, 7, 5), (1, 2, 5), (1, 2, 5)]
    assert paths(of(records, "(model)", "gradient")) == ["0"]


@dataclasses.dataclass
class Output:
    """What a network of a library returns."""

    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    loss: torch.Tensor | None = None


Pair = namedtuple("Pair", "left right")

NESTED: list[tuple[Any, list[str]]] = [
    (lambda x: (x + 1, x * 2), ["0", "1"]),
    (lambda x: [x + 1, "text", None, 3, x * 2], ["0", "4"]),
    (lambda x: {"a": x + 1, "b": {"c": [x * 2]}}, ["a", "b.c.0"]),
    (lambda x: Output(x + 1, (x * 2, x * 3)), ["logits", "hidden.0", "hidden.1"]),
    (lambda x: Pair(x + 1, Pair(x * 2, None)), ["left", "right.left"]),
    (lambda x: x + 1, [""]),
]


@pytest.mark.parametrize(("act", "expected"), NESTED)
def test_nested_outputs(run: Run, act: Any, expected: list[str]) -> None:
    """Tuples, lists, dictionaries, dataclasses and named tuples: every tensor in both directions."""
    model = nn.Sequential(nn.Linear(3, 3), Apply(act))

    def walk(value: Any) -> torch.Tensor:
        if isinstance(value, torch.Tensor):
            return value.sum()
        if dataclasses.is_dataclass(value):
            value = list(vars(value).values())
        items = value.values() if isinstance(value, dict) else value
        return sum((walk(one) for one in items if isinstance(one, (torch.Tensor, tuple, list, dict))), torch.zeros(()))

    records = probed(run, model, lambda: walk(model(torch.randn(2, 3))).backward())
    assert paths(of(records, "1")) == expected
    assert sorted(paths(of(records, "1", "gradient"))) == sorted(expected)


def test_one_tensor_twice_in_an_output(run: Run) -> None:
    """A tensor that an output holds twice is one tensor."""
    model = Apply(lambda x: (x, [x]))
    records = probed(run, model, lambda: model(torch.randn(2)))
    assert paths(records) == ["0"]


def test_a_module_that_is_called_several_times(run: Run) -> None:
    """A shared module has one name; its calls are counted, and each gradient has the index of its call."""
    shared = nn.Linear(3, 3, bias=False)
    model = nn.ModuleDict({"first": shared, "second": shared})
    with torch.no_grad():
        shared.weight.copy_(2 * torch.eye(3))

    def act() -> None:
        y = model["first"](torch.ones(1, 3))
        model["second"](model["first"](y)).sum().backward()

    records = probed(run, model, act)
    assert places(of(records, "first")) == [("first", "forward", n) for n in (0, 1, 2)]
    assert [record.mean for record in of(records, "first")] == [2.0, 4.0, 8.0]
    assert [(r.call_index, r.mean) for r in of(records, "first", "gradient")] == [(2, 1.0), (1, 2.0), (0, 4.0)]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_regions(run: Run, reentrant: bool) -> None:
    """The recomputation is no second call, in either mode; gradients are seen once, with the values that they have."""
    body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model = nn.Sequential(nn.Linear(4, 4), body, nn.Linear(4, 1))
    x = torch.randn(6, 4)
    plain = probed(run, model, lambda: model(x).sum().backward())
    expected = [(*place, record.norm) for place, record in zip(places(plain), plain, strict=True)]
    again = MemoryRunHandle()

    def act() -> None:
        y = model[0](x)
        y = checkpoint(body, y, use_reentrant=reentrant)
        model[2](y).sum().backward()

    records = probed(again, model, act)
    found = [(*place, record.norm) for place, record in zip(places(records), records, strict=True)]
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    assert [one[3] for one in found] == pytest.approx([one[3] for one in expected], rel=1e-5)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_layer_that_is_called_in_several_regions(run: Run, reentrant: bool) -> None:
    """Each gradient has the index of its own call, however often a layer runs within a region and in how many."""
    shared = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        shared.weight.fill_(2.0)

    def twice(x: torch.Tensor) -> torch.Tensor:
        return shared(shared(x))

    def act() -> None:
        y = torch.ones(1, 1, requires_grad=True)
        for _ in range(2):
            y = checkpoint(twice, y, use_reentrant=reentrant)
        shared(y).sum().backward()

    gradients = of(probed(run, shared, act), "(model)", "gradient")
    assert [(one.call_index, one.mean) for one in gradients] == [(4, 1.0), (3, 2.0), (2, 4.0), (1, 8.0), (0, 16.0)]
    assert len(of(run.records(LayerSummaryRecord), "(model)")) == 5


def test_a_pass_without_gradient_between_checkpoint_and_backward(run: Run) -> None:
    """It takes no gradient away from the checkpointed call: each has the index of its own."""
    body = nn.Linear(4, 4)

    def act() -> None:
        y = checkpoint(body, torch.ones(1, 4, requires_grad=True), use_reentrant=True)
        with torch.no_grad():
            body(torch.ones(1, 4))
        y.sum().backward()

    records = probed(run, body, act)
    assert [one.call_index for one in of(records, "(model)", "gradient")] == [0]


def test_frozen_layers(run: Run) -> None:
    """A layer before which nothing is trained has activations and no gradient."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].requires_grad_(False)
    records = probed(run, model, lambda: model(torch.randn(2, 3)).sum().backward())
    assert places(records) == [("0", "forward", 0), ("1", "forward", 0), ("1", "backward", 0)]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_passes_without_gradient(run: Run, mode: Any) -> None:
    """An evaluation within the step is recorded with ``training`` false, and without gradients."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))

    def act() -> None:
        model.eval()
        with mode():
            model(torch.randn(2, 3))
        model.train()
        model(torch.randn(2, 3)).sum().backward()

    records = probed(run, model, act)
    flags = [(record.call_index, record.metadata["training"]) for record in of(records, "1")]
    assert flags == [(0, False), (1, True)]
    assert [record.call_index for record in of(records, "1", "gradient")] == [1]


def test_attention_is_a_leaf(run: Run) -> None:
    """MultiheadAttention has a child whose hooks never fire; it is looked at itself."""
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with HookEngine(run, model) as hooks:
        assert "self_attn" in hooks.instrumented_module_names
        assert "self_attn.out_proj" not in hooks.instrumented_module_names
        with hooks.step(0):
            model(torch.randn(2, 5, 8)).sum().backward()
    seen = run.records(LayerSummaryRecord)
    assert paths(of(seen, "self_attn")) == ["0"]
    assert len(of(seen, "self_attn", "gradient")) == 1


def test_lazy_modules(run: Run) -> None:
    """A lazy module is found by the type that it becomes, and has that type in its record."""
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
    config = HookEngineConfig(filters=LayerFilterConfig(include_types=("Linear",)))
    records = probed(run, model, lambda: model(torch.randn(5, 3)).sum().backward(), config=config)
    assert {(record.module_name, record.module_type) for record in records} == {("0", "Linear")}
    assert len(records) == 2


def test_parametrized_modules(run: Run) -> None:
    """A parametrized layer is still the leaf that it was."""
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.Identity())
    config = HookEngineConfig(filters=LayerFilterConfig(include_types=("Linear",)))
    records = probed(run, model, lambda: model(torch.randn(2, 3)).sum().backward(), config=config)
    assert places(records) == [("0", "forward", 0), ("0", "backward", 0)]


def test_gradient_accumulation(run: Run) -> None:
    """Several passes within one step are several calls, each with its own gradient."""
    model = nn.Linear(2, 1)

    def act() -> None:
        for factor in (1.0, 2.0, 3.0):
            (model(torch.randn(4, 2)).sum() * factor).backward()

    records = probed(run, model, act)
    assert [(r.call_index, r.mean) for r in of(records, "(model)", "gradient")] == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_a_graph_that_is_walked_twice(run: Run) -> None:
    """A second backward pass over the same graph says so in its metadata."""
    model = nn.Linear(2, 1)

    def act() -> None:
        loss = model(torch.randn(4, 2)).sum()
        loss.backward(retain_graph=True)
        (loss * 5).backward()

    gradients = of(probed(run, model, act), "(model)", "gradient")
    assert [(one.mean, one.metadata.get("backward_call", 0)) for one in gradients] == [(1.0, 0), (5.0, 1)]


def test_second_derivatives(run: Run) -> None:
    """A gradient that is itself differentiated is measured, and stays differentiable."""
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(3, 2, requires_grad=True)

    def act() -> None:
        (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()

    records = probed(run, model, act)
    assert of(records, "1", "gradient")[0].metadata.get("backward_call", 0) == 0
    assert model[0].weight.grad is not None


def test_a_layer_that_returns_a_parameter(run: Run) -> None:
    """A hook on a tensor that outlives the step is taken off with the others."""

    class Prompt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prompt = nn.Parameter(torch.randn(3))

        def forward(self) -> torch.Tensor:
            return self.prompt

    model = Prompt()
    records = probed(run, model, lambda: model().sum().backward())
    assert places(records) == [("(model)", "forward", 0), ("(model)", "backward", 0)]
    assert not model.prompt._backward_hooks


def test_containers_can_be_watched(run: Run) -> None:
    """With leaf_modules_only=False modules that hold others are recorded too, the model itself as ``(model)``."""
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.ReLU())
    config = HookEngineConfig(filters=LayerFilterConfig(leaf_modules_only=False))
    records = probed(run, model, lambda: model(torch.randn(1, 2)), config=config)
    assert [record.module_name for record in records] == ["0.0", "0", "1", "(model)"]


def test_only_what_is_captured_is_hooked(run: Run) -> None:
    """capture_forward and capture_backward choose the directions."""
    model = nn.Linear(2, 2)
    act = lambda: model(torch.randn(1, 2)).sum().backward()  # noqa: E731
    assert len(probed(MemoryRunHandle(), model, act, config=HookEngineConfig(capture_forward=False))) == 1
    assert len(probed(MemoryRunHandle(), model, act, config=HookEngineConfig(capture_backward=False))) == 1
    assert probed(run, model, act, config=HookEngineConfig(capture_forward=False, capture_backward=False)) == []


def test_saturation_is_recorded(run: Run) -> None:
    """Sigmoid-like layers have a saturation ratio, others none."""
    model = nn.Sequential(nn.Identity(), nn.Sigmoid())
    records = probed(run, model, lambda: model(torch.tensor([[-9.0, 0.0, 0.1, 9.0]])))
    assert [record.saturation_ratio for record in records] == [None, 0.5]


def test_a_nan_is_seen(run: Run) -> None:
    """A layer whose output holds a NaN has null statistics, and its non-finite count."""
    model = nn.Sequential(nn.Linear(2, 2), Apply(lambda x: x / 0.0))
    records = probed(run, model, lambda: model(torch.randn(1, 2)).sum().backward())
    bad = of(records, "1")[0]
    assert (bad.mean, bad.std, bad.norm, bad.variance) == (None, None, None, None)
    assert bad.metadata["nonfinite_count"] == 2
    assert of(records, "0", "gradient")[0].metadata["nonfinite_count"] == 2


def test_training_is_not_changed(run: Run) -> None:
    """Loss and parameters are the same to the last bit, with probes in every step and with none."""

    def train(watch: bool) -> list[torch.Tensor]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(),
                              nn.Linear(144, 3))  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters())
        hooks = HookEngine(run, model)
        for step in range(5):
            if watch:
                hooks.begin_step(step)
            optimizer.zero_grad()
            model(torch.randn(4, 1, 8, 8)).square().sum().backward()
            optimizer.step()
            hooks.end_step()
        return [parameter.detach() for parameter in model.parameters()]

    assert all(torch.equal(one, other) for one, other in zip(train(False), train(True), strict=True))


def test_an_encoder_layer_in_evaluation(run: Run) -> None:
    """torch's fast path would hide the layers inside; while they are watched they are computed one by one."""
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        fast = model(x)
        outputs: list[torch.Tensor] = []
        records = probed(run, model, lambda: outputs.append(model(x)))
    assert {"linear1", "norm2"} <= {record.module_name for record in records}
    assert torch.allclose(fast, outputs[0], atol=1e-5)


def test_a_module_that_keeps_its_parameters_in_a_list_is_a_layer() -> None:
    """ParameterList and ParameterDict hold what a module computes with; they are no layers inside of it."""
    holding = Apply(torch.relu)
    holding.listed = nn.ParameterList([nn.Parameter(torch.ones(2))])
    holding.named = nn.ParameterDict({"a": nn.Parameter(torch.ones(2))})
    engine = HookEngine(Run(), nn.Sequential(holding, nn.Linear(2, 2)))
    assert engine.instrumented_module_names == ("0", "1")
