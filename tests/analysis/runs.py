"""Runs that are written into memory through the public way of records, for the tests of the rules."""

import math
import random
from collections.abc import Callable, Iterable
from typing import Any

from quark import (
    AlertRecord,
    AnalyzerEngine,
    AnalyzerEngineConfig,
    AnalyzerResult,
    BatchDiagnosticRecord,
    EventRecord,
    LayerSummaryRecord,
    ParameterSummaryRecord,
    SystemTelemetryRecord,
)
from quark.testing import MemoryRunHandle


def losses(run: MemoryRunHandle, values: Iterable[float], key: str = "train/loss", **more: Any) -> None:
    """One loss a step."""
    for step, value in enumerate(values):
        run.log_values({key: value}, step=step, **more)


def falling(count: int = 400, *, noise: float = 0.05, start: float = 2.3, seed: int = 0) -> list[float]:
    """A loss that falls as losses do, with noise that shrinks with it."""
    rng = random.Random(seed)
    return [(start * math.exp(-step / (count / 4)) + 0.1) * math.exp(rng.gauss(0, noise)) for step in range(count)]


def gradient(run: MemoryRunHandle, name: str, norm: float | None, step: int | None, count: int = 100) -> None:
    """A summary of a gradient."""
    run.emit(LayerSummaryRecord, {
        "module_name": name, "module_type": "Linear", "summary_type": "gradient", "hook_direction": "backward",
        "norm": norm, "element_count": count,
    }, step=step)  # fmt: skip


def activation(run: MemoryRunHandle, name: str, step: int, *, kind: str = "ReLU", metadata: Any = None,
               **fields: Any) -> None:  # fmt: skip
    """A summary of an activation; by default a lively one."""
    given = {"norm": 10.0, "std": 0.8, "element_count": 100, "dead_unit_ratio": 0.5, **fields}
    run.emit(LayerSummaryRecord, {
        "module_name": name, "module_type": kind, "summary_type": "activation", "hook_direction": "forward",
        "metadata": {"unit_dead_ratio": 0.0} if metadata is None else metadata, **given,
    }, step=step)  # fmt: skip


def parameter(
    run: MemoryRunHandle, name: str, step: int, *, weight: float | None = 10.0, grad: float | None = 0.1,
    update: float | None = 0.01, shape: tuple[int, ...] = (10, 10), metadata: Any = None,
) -> None:  # fmt: skip
    """A summary of a parameter; by default one that moves by 1/1000."""
    run.emit(ParameterSummaryRecord, {
        "parameter_name": name, "element_count": math.prod(shape), "parameter_shape": shape, "weight_norm": weight,
        "gradient_norm": grad, "update_norm": update, "metadata": metadata or {},
    }, step=step)  # fmt: skip


def event(run: MemoryRunHandle, event_type: str, at: int | None = None, /, **payload: Any) -> None:
    """An event."""
    run.emit(EventRecord, {"event_type": event_type, "severity": "info", "payload": payload}, step=at)


def telemetry(run: MemoryRunHandle, step: int, **fields: Any) -> None:
    """A look at the machine."""
    run.emit(SystemTelemetryRecord, {"boundary": "step", **fields}, step=step)


def batch(run: MemoryRunHandle, step: int, loss: float, **fields: Any) -> None:
    """A batch."""
    run.emit(BatchDiagnosticRecord, {"loss": loss, **fields}, step=step)


def analyzed(run: MemoryRunHandle, **config: Any) -> AnalyzerResult:
    """What the engine says of the run."""
    return AnalyzerEngine(run, config=AnalyzerEngineConfig(**config)).analyze()


def alerts(run: MemoryRunHandle, **config: Any) -> dict[str, AlertRecord]:
    """The alerts by rule; the last of each."""
    return {alert.rule_id: alert for alert in analyzed(run, **config).alerts}


def made(build: Callable[[MemoryRunHandle], None]) -> MemoryRunHandle:
    """A run that ``build`` filled."""
    run = MemoryRunHandle()
    build(run)
    return run
