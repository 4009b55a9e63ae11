"""What frameworks compile is watched like what they do not, and compiled as often."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import quark

pytest.importorskip("lightning")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DynamoBackend, TorchDynamoPlugin
from torch import nn

from quark.producers.hooks.exchange import GradientExchange
from quark_integrations.callbacks.lightning import QuarkCallback as LightningCallback
from quark_integrations.callbacks.transformers import QuarkCallback as TransformersCallback

from .lightning_models import Tiny, fit
from .transformers_models import trainer

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # of torch's compiler and of the frameworks
HOOKS = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=2))


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    """Accelerate and Transformers keep settings for the whole process and in its environment, torch its graphs."""
    environment = dict(os.environ)
    _forget()  # what the tests of other files have left
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    before = torch._dynamo.eval_frame._stance
    yield
    os.environ.clear()
    os.environ.update(environment)
    _forget()
    torch._dynamo.reset()
    assert torch._dynamo.eval_frame._stance is before


def _forget() -> None:
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()


def graphs() -> int:
    """How many graphs were compiled since the last time."""
    number = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return number


def seen(directory: Path) -> set[tuple[Any, str, str]]:
    """The layers of the one run of a directory: in which steps, and of which kind."""
    with quark.open(directory) as store:
        (view,) = store.runs()
        assert view.events("layers_unseen") == ()
        return {(record.step, record.module_name, record.summary_type) for record in view.layers()}


class Silent(Tiny):
    """A module that logs nothing: torch cannot compile ``self.log`` of this Lightning."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.net(batch).square().mean()


def compiled_by_hand(module: Tiny) -> Any:
    return torch.compile(module, backend="eager")


def compiled_in_place(module: Tiny) -> Any:
    module.compile(backend="eager")
    return module


def compiled_inside(module: Tiny) -> Any:
    module.net = torch.compile(module.net, backend="eager")  # type: ignore[assignment]
    return module


@pytest.mark.parametrize("way", [compiled_by_hand, compiled_in_place, compiled_inside])
def test_lightning(tmp_path: Path, way: Callable[[Tiny], Any]) -> None:
    """A compiled module, however it was compiled, and one with a compiled part."""
    fit(tmp_path / "alone", module=way(Silent()), val=None, max_steps=4)
    alone = graphs()
    callback = LightningCallback(storage_dir=tmp_path, hooks=HOOKS)
    fit(tmp_path, module=way(Silent()), val=None, callbacks=[callback], max_steps=4)
    assert graphs() == alone
    assert seen(tmp_path) == {(step, "net", kind) for step in (0, 2) for kind in ("activation", "gradient")}


def test_transformers(tmp_path: Path) -> None:
    """``torch_compile=True`` of the Trainer."""
    bare = TransformersCallback(storage_dir=tmp_path / "bare", hooks=HOOKS)
    trainer(tmp_path / "bare", bare, max_steps=4).train()
    assert graphs() == 0
    options = {"torch_compile": True, "torch_compile_backend": "eager", "max_steps": 4}
    trainer(tmp_path / "alone", **options).train()
    alone = graphs()
    callback = TransformersCallback(storage_dir=tmp_path / "compiled", hooks=HOOKS)
    trainer(tmp_path / "compiled", callback, **options).train()
    assert graphs() == alone > 0
    assert seen(tmp_path / "compiled") == seen(tmp_path / "bare") != set()


class Blocks(nn.Module):
    """Repeated layers, which Accelerate compiles one by one if told so."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])
        self.last = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(x)


@pytest.mark.parametrize(("regional", "prepared"), [(False, False), (True, False), (True, True)])
def test_accelerate(tmp_path: Path, regional: bool, prepared: bool) -> None:
    """``dynamo_backend``, for the whole or by regions, watched before or after ``prepare``."""

    def train(run: Any) -> None:
        plugin = TorchDynamoPlugin(backend=DynamoBackend.EAGER, use_regional_compilation=regional)
        made = Accelerator(cpu=True, dynamo_plugin=plugin)
        bare = Blocks()
        model, optimizer = made.prepare(bare, torch.optim.SGD(bare.parameters(), 0.1))
        if run is not None:
            run.watch(model if prepared else bare, optimizer, every=2)
        for _ in range(4) if run is None else run.steps(range(4)):
            made.backward(model(torch.ones(4, 2)).square().mean())
            optimizer.step()
            optimizer.zero_grad()

    train(None)
    alone = graphs()
    with quark.start_run(project="compiled", storage_dir=tmp_path, analyze=False) as run:
        train(run)
    assert graphs() == alone > 0
    names = ("blocks.0", "blocks.1", "last")
    assert seen(tmp_path) == {(s, name, kind) for s in (0, 2) for name in names for kind in ("activation", "gradient")}


@pytest.mark.parametrize("inner", [False, True])
def test_distributed_data_parallel(tmp_path: Path, inner: bool) -> None:
    """A compiled network in DDP and a compiled DDP, whose exchange of gradients is timed as ever."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        bare = Blocks()
        if inner:
            model: Any = nn.parallel.DistributedDataParallel(torch.compile(bare, backend="eager"))
        else:
            model = torch.compile(nn.parallel.DistributedDataParallel(bare), backend="eager")
        optimizer = torch.optim.SGD(bare.parameters(), 0.1)
        with quark.start_run(project="compiled", storage_dir=tmp_path, analyze=False) as run:
            run.watch(model, optimizer, every=2)
            for _ in run.steps(range(4)):
                model(torch.ones(4, 2)).square().mean().backward()
                optimizer.step()
        exchange, times = GradientExchange(model, 1), {}
        for _ in range(20):
            model(torch.ones(4, 2)).square().mean().backward()
            times |= exchange.times()
    finally:
        torch.distributed.destroy_process_group()
    assert {name for _, name, _ in seen(tmp_path)} == {"blocks.0", "blocks.1", "last"}
    assert list(times) == ["system/runtime/sync_time_ms"]
