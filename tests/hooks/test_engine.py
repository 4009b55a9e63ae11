"""The schedule, the life of an engine, reading back, bad input, and faults that the training must not feel."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import quark
from quark import (
    ClosedError,
    HookEngine,
    HookEngineConfig,
    HookScheduleConfig,
    LayerFilterConfig,
    LayerSummaryRecord,
    SchemaValidationError,
    TrainingSession,
    WrongTypeError,
)
from quark.testing import MemoryRunHandle

from .watching import places, probed

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("kernel")]
Run = MemoryRunHandle


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def train(model: nn.Module) -> None:
    model(torch.randn(2, 3)).sum().backward()


def filtered(**filters: Any) -> HookEngineConfig:
    return HookEngineConfig(filters=LayerFilterConfig(**filters))


# Schedule


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, list(range(12))),
        ({"every_n_steps": 5}, [0, 5, 10]),
        ({"every_n_steps": 5, "start_step": 2}, [2, 7]),
        ({"every_n_steps": 2, "start_step": 3, "stop_step": 7}, [3, 5, 7]),
        ({"every_n_steps": None, "explicit_steps": (1, 8)}, [1, 8]),
        ({"every_n_steps": 10, "stop_step": 5, "explicit_steps": (9,)}, [0, 9]),
        ({"every_n_steps": None}, []),
    ],
)
def test_the_schedule(run: Run, schedule: dict[str, Any], expected: list[int]) -> None:
    """The cadence runs from start_step to stop_step, both included; explicit steps are probed in any case."""
    hooks = HookEngine(run, network(), config=HookEngineConfig(schedule=HookScheduleConfig(**schedule)))
    assert [step for step in range(12) if hooks.should_probe(step)] == expected
    begun = []
    for step in range(12):
        with hooks.step(step) as probed_now:
            begun += [step] if probed_now else []
    assert begun == expected


def test_begin_and_end_by_hand(run: Run) -> None:
    """The explicit form; ending twice, beginning a step again or another one in between does no harm."""
    model = network()
    hooks = HookEngine(run, model)
    hooks.end_step()
    assert hooks.begin_step(3, epoch=1)
    assert hooks.begin_step(3)
    train(model)
    assert hooks.begin_step(4)
    train(model)
    hooks.end_step()
    hooks.end_step()
    train(model)
    found = run.records(LayerSummaryRecord)
    assert [(record.step, record.epoch) for record in found] == [(3, 1)] * 6 + [(4, None)] * 6


def test_a_backward_pass_after_the_step_is_not_recorded(run: Run) -> None:
    """What the step did not see is not of the step."""
    model = network()
    with HookEngine(run, model) as hooks:
        with hooks.step(0):
            loss = model(torch.randn(2, 3)).sum()
        loss.backward()
    assert {record.hook_direction for record in run.records(LayerSummaryRecord)} == {"forward"}


def test_an_exception_in_the_step(run: Run) -> None:
    """What was seen before it is recorded, the hooks come off, and the exception goes on."""
    model = network()
    hooks = HookEngine(run, model)
    with pytest.raises(ZeroDivisionError), hooks.step(0):
        model(torch.randn(2, 3))
        _ = 1 / 0
    assert len(run.records(LayerSummaryRecord)) == 3
    assert not any(module._forward_hooks for module in model)


def test_the_run_closes_its_engine(run: Run) -> None:
    """The end of a run ends the step that is going on; a closed engine probes nothing."""
    model = network()
    hooks = HookEngine(run, model)
    hooks.begin_step(0)
    train(model)
    run.close()
    assert hooks.closed
    assert len(run.records(LayerSummaryRecord)) == 6
    assert not any(module._forward_hooks for module in model)
    assert not hooks.should_probe(1)
    assert not hooks.begin_step(1)
    hooks.close()


def test_a_run_that_is_off() -> None:
    """With QUARK_DISABLE nothing is probed."""
    run = MemoryRunHandle(disabled=True)
    model = network()
    with HookEngine(run, model) as hooks, hooks.step(0) as probed_now:
        train(model)
    assert not probed_now
    assert run.journal.written == []


# Reading


def test_flush_returns_what_is_new(run: Run) -> None:
    """The summaries since the last flush, at most batch_size of them, the last ones."""
    model = network()
    with HookEngine(run, model, config=HookEngineConfig(batch_size=4)) as hooks:
        with hooks.step(0):
            train(model)
        assert places(list(hooks.flush())) == places(run.records(LayerSummaryRecord))[-4:]
        assert hooks.flush() == ()


def test_a_real_run(tmp_path: Path) -> None:
    """Through the journal and the store and back: every filter works, and the records are those of the flush."""
    model = network()
    with TrainingSession.start_run(project="p", storage_dir=tmp_path) as session:
        hooks = HookEngine(session, model)
        for step in range(3):
            with hooks.step(step, epoch=step // 2):
                train(model)
        flushed = hooks.flush()
        everything = hooks.read()
        assert everything == flushed
        assert len(everything) == 18
        assert len(hooks.read(module_name="1")) == 6
        assert len(hooks.read(module_type="Linear", summary_type="gradient")) == 6
        assert len(hooks.read(hook_direction="backward", step_min=1, step_max=1)) == 3
        assert len(hooks.read(epoch=0, limit=5)) == 5
        assert len(hooks.read(epoch_min=1, step=2)) == 6
        with pytest.raises(SchemaValidationError, match="summary_type"):
            hooks.read(summary_type="weights")
    with quark.open(tmp_path) as store:
        assert len(list(store.run(session.run_id).records("layer"))) == 18


def test_a_context_does(tmp_path: Path) -> None:
    """An engine takes the RunContext of an open session, as every producer does."""
    with TrainingSession.start_run(project="p", storage_dir=tmp_path) as session:
        assert HookEngine(session.context, network()).instrumented_module_names == ("0", "1", "2")


# Filters


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["0", "1", "2"]),
        ({"include_names": ("2", "0")}, ["0", "2"]),
        ({"exclude_names": ("0",)}, ["1", "2"]),
        ({"include_types": ("ReLU", "Conv2d")}, ["1"]),
        ({"include_types": ("torch.nn.modules.linear.Linear",)}, ["0", "2"]),
        ({"exclude_types": ("Linear",)}, ["1"]),
        ({"include_name_patterns": ("^[01]$",), "exclude_name_patterns": ("1",)}, ["0"]),
        ({"include_types": ("Linear",), "include_names": ("0", "1")}, ["0"]),
        ({"leaf_modules_only": False}, ["(model)", "0", "1", "2"]),
        ({"leaf_modules_only": False, "exclude_names": ("(model)",)}, ["0", "1", "2"]),
    ],
)
def test_filters(run: Run, filters: dict[str, Any], expected: list[str]) -> None:
    """Names, types and patterns narrow the layers down, and what is excluded stays out."""
    assert list(HookEngine(run, network(), config=filtered(**filters)).instrumented_module_names) == expected


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"include_types": ("linear",)}, r"'linear'.*nearest.*Linear"),
        ({"exclude_types": ("Relu",)}, r"'Relu'.*nearest.*ReLU"),
        ({"include_types": ("BatchNorm2d",)}, r"fits no module.*include_types.*Linear, ReLU"),
        ({"include_names": ("encoder.1",)}, r"'encoder.1'.*it has \(model\), 0, 1, 2"),
        ({"exclude_names": ("3",)}, r"exclude_names.*'3'"),
        ({"include_name_patterns": ("^encoder",)}, r"'\^encoder'.*it has"),
        ({"include_types": ("Linear",), "exclude_types": ("Linear",)}, "fits no module"),
    ],
)
def test_a_filter_that_fits_nothing(run: Run, filters: dict[str, Any], says: str) -> None:
    """A name, type or pattern without a module is an error that names the nearest ones."""
    with pytest.raises(SchemaValidationError, match=says):
        HookEngine(run, network(), config=filtered(**filters))


def test_the_nearest_of_many_names(run: Run) -> None:
    """A misspelt name of a large model is told what was probably meant."""
    model = nn.ModuleDict({"encoder": nn.ModuleList([nn.Linear(1, 1) for _ in range(30)]), "head": nn.Linear(1, 1)})
    with pytest.raises(SchemaValidationError, match=r"nearest are .*encoder\.17"):
        HookEngine(run, model, config=filtered(include_names=("encodr.17",)))


# Bad input


def test_bad_configurations() -> None:
    """An invalid regular expression and a negative cadence are refused when they are built."""
    with pytest.raises(SchemaValidationError, match="regular expressions"):
        LayerFilterConfig(include_name_patterns=("(",))
    with pytest.raises(SchemaValidationError, match="every_n_steps"):
        HookScheduleConfig(every_n_steps=-1)


@pytest.mark.parametrize("model", [nn.Sequential(), nn.ModuleList(), nn.Module()])
def test_a_model_without_layers(run: Run, model: nn.Module) -> None:
    """There is nothing to watch, and the message says so."""
    with pytest.raises(SchemaValidationError, match="must have layers"):
        HookEngine(run, model)


def test_wrong_types(run: Run) -> None:
    """Arguments of a wrong type are refused by name, whatever the policy of the run."""
    with pytest.raises(WrongTypeError, match="model must be"):
        HookEngine(run, "resnet18")
    with pytest.raises(WrongTypeError, match="config must be"):
        HookEngine(run, network(), config=HookScheduleConfig())  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match="optimizer must be"):
        HookEngine(run, network(), HookEngineConfig())
    with pytest.raises(WrongTypeError, match="grad_scale must be"):
        HookEngine(run, network(), grad_scale="auto")
    with pytest.raises(WrongTypeError, match="TrainingSession"):
        HookEngine("run-1", network())


@pytest.mark.parametrize("step", [-1, 1.5, None, "3", True])
def test_bad_steps(run: Run, lenient: Run, step: Any) -> None:
    """A step that is no whole number of at least 0 raises in strict mode; else it is refused and not probed."""
    with pytest.raises((SchemaValidationError, WrongTypeError)):
        HookEngine(run, network()).begin_step(step)
    hooks = HookEngine(lenient, network())
    assert not hooks.begin_step(step)
    assert len(lenient.refused) == 1


# Faults


class Odd:
    """An output that raises when it is looked into."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


