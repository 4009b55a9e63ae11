"""Wrapped, compiled, copied and scaled models are watched like plain ones, and stay what they are."""

import copy
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quark import HookEngine, HookEngineConfig, HookScheduleConfig, LayerSummaryRecord
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize("first_step_is_probed", [True, False])
def test_a_compiled_model(run: Run, first_step_is_probed: bool) -> None:
    """A compiled module is looked at as one; its probes make it compile no second time."""
    compiled: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    torch._dynamo.reset()
    inner = network()
    model = torch.compile(inner, backend=backend)
    start = 0 if first_step_is_probed else 1
    config = HookEngineConfig(schedule=HookScheduleConfig(every_n_steps=2, start_step=start))
    with HookEngine(run, model, config=config) as hooks:
        assert hooks.instrumented_module_names == ("(model)",)
        for step in range(4):
            with hooks.step(step):
                model(torch.randn(2, 3)).sum().backward()
    assert len(compiled) == 1
    assert [record.step for record in run.records(LayerSummaryRecord)] == [start, start, start + 2, start + 2]
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_a_compiled_part(run: Run) -> None:
    """A model with a compiled part: the part is one layer, the rest is as ever."""
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(3, 3), torch.compile(network(), backend="eager"))  # type: ignore[arg-type]
    records = probed(run, model, lambda: model(torch.randn(2, 3)).sum().backward())
    assert [place[0] for place in places(records)] == ["0", "1", "1", "0"]
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_function_that_is_compiled_in_a_probed_step(lenient: Run) -> None:
    """Where the user compiles a function around the model, the hooks are not compiled into it, and nothing breaks."""
    torch._dynamo.reset()
    model = network()
    step = torch.compile(lambda x: model(x).sum(), backend="eager", fullgraph=True)
    with HookEngine(lenient, model) as hooks:
        for number in range(3):
            with hooks.step(number):
                step(torch.randn(2, 3)).backward()
        step(torch.randn(2, 3)).backward()
    assert lenient.reported == []
    torch._dynamo.reset()


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
