"""Trainings of a small network that is compiled in one of the ways in which people compile."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from quark import (
    HookEngine,
    HookEngineConfig,
    HookScheduleConfig,
    LayerSummaryRecord,
    ParameterDiagnostics,
    ParameterDiagnosticsConfig,
    ParameterSummaryRecord,
)
from quark.testing import MemoryRunHandle

LAYERS = ("first", "blocks.0", "blocks.1", "act", "last")
Way = Callable[["Network", dict[str, Any]], tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]]


class Network(nn.Module):
    """Layers by themselves and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.act = nn.Tanh()
        self.last = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = self.act(block(x))
        return self.last(x)


def bare(model: Network, options: dict[str, Any]) -> Any:
    return model, model


def watched_before(model: Network, options: dict[str, Any]) -> Any:
    return model, torch.compile(model, **options)


def watched_after(model: Network, options: dict[str, Any]) -> Any:
    compiled = torch.compile(model, **options)
    return compiled, compiled


def in_place(model: Network, options: dict[str, Any]) -> Any:
    model.compile(**options)
    return model, model


def forward_method(model: Network, options: dict[str, Any]) -> Any:
    model.forward = torch.compile(model.forward, **options)  # type: ignore[method-assign]
    return model, model


def parts(model: Network, options: dict[str, Any]) -> Any:
    model.blocks[0].compile(**options)
    model.last = torch.compile(model.last, **options)  # type: ignore[assignment]
    return model, model


def function_around(model: Network, options: dict[str, Any]) -> Any:
    return model, torch.compile(lambda x: model(x) * 1.0, **options)


def within_a_model(model: Network, options: dict[str, Any]) -> Any:
    whole = nn.Sequential(torch.compile(model, **options))  # type: ignore[arg-type]
    return whole[0], whole


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        watched_before, watched_after, in_place, forward_method, parts, function_around, within_a_model
    )
}  # fmt: skip


class Trained(NamedTuple):
    """What a training made."""

    losses: list[float]
    graphs: int
    layers: list[LayerSummaryRecord]
    parameters: list[ParameterSummaryRecord]


def graphs() -> int:
    """How many graphs were compiled since the last reset."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def trained(
    way: Way, options: dict[str, Any], *, watch: bool = True, compiled: str = "eager", start: int = 0,
    compile_optimizer: bool = False,
) -> Trained:  # fmt: skip
    """Train five steps, of which every second one is probed from ``start`` on."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    run = MemoryRunHandle()
    watched, call = way(Network(), options)
    optimizer = torch.optim.SGD(watched.parameters(), lr=0.1)
    advance = torch.compile(optimizer.step, **options) if compile_optimizer else optimizer.step
    schedule = HookScheduleConfig(every_n_steps=2, start_step=start)
    watchers: list[Any] = []
    if watch:
        config = HookEngineConfig(schedule=schedule, compiled=compiled)  # type: ignore[arg-type]
        watchers = [
            HookEngine(run, watched, optimizer, config=config),
            ParameterDiagnostics(run, watched, optimizer, config=ParameterDiagnosticsConfig(schedule=schedule)),
        ]
    losses = []
    for step in range(5):
        for watcher in watchers:
            watcher.begin_step(step)
        optimizer.zero_grad()
        loss = call(torch.linspace(-1, 1, 6).reshape(2, 3) * (step + 1)).square().mean()
        loss.backward()
        advance()
        losses.append(float(loss.detach()))
        for watcher in watchers:
            watcher.end_step()
    run.close()
    return Trained(losses, graphs(), run.records(LayerSummaryRecord), run.records(ParameterSummaryRecord))


def figures(records: list[Any]) -> dict[tuple[Any, ...], float]:
    """What records say, each number under the place where it belongs."""
    found: dict[tuple[Any, ...], float] = {}
    for record in records:
        if isinstance(record, LayerSummaryRecord):
            place: tuple[Any, ...] = record.module_name, record.module_type, record.hook_direction, record.call_index
            fields = "mean", "std", "norm", "saturation_ratio", "element_count"
        else:
            place = (record.parameter_name,)
            fields = "weight_norm", "gradient_norm", "update_norm", "element_count"
        values = {field: getattr(record, field) for field in fields}
        found |= {(record.step, *place, field): value for field, value in values.items() if value is not None}
    return found