class Odds(nn.Module):
    """A layer whose output is a mapping that raises."""

    def forward(self, x: torch.Tensor) -> Any:
        class Raising(dict):  # type: ignore[type-arg]
            def items(self) -> Any:
                raise LookupError("not now")

        made = Raising()
        made["x"] = x
        return made


def test_a_fault_in_a_hook_is_not_felt(lenient: Run) -> None:
    """Outside strict mode a fault counts under its cause, the layers around it are recorded, the training goes on."""
    model = nn.Sequential(nn.Linear(3, 3), Odds())
    records = probed(lenient, model, lambda: model(torch.randn(2, 3))["x"].sum().backward())
    assert [(cause, type(error)) for cause, error in lenient.reported] == [("hook_forward", LookupError)]
    assert places(records) == [("0", "forward", 0), ("0", "backward", 0)]


def test_a_fault_in_a_hook_is_raised_on_demand(run: Run, lenient: Run) -> None:
    """Strict mode raises it in the training; raise_on_error overrides strict mode, both ways."""
    model = nn.Sequential(nn.Linear(3, 3), Odds())
    x = torch.randn(2, 3)
    with pytest.raises(LookupError):
        probed(run, model, lambda: model(x))
    with pytest.raises(LookupError):
        probed(lenient, model, lambda: model(x), config=HookEngineConfig(raise_on_error=True))
    probed(run, model, lambda: model(x), config=HookEngineConfig(raise_on_error=False))
    assert not any(module._forward_hooks for module in model)


