"""Wrapped, compiled, copied and scaled models are watched like plain ones, and stay what they are."""

import copy
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quark import (
    HookEngine,
    HookEngineConfig,
    HookScheduleConfig,
    LayerSummaryRecord,
    ParameterDiagnostics,
    ParameterSummaryRecord,
    SchemaValidationError,
    WrongTypeError,
)
from quark.testing import MemoryRunHandle

from .watching import of, places, probed

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("kernel")]
Run = MemoryRunHandle


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A job of one process."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_data_parallel(run: Run) -> None:
    """Names are those of the network inside the wrapper, which reduces its gradients as ever."""
    model = nn.parallel.DistributedDataParallel(network())
    records = probed(run, model, lambda: model(torch.randn(2, 3)).sum().backward())
    assert [place[0] for place in places(records)] == ["0", "1", "2", "2", "1", "0"]
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_exchange_of_gradients_is_recorded_as_it_was_timed(run: Run, wrapped: bool) -> None:
    """At each probe of a wrapped network the last iteration that torch timed; of any other network nothing is known."""
    model = nn.parallel.DistributedDataParallel(network()) if wrapped else network()
    hooks = HookEngine(run, model, config=HookEngineConfig(schedule=HookScheduleConfig(every_n_steps=20)))
    for step in range(61):
        with hooks.step(step):
            model(torch.randn(2, 3)).sum().backward()
    hooks.close()
    key = "system/runtime/sync_time_ms"
    assert run.reader().keys(run.run_id) == ([key] if wrapped else [])
    series = run.reader().series(run.run_id, key)
    assert series.steps.tolist() == ([20, 40, 60] if wrapped else [])
    assert all(value >= 0 for value in series.values)


@pytest.mark.usefixtures("process_group")
def test_fully_sharded(run: Run) -> None:
    """A network whose parameters are sharded is watched through its layers."""
    from torch.distributed.fsdp import fully_shard

    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    model = network()
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    records = probed(run, model, lambda: model(torch.randn(2, 3)).sum().backward())
    assert [place[0] for place in places(records)] == ["0", "1", "2", "2", "1", "0"]


def test_a_scripted_part(run: Run) -> None:
    """A scripted module is one layer."""
    with pytest.warns(DeprecationWarning):
        part = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    model = nn.Sequential(nn.Linear(3, 3), part)
    records = probed(run, model, lambda: model(torch.randn(2, 3)).sum().backward())
    assert [place[0] for place in places(records)][:2] == ["0", "1"]


