"""A compiled model is watched like any other, and its compiled steps stay what they are."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from quark import EventRecord, HookEngine, HookEngineConfig, HookScheduleConfig, LayerSummaryRecord
from quark.testing import MemoryRunHandle

from .compiling import LAYERS, WAYS, Network, bare, figures, graphs, trained, watched_before

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),  # torch's
]
Run = MemoryRunHandle
EAGER = {"backend": "eager"}
FULL = {"backend": "eager", "fullgraph": True}


@pytest.fixture(autouse=True)
def _own_graphs() -> Iterator[None]:
    """No graph of another test, and none left to the next; the stance is the usual one in the end."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    before = torch._dynamo.eval_frame._stance
    yield
    torch._dynamo.reset()
    left, torch._dynamo.eval_frame._stance = torch._dynamo.eval_frame._stance, before
    assert left is before


def unseen(run: Run) -> list[list[str]]:
    """The layers of which events say that they are not recorded."""
    return [event.payload["layers"] for event in run.records(EventRecord) if event.event_type == "layers_unseen"]


def agree(options: dict[str, Any], way: str, rel: float) -> None:
    """The records are those of the bare network, the losses and the number of graphs those of an unwatched training."""
    expected, alone, found = trained(bare, {}), trained(WAYS[way], options, watch=False), trained(WAYS[way], options)
    assert {record.module_name for record in found.layers} == set(LAYERS)
    assert figures(found.layers) == pytest.approx(figures(expected.layers), rel=rel, abs=1e-6)
    assert figures(found.parameters) == pytest.approx(figures(expected.parameters), rel=rel, abs=1e-6)
    assert found.graphs == alone.graphs > 0
    assert found.losses == pytest.approx(alone.losses, rel=rel)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_compile(way: str) -> None:
    """All layers are seen under the names of the network inside, and not a graph is compiled for it."""
    agree(EAGER if way == "parts" else FULL, way, 1e-6)


@pytest.mark.parametrize("way", ["watched_before", "in_place"])
def test_with_compiled_gradients(way: str) -> None:
    """Nor for a backward pass that is compiled too."""
    agree({"backend": "aot_eager"}, way, 1e-5)


def test_a_compiled_optimizer() -> None:
    """No code of the watcher is compiled into the step of an optimizer."""
    alone = trained(watched_before, EAGER, watch=False, compile_optimizer=True)
    found = trained(watched_before, EAGER, compile_optimizer=True)
    assert found.graphs == alone.graphs
    assert {record.step for record in found.parameters} == {0, 2, 4}
    assert all(record.update_norm for record in found.parameters)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor() -> None:
    """Nor with the default compiler, from which the figures differ by rounding."""
    import torch._inductor.config as inductor

    with inductor.patch(compile_threads=1):  # in this process
        agree({"mode": "reduce-overhead", "fullgraph": True}, "watched_before", 1e-4)


def test_a_model_that_is_compiled_between_probes() -> None:
    """A part that is compiled after the first probe keeps its name and layers, and is told of by nobody."""
    run, model = Run(), Network()
    with HookEngine(run, model) as hooks:
        for step in range(2):
            with hooks.step(step):
                model(torch.ones(2, 3)).sum().backward()
            model.blocks[step].compile(**EAGER)
            if step == 0:
                model.last = torch.compile(model.last, **EAGER)  # type: ignore[assignment,call-overload]
    assert {record.module_name for record in run.records(LayerSummaryRecord) if record.step} == set(LAYERS)
    assert run.records(EventRecord) == []
    run.close()


def test_a_model_and_its_compiled_form_are_one_network() -> None:
    """Who watches both by the same name watches one network; the name of the compiled one is no other."""
    run, model = Run(), Network()
    first = HookEngine(run, model)
    assert first.watches(torch.compile(model, **EAGER))  # type: ignore[call-overload]
    assert HookEngine(run, torch.compile(model, **EAGER)).name is None  # type: ignore[call-overload]
    run.close()


@pytest.mark.parametrize("fullgraph", [True, False])
def test_a_step_that_begins_in_compiled_code(fullgraph: bool) -> None:
    """A training step that is compiled with the watcher's calls in it trains as ever; nothing of it is probed."""
    run, model = Run(), Network()
    hooks = HookEngine(run, model)

    def step(x: torch.Tensor, number: int) -> torch.Tensor:
        hooks.begin_step(number)
        loss = model(x).sum()
        hooks.end_step()
        return loss

    call = torch.compile(step, fullgraph=fullgraph, **EAGER)  # type: ignore[call-overload]
    for number in range(3):
        assert torch.equal(call(torch.ones(2, 3), number), model(torch.ones(2, 3)).sum())
    assert run.records(LayerSummaryRecord) == []
    run.close()