def test_a_fault_in_a_backward_hook(lenient: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale that cannot be had is a fault of the backward hooks; gradients arrive all the same."""
    model = network()

    def broken() -> float:
        raise OSError("no scale")

    probed(lenient, model, lambda: train(model), grad_scale=broken)
    assert [cause for cause, _ in lenient.reported] == ["hook_backward"]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_run_that_has_ended(lenient: Run) -> None:
    """Records that a journal refuses are refused, not raised."""

    def refuse(number: int, line: bytes) -> bool:
        raise ClosedError("over")

    model = network()
    hooks = HookEngine(lenient, model)
    hooks.begin_step(0)
    train(model)
    lenient.journal.put = refuse  # type: ignore[method-assign]
    hooks.end_step()
    assert [type(error) for _, error in lenient.refused] == [ClosedError]


def test_a_program_that_raises_on_underflow(run: Run) -> None:
    """NumPy told to raise on underflow does not raise in a hook: gradients have small squares."""
    import numpy as np

    model = nn.Sequential(nn.Linear(3, 3), nn.Identity())
    with np.errstate(all="raise"):
        records = probed(run, model, lambda: (model(torch.randn(200, 3)).sum() * 1e-30).backward())
    assert records[-1].norm == pytest.approx(600**0.5 * 1e-30)


def test_threads(run: Run) -> None:
    """Two threads that use the model at once are both seen."""
    model = network()
    with HookEngine(run, model, config=HookEngineConfig(capture_backward=False)) as hooks, hooks.step(0):
        threads = [threading.Thread(target=model, args=(torch.randn(200, 3),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(run.records(LayerSummaryRecord)) == 12