def test_loss_scaling(run: Run) -> None:
    """With a GradScaler gradients are told as without it, and the scale of their own step is recorded."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with HookEngine(run, model, optimizer, grad_scale=scaler) as hooks:
        for step in range(2):
            with hooks.step(step), torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(torch.randn(4, 3)).sum()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
    gradients = of(run.records(LayerSummaryRecord), "(model)", "gradient")
    assert [(one.mean, one.norm, one.metadata["loss_scale"]) for one in gradients] == [(1, 2, 1024), (1, 2, 2048)]
    assert "loss_scale" not in of(run.records(LayerSummaryRecord), "(model)")[0].metadata


@pytest.mark.parametrize("scale", [8, 8.0, lambda: 8.0, lambda: torch.tensor(8.0)])
def test_other_scales(run: Run, scale: Any) -> None:
    """A number and a callable do as well."""
    model = nn.Linear(3, 1)
    records = probed(run, model, lambda: (model(torch.randn(4, 3)).sum() * 8).backward(), grad_scale=scale)
    assert of(records, "(model)", "gradient")[0].mean == 1.0


def test_a_disabled_scaler(run: Run) -> None:
    """A GradScaler that is off scales by one."""
    model = nn.Linear(3, 1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    records = probed(run, model, lambda: model(torch.randn(4, 3)).sum().backward(), grad_scale=scaler)
    assert of(records, "(model)", "gradient")[0].metadata["loss_scale"] == 1.0


def test_a_copy_is_not_watched(run: Run) -> None:
    """A deep copy made between or during probes computes the same, and nobody listens to it."""
    model = network()
    x = torch.randn(2, 3)
    with HookEngine(run, model) as hooks:
        before = copy.deepcopy(model)
        with hooks.step(0):
            during = copy.deepcopy(model)
            assert torch.equal(before(x), during(x))
        assert torch.equal(during(x), model(x))
    assert run.records(LayerSummaryRecord) == []
    copy.deepcopy(during)


def test_a_pickled_model_needs_no_quark(run: Run, tmp_path: Path) -> None:
    """A whole model saved in the middle of a probe loads where Quark is not installed, and saves the probe nothing."""
    model = network()
    with HookEngine(run, model) as hooks, hooks.step(0):
        torch.save(model, tmp_path / "model.pt")
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
    assert b"quark" not in (tmp_path / "model.pt").read_bytes()
    program = (
        "import sys, torch; sys.modules['quark'] = None\n"
        "model = torch.load(sys.argv[1], weights_only=False); model(torch.randn(2, 3)).sum().backward()"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "model.pt"], env=environment, capture_output=True,
                          cwd=tmp_path, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_left_on_the_model(run: Run) -> None:
    """Outside probed steps the model carries no hook at all."""
    model = network()
    config = HookEngineConfig(schedule=HookScheduleConfig(every_n_steps=2))
    with HookEngine(run, model, config=config) as hooks:
        for step in range(3):
            with hooks.step(step) as probed_now:
                counts = [len(module._forward_hooks) for module in model]
                assert counts == ([1, 1, 1] if probed_now else [0, 0, 0])
                model(torch.randn(2, 3)).sum().backward()
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_several_engines_watch_one_model(run: Run) -> None:
    """Two engines do not know of each other."""
    model = network()
    other = MemoryRunHandle()
    with HookEngine(run, model) as hooks, HookEngine(other, model) as more, hooks.step(0), more.step(7):
        model(torch.randn(2, 3)).sum().backward()
    assert len(run.records(LayerSummaryRecord)) == len(other.records(LayerSummaryRecord)) == 6


def test_the_hooks_of_the_user_come_first(run: Run) -> None:
    """What the user's own hook makes of an output is what is recorded."""
    model = nn.Linear(2, 2)
    model.register_forward_hook(lambda module, args, output: output * 0)
    records = probed(run, model, lambda: model(torch.randn(1, 2)))
    assert records[0].norm == 0.0


def test_scripting_and_tracing_in_a_probed_step(run: Run, tmp_path: Path) -> None:
    """A model can be scripted, traced and saved in the middle of a probe; nothing of that is a call of the training."""
    model = network()
    x = torch.randn(2, 3)
    with HookEngine(run, model) as hooks, hooks.step(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, x, check_trace=False)
        model(x).sum().backward()
        scripted = torch.jit.script(model)
        torch.jit.save(scripted, tmp_path / "scripted.pt")
        assert torch.equal(scripted(x), traced(x))
        torch.jit.script(copy.deepcopy(model))
    assert not any("__prepare_scriptable__" in vars(module) for module in model.modules())
    assert sorted(places(run.records(LayerSummaryRecord)))[::2] == [(name, "backward", 0) for name in "012"]
    assert len(run.records(LayerSummaryRecord)) == 6