# An evaluation is left to compiled code


def test_an_evaluation_within_a_probed_step() -> None:
    """What follows the training of a probed step in evaluation runs compiled from its second pass on, unrecorded."""
    run, model = Run(), Network()
    call = torch.compile(model, **FULL)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with HookEngine(run, call, optimizer) as hooks, hooks.step(0):
        call(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            for _ in range(3):
                call(torch.ones(2, 3))
        assert graphs() == 1
    records = [record for record in run.records(LayerSummaryRecord) if record.hook_direction == "forward"]
    assert [record.module_name for record in records] == ["first", "blocks.0", "act", "blocks.1", "act", "last"]
    run.close()


def test_a_long_evaluation_before_an_awaited_step() -> None:
    """It runs eagerly for a hundred passes; the training behind it is not recorded, but counts as one."""
    run, model = Run(), Network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    call = torch.compile(model, **FULL)  # type: ignore[call-overload]
    with HookEngine(run, model, optimizer) as hooks:
        hooks.await_step(1)
        model.eval()
        with torch.no_grad():
            for _ in range(101):
                call(torch.ones(2, 3))
        model.train()
        assert graphs() == 1
        assert not hooks.saw_training
        call(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        assert hooks.saw_training
        hooks.end_step()
        assert unseen(run) == []
    run.close()


def test_steps_that_nobody_names() -> None:
    """A training that never names a step runs eagerly for as long as its passes are recorded, and compiled then."""
    run, model = Run(), Network()
    call = torch.compile(model, **FULL)  # type: ignore[call-overload]
    with HookEngine(run, model) as hooks:
        hooks.await_step(0)
        for _ in range(102):
            call(torch.ones(2, 3)).sum().backward()
        assert graphs() == 1
        hooks.discard()
    run.close()


# What cannot be seen is told


def test_compiled_code_that_is_left_alone() -> None:
    """With compiled='skip' nothing inside is recorded and no probed step runs eagerly, and it is told once."""
    alone = trained(watched_before, EAGER, watch=False)
    found = trained(watched_before, EAGER, compiled="skip", start=1)
    assert (found.layers, found.graphs, found.losses) == ([], alone.graphs, alone.losses)
    assert len(found.parameters) > 0
    run, model = Run(), Network()
    call = torch.compile(model, **FULL)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    config = HookEngineConfig(compiled="skip", schedule=HookScheduleConfig(start_step=1))
    with HookEngine(run, model, optimizer, config=config) as hooks:
        for step in range(3):
            with hooks.step(step):
                call(torch.ones(2, 3)).sum().backward()
                optimizer.step()
    assert unseen(run) == [list(LAYERS)]
    run.close()


def test_a_compiled_module_that_is_left_alone_is_one_layer() -> None:
    """With compiled='skip' the output of the compiled model itself is recorded."""
    run = Run()
    call = torch.compile(Network(), **EAGER)  # type: ignore[call-overload]
    with HookEngine(run, call, config=HookEngineConfig(compiled="skip")) as hooks, hooks.step(0):
        call(torch.ones(2, 3)).sum().backward()
    assert [record.module_name for record in run.records(LayerSummaryRecord)] == ["(model)", "(model)"]
    assert unseen(run) == []
    run.close()


def test_a_torch_that_cannot_run_compiled_code_eagerly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """torch before 2.6, for which its function is taken away here: a warning and an event name the compiled modules."""
    run, model = Run(), Network()
    model.blocks[0].compile(**EAGER)
    call = torch.compile(model.last, **EAGER)  # type: ignore[call-overload]
    model.last = call
    monkeypatch.delattr(torch.compiler, "set_stance")
    with HookEngine(run, model) as hooks:
        with hooks.step(0):
            model(torch.ones(2, 3)).sum().backward()
        assert unseen(run) == [["blocks.0", "last"]]
    assert "torch 2.6" in caplog.text
    assert {r.module_name for r in run.records(LayerSummaryRecord)} >= {"first", "blocks.1", "act", "last"}
    run.close()


@pytest.mark.parametrize("make", [torch.jit.script, lambda model: torch.jit.trace(model, torch.ones(2, 3))])
def test_a_scripted_model(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A model of torch.jit is one layer, and a warning and an event say so."""
    run = Run()
    model = make(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    with HookEngine(run, model) as hooks, hooks.step(0):
        model(torch.ones(2, 3)).sum().backward()
    assert unseen(run) == [["(model)"]]
    assert caplog.text.count("torch.jit") == 1
    assert [record.module_name for record in run.records(LayerSummaryRecord)] == ["(model)", "(model)"]
    run.close()
