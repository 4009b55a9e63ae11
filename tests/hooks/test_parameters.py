"""ParameterDiagnostics: norms of parameters, gradients and updates are what the optimizer did."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quark import (
    HookScheduleConfig,
    ParameterDiagnostics,
    ParameterDiagnosticsConfig,
    ParameterSummaryRecord,
    SchemaValidationError,
    TrainingSession,
    WrongTypeError,
)
from quark.testing import MemoryRunHandle

from ..analysis.runs import alerts

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("kernel")]
Run = MemoryRunHandle


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1))


def train(model: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    model(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()


def watched(run: Run, model: nn.Module, optimizer: Any, steps: int = 1, **config: Any) -> list[ParameterSummaryRecord]:
    with ParameterDiagnostics(run, model, optimizer, config=ParameterDiagnosticsConfig(**config)) as diagnostics:
        for step in range(steps):
            with diagnostics.step(step, epoch=0):
                train(model, optimizer)
    return run.records(ParameterSummaryRecord)


@pytest.mark.parametrize("width", [4, 60_000])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_norms_are_right(run: Run, width: int, kind: torch.dtype) -> None:
    """Weight, gradient and update norms agree with those in double precision, for small and large parameters."""
    model = network(width).to(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(3, epoch=1):
        optimizer.zero_grad()
        model(torch.randn(8, 3, dtype=kind)).square().sum().backward()
        optimizer.step()
    records = run.records(ParameterSummaryRecord)
    assert [record.parameter_name for record in records] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for record, old, parameter in zip(records, before, model.parameters(), strict=True):
        assert parameter.grad is not None
        update = (parameter.detach().double() - old.double()).norm()
        assert record.weight_norm == pytest.approx(float(old.double().norm()), rel=1e-5)
        assert record.gradient_norm == pytest.approx(float(parameter.grad.double().norm()), rel=1e-5)
        assert record.update_norm == pytest.approx(float(update), rel=1e-5)
        assert record.update_ratio == pytest.approx(float(update / old.double().norm()), rel=1e-5)
        assert (record.parameter_shape, record.element_count) == (tuple(parameter.shape), parameter.numel())
        assert (record.step, record.epoch, record.call_index, record.metadata) == (3, 1, 0, {})


def test_training_is_not_changed(run: Run) -> None:
    """Parameters are the same to the last bit with and without a watcher."""

    def outcome(watch: bool) -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = network()
        optimizer = torch.optim.AdamW(model.parameters())
        if watch:
            watched(run, model, optimizer, steps=4, capture_optimizer_state=True)
        else:
            for _ in range(4):
                train(model, optimizer)
        return list(model.parameters())

    assert all(torch.equal(one, other) for one, other in zip(outcome(False), outcome(True), strict=True))


def test_nothing_is_left_on_the_optimizer(run: Run) -> None:
    """Outside probed steps the optimizer carries no hook."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = HookScheduleConfig(every_n_steps=2)
    records = watched(run, model, optimizer, steps=4, schedule=schedule)
    assert {record.step for record in records} == {0, 2}
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_frozen_and_unused_parameters(run: Run) -> None:
    """A parameter without a gradient has none in its record, and no update."""
    model = network()
    model[0].requires_grad_(False)
    records = watched(run, model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert [(r.gradient_norm is None, r.update_norm) for r in records[:2]] == [(True, 0.0), (True, 0.0)]
    assert all(record.gradient_norm for record in records[2:])


def test_several_optimizers_and_steps(run: Run) -> None:
    """Each parameter belongs to its own optimizer; a second step within a training step has the index 1."""
    model = network()
    first, second = (torch.optim.SGD(part.parameters(), lr=0.1) for part in (model[0], model[2]))
    with ParameterDiagnostics(run, model, [first, second]) as diagnostics, diagnostics.step(0):
        model(torch.randn(2, 3)).sum().backward()
        first.step()
        second.step()
        first.step()
    found = [(record.parameter_name, record.call_index) for record in run.records(ParameterSummaryRecord)]
    assert found == [("0.weight", 0), ("0.bias", 0), ("2.weight", 0), ("2.bias", 0), ("0.weight", 1), ("0.bias", 1)]


def test_a_step_that_is_skipped(run: Run) -> None:
    """Where no optimizer steps, as when a GradScaler saw an infinity, weights and gradients are told alone."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        scaler.scale(model(torch.randn(2, 3)).sum() * float("inf")).backward()
        scaler.step(optimizer)
        scaler.update()
    records = run.records(ParameterSummaryRecord)
    assert [(record.gradient_norm, record.update_norm) for record in records] == [(None, None)] * 4
    assert records[0].weight_norm is not None
    assert records[0].metadata == {"nonfinite": ["gradient"]}


def test_gradients_are_unscaled(run: Run) -> None:
    """Under a GradScaler the gradients are those of the loss without its factor."""
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        scaler.scale(model(torch.ones(4, 3)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert run.records(ParameterSummaryRecord)[1].gradient_norm == 4.0


def test_an_optimizer_with_a_closure(run: Run) -> None:
    """LBFGS makes its gradients within its step."""
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)
    x = torch.randn(8, 3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        optimizer.step(closure)
    records = run.records(ParameterSummaryRecord)
    assert all(record.gradient_norm is not None and record.update_norm for record in records)


def test_gradients_are_those_that_the_optimizer_is_given(run: Run) -> None:
    """An optimizer that uses its gradients up in its step is seen with what it was given."""

    class Greedy(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for parameter in self.param_groups[0]["params"]:
                parameter -= 0.1 * parameter.grad
            self.zero_grad()

    model = network()
    assert all(record.gradient_norm for record in watched(run, model, Greedy(model.parameters(), {})))


def test_the_state_of_the_optimizer(run: Run) -> None:
    """On demand the norms of the optimizer's own tensors are in the metadata."""
    model = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(model.parameters())
    record = watched(run, model, optimizer, capture_optimizer_state=True)[0]
    moment = optimizer.state[model.weight]["exp_avg"]
    assert record.metadata["exp_avg_norm"] == pytest.approx(float(moment.norm()))
    assert set(record.metadata) == {"exp_avg_norm", "exp_avg_sq_norm"}


def test_updates_can_be_left_out(run: Run) -> None:
    """Without capture_updates no copy of the parameters is made."""
    model = network()
    records = watched(run, model, torch.optim.SGD(model.parameters(), lr=0.1), capture_updates=False)
    assert [record.update_norm for record in records] == [None] * 4
    assert all(record.gradient_norm for record in records)


def test_metrics_on_demand(run: Run) -> None:
    """The norms are mirrored as metrics, under names that the grammar allows."""
    model = nn.ModuleDict({"_a b": nn.Linear(1, 1, bias=False)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    config = ParameterDiagnosticsConfig(emit_scalar_metrics=True)
    with ParameterDiagnostics(run, model, optimizer, config=config) as diagnostics, diagnostics.step(0):
        model["_a b"](torch.ones(1, 1)).sum().backward()
        optimizer.step()
    assert run.values("quark/params/p_a_b.weight/gradient_norm") == [1.0]
    assert len(run.reader().keys(run.run_id)) == 4


def test_sparse_gradients_and_zero_weights(run: Run) -> None:
    """A sparse gradient has a norm; a weight of zero has no ratio."""
    model = nn.Embedding(10, 3, sparse=True)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        model(torch.tensor([1, 1])).sum().backward()
        optimizer.step()
    record = run.records(ParameterSummaryRecord)[0]
    assert (record.gradient_norm, record.update_norm) == pytest.approx((12**0.5, 12**0.5))
    assert (record.weight_norm, record.update_ratio) == (0.0, None)


def test_filters(run: Run) -> None:
    """Patterns choose the parameters; one that fits none is told what there is."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    config = ParameterDiagnosticsConfig(include_name_patterns=("weight$",), exclude_name_patterns=(r"^0\.",))
    assert ParameterDiagnostics(run, model, optimizer, config=config).parameter_names == ("2.weight",)
    for config, says in (
        (ParameterDiagnosticsConfig(include_name_patterns=("2.wieght",)), r"fits no parameter.*nearest.*2\.weight"),
        (ParameterDiagnosticsConfig(exclude_name_patterns=(".",)), "exclude every parameter"),
    ):
        with pytest.raises(SchemaValidationError, match=says):
            ParameterDiagnostics(run, model, optimizer, config=config)


def test_bad_input(run: Run) -> None:
    """A model without parameters, an optimizer of another model, wrong types: each refused by name."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(SchemaValidationError, match="must have parameters"):
        ParameterDiagnostics(run, nn.ReLU(), optimizer)
    with pytest.raises(SchemaValidationError, match="trains none"):
        ParameterDiagnostics(run, network(), optimizer)
    with pytest.raises(WrongTypeError, match="optimizer"):
        ParameterDiagnostics(run, model, None)
    with pytest.raises(WrongTypeError, match="config"):
        ParameterDiagnostics(run, model, optimizer, config={})  # type: ignore[arg-type]
    with pytest.raises(SchemaValidationError, match="regular expressions"):
        ParameterDiagnosticsConfig(include_name_patterns=("(",))


def test_an_optimizer_of_another_model_harms_no_training(lenient: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It is the fault of the training, such as a model that was copied later: told, and named by a rule."""
    model, stale = network(), network()
    watched(lenient, model, torch.optim.SGD(stale.parameters(), lr=0.1))
    assert "trains none of the parameters" in caplog.text
    told = alerts(lenient)["parameters_not_optimized"]
    assert (told.severity, told.subject) == ("error", "0.weight")


def test_a_fault_is_not_felt(lenient: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault while norms are taken counts under its cause, and the optimizer steps."""
    from quark.producers.hooks.change import Norms

    def broken(self: Norms, tensors: list[Any]) -> list[Any]:
        raise MemoryError("no room")

    model = network()
    before = model[0].weight.detach().clone()
    monkeypatch.setattr(Norms, "of", broken)
    watched(lenient, model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert "parameter_hook" in {cause for cause, _ in lenient.reported}
    assert not torch.equal(before, model[0].weight)


def test_a_real_run(tmp_path: Path) -> None:
    """Through the journal and the store and back: the filters work, and flush returns what is new."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with TrainingSession.start_run(project="p", storage_dir=tmp_path) as session:
        diagnostics = ParameterDiagnostics(session, model, optimizer)
        for step in range(3):
            with diagnostics.step(step):
                train(model, optimizer)
        everything = diagnostics.read()
        assert everything == diagnostics.flush()
        assert len(everything) == 12
        assert len(diagnostics.read(parameter_name="0.weight", step_min=1)) == 2
        assert len(diagnostics.read(limit=5)) == 5


def test_a_parameter_that_changes_its_shape_while_the_optimizer_steps(lenient: Run) -> None:
    """Nothing is read beyond it: the probe fails, and the training goes on."""

    class Pruning(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            model.weight.data = model.weight.data[:, :1].clone()
            model.weight.grad = None

    model = nn.Linear(3, 4)
    optimizer = Pruning(model.parameters(), lr=0.1)
    with ParameterDiagnostics(lenient, model, optimizer) as diagnostics, diagnostics.step(0):
        model(torch.randn(2, 3)).sum().backward()
        optimizer.step()
    assert {cause for cause, _ in lenient.reported} == {"parameter_hook"}


def test_lazy_parameters(run: Run) -> None:
    """A parameter that has no shape yet is looked at once it has one."""
    model = nn.Sequential(nn.LazyLinear(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    diagnostics = ParameterDiagnostics(run, model, optimizer)
    with diagnostics.step(0):
        pass
    assert run.records(ParameterSummaryRecord) == []
    with diagnostics.step(1):
        train(model, optimizer)
    assert [record.parameter_name for record in run.records(ParameterSummaryRecord)] == ["0.weight", "0.bias"]