def test_a_copy_of_a_probed_model_can_be_scripted_and_saved(run: Run, tmp_path: Path) -> None:
    """A copy or a file made in a probe is a model like any other, that can be scripted too."""
    model = network()
    with HookEngine(run, model) as hooks, hooks.step(0):
        copied = copy.deepcopy(model)
        torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    for one in (copied, loaded):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scripted = torch.jit.script(one)
        assert torch.equal(scripted(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_a_model_prepares_itself_for_scripting_as_ever(run: Run) -> None:
    """A module with a preparation of its own is prepared by it."""

    class Prepared(nn.Linear):
        def __prepare_scriptable__(self) -> nn.Module:
            return nn.Identity()

    with HookEngine(run, nn.Sequential(Prepared(3, 3))) as hooks, hooks.step(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(hooks.model)
    assert torch.equal(scripted(torch.ones(1, 3)), torch.ones(1, 3))


def test_function_transforms_in_a_probed_step(run: Run) -> None:
    """What vmap, grad and jacrev make of a model is no value that could be measured: no fault and no record."""
    model = network()
    x = torch.randn(5, 3)
    parameters = {name: one.detach() for name, one in model.named_parameters()}

    def loss(weights: Any, one: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, weights, (one,)).sum()

    with HookEngine(run, model) as hooks, hooks.step(0):
        torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
        torch.func.jacrev(loss, argnums=1)(parameters, x[0])
        model(x).sum().backward()
    assert len(run.records(LayerSummaryRecord)) == 6


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch's prototype of nested tensors
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(run: Run, layout: torch.layout) -> None:
    """A nested output has the statistics of its packed values, and so has its gradient."""
    parts = [torch.randn(2, 3), torch.randn(4, 3)]
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    x = torch.nested.nested_tensor(parts, layout=layout)

    def act() -> None:
        y = model(x)
        (y.values() if layout is torch.jagged else torch.nested.to_padded_tensor(y, 0.0)).sum().backward()

    records = probed(run, model, act)
    hidden = model[0](torch.cat(parts)).detach()
    first = of(records, "0")[0]
    assert (first.element_count, first.norm) == (30, pytest.approx(float(hidden.norm()), rel=1e-5))
    assert len(of(records, "1", "gradient")) == 1


def test_an_encoder_with_a_padding_mask(run: Run) -> None:
    """torch makes nested tensors of padded ones within an encoder in evaluation; its layers are seen all the same."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    mask = torch.tensor([[False, False, True], [False, False, False]])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = probed(run, model, lambda: model(torch.randn(2, 3, 8), src_key_padding_mask=mask))
    assert {"layers.0.linear1", "layers.1.norm2"} <= {one.module_name for one in records}


def test_names_without_the_parts_of_wrappers(run: Run) -> None:
    """Layers and parameters of a checkpointed and of a compiled network have the names of the bare one."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    bare = network()
    wrapped = nn.Sequential(checkpoint_wrapper(bare[0]), bare[1], checkpoint_wrapper(bare[2]))
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    expected = tuple(name for name, _ in bare.named_parameters())
    assert HookEngine(run, wrapped).instrumented_module_names == ("0", "1", "2")
    for model in (wrapped, torch.compile(bare, backend="eager")):
        assert ParameterDiagnostics(run, model, optimizer).parameter_names == expected


@pytest.mark.usefixtures("process_group")
def test_names_in_sharded_wrappers(run: Run) -> None:
    """Also where each layer is wrapped by FSDP and by checkpointing."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    from quark.producers.hooks.naming import named_parameters
    from quark.producers.hooks.selection import named_layers

    class FullyShardedDataParallel(nn.Module):
        """Stands for torch's own, which needs a GPU; only its name and its child count."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self._fsdp_wrapped_module = module

    bare = network()
    wrapped = FullyShardedDataParallel(
        nn.Sequential(FullyShardedDataParallel(checkpoint_wrapper(bare[0])), bare[1], checkpoint_wrapper(bare[2]))
    )
    assert list(named_layers(wrapped)) == ["(model)", "0", "1", "2"]
    assert list(named_parameters(wrapped)) == [name for name, _ in bare.named_parameters()]
    assert list(named_parameters(nn.parallel.DistributedDataParallel(bare))) == list(named_parameters(bare))


@pytest.mark.usefixtures("process_group")
def test_the_local_part_of_a_shard_is_flagged(run: Run) -> None:
    """A sharded parameter has its whole shape and, beside it, that of the part whose norms are recorded."""
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    model = nn.Linear(3, 4)
    model.weight = nn.Parameter(distribute_tensor(model.weight.detach(), mesh, [Shard(0)]))
    model.bias = nn.Parameter(distribute_tensor(model.bias.detach(), mesh, [Shard(0)]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ParameterDiagnostics(run, model, optimizer) as diagnostics, diagnostics.step(0):
        pass
    assert [one.metadata["local_shape"] for one in run.records(ParameterSummaryRecord)] == [[4, 3], [4]]


@pytest.mark.parametrize("stepping", [False, True])
def test_gradients_of_parameters_are_unscaled_where_no_optimizer_steps(run: Run, stepping: bool) -> None:
    """With a GradScaler, in accumulation and at the step, gradient norms are those of the loss itself."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ParameterDiagnostics(run, model, optimizer, grad_scale=scaler) as diagnostics, diagnostics.step(0):
        scaler.scale(model(torch.ones(4, 3)).sum()).backward()
        if stepping:
            scaler.step(optimizer)
            scaler.update()
    assert run.records(ParameterSummaryRecord)[1].gradient_norm == 4.0


def test_gradients_that_are_unscaled_already_stay(run: Run) -> None:
    """After scaler.unscale_ without a step, as for clipping in accumulation, nothing is taken out a second time."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ParameterDiagnostics(run, model, optimizer, grad_scale=scaler) as diagnostics, diagnostics.step(0):
        scaler.scale(model(torch.ones(4, 3)).sum()).backward()
        scaler.unscale_(optimizer)
    assert run.records(ParameterSummaryRecord)[1].gradient_norm == 4.0


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("scale", [8, lambda: torch.tensor(8.0)])
def test_gradients_that_are_scaled_by_a_number(run: Run, scale: Any, by_hand: bool) -> None:
    """Whether the gradients are unscaled by hand before the step or not, their norms are those without the scale."""
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ParameterDiagnostics(run, model, optimizer, grad_scale=scale) as diagnostics, diagnostics.step(0):
        (model(torch.ones(4, 3)).sum() * 8).backward()
        if by_hand:
            for one in model.parameters():
                assert one.grad is not None
                one.grad /= 8
        optimizer.step()
    assert run.records(ParameterSummaryRecord)[1].gradient_norm == 4.0
    assert all(not one._post_accumulate_grad_hooks for one in model.parameters())


def test_another_default_device(run: Run) -> None:
    """Both watchers work as ever while torch makes new tensors on another device."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks, parameters = HookEngine(run, model), ParameterDiagnostics(run, model, optimizer)
    with hooks.step(0), parameters.step(0):
        model(torch.randn(2, 3)).sum().backward()
        with torch.device("meta"):
            optimizer.step()
            model(torch.randn(2, 3, device="cpu"))
    parameters.close()
    assert all(one.update_norm for one in run.records(ParameterSummaryRecord) if one.gradient_norm)
    assert len(run.records(LayerSummaryRecord)) == 9


def test_networks_are_told_apart(run: Run) -> None:
    """Each watcher has a name in its records and reads its own; without one a further network goes by its class."""
    generator, discriminator, other = network(), nn.Linear(1, 1), network()
    with (
        HookEngine(run, generator, name="generator") as first,
        HookEngine(run, discriminator) as second,
        HookEngine(run, other) as third,
        ParameterDiagnostics(run, generator, torch.optim.SGD(generator.parameters(), lr=0.1)) as parameters,
    ):
        assert (first.name, second.name, third.name, parameters.name) == (
            "generator",
            "Linear",
            "Sequential",
            "generator",
        )
        with first.step(0), second.step(0), third.step(0), parameters.step(0):
            discriminator(generator(torch.randn(2, 3))).sum().backward()
            other(torch.randn(2, 3))
        for watcher, count in ((first, 6), (second, 2), (third, 3), (parameters, 4)):
            records = watcher.read()
            assert {one.watcher for one in records} == {watcher.name}
            assert len(records) == count
    with pytest.raises(SchemaValidationError, match="already that of another network"):
        both = HookEngine(run, generator, name="net"), HookEngine(run, other, name="net")
        del both
    with pytest.raises(SchemaValidationError, match="name must be"):
        HookEngine(run, generator, name="a/b")
    with pytest.raises(WrongTypeError, match="name must be"):
        HookEngine(run, generator, name=1)  # type: ignore[arg-type]
