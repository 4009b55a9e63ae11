"""One row for each optimizer step: what the module logged, learning rates, times, throughput."""

import time
from collections.abc import Mapping
from typing import Any

import quark

TELEMETRY_EVERY_S = 1.0
"""A full record of the machine and a throughput are kept this often; the times of every step are metrics."""


class StepRows:
    """Measures the batches of a fit and says what goes into the row of a step besides the module's own values.

    Several batches are one step where gradients accumulate. Validations and checkpoints between two batches count
    neither as time for data nor as compute.

    Args:
        run: the session.
        trainer: the Trainer.
        primary: whether this process writes the metrics of the run (rank 0).
        telemetry: whether times and the machine are recorded at all.
        learning_rates: whether the learning rates are recorded.
    """

    def __init__(self, run: Any, trainer: Any, *, primary: bool, telemetry: bool, learning_rates: bool) -> None:
        self._run = run
        self._trainer = trainer
        self._primary = primary
        own = any(getattr(producer, "measures_steps", False) for producer in run.attached)
        self._telemetry = _telemetry_of(run, primary) if telemetry and not own else None
        self._rates = LearningRates() if learning_rates and primary else None
        self._lr: dict[str, Any] = {}
        self._asked: float | None = None
        self._begun = 0.0
        self._data_s = self._compute_s = 0.0
        self._samples = 0
        self._due = 0.0
        self._window_s, self._window_samples = 0.0, -1
        self.extra: dict[str, Any] = {}
        self.between = True

    def resume_clock(self) -> None:
        """The next batch is asked for from now on."""
        self._asked = time.perf_counter()

    def batch_begins(self, batch: Any) -> None:
        """The batch is on its device and the step begins."""
        now = self._begun = time.perf_counter()
        if self._asked is not None:
            self._data_s += now - self._asked
        if self.between:
            self.between = False
            if self._rates is not None:
                self._lr = self._rates.read(self._trainer.optimizers)
        self._samples += samples_in(batch)

    def batch_ends(self) -> None:
        """Forward, backward and the optimizer are through."""
        self._compute_s += time.perf_counter() - self._begun

    def complete(self, step: int, epoch: int) -> dict[str, Any]:
        """The step is done: what is to be recorded of it. The next one begins to be measured."""
        row: dict[str, Any] = {**self._lr, **self.extra}
        if self._telemetry is not None:
            self._measure(self._telemetry, row, step, epoch)
        self.extra = {}
        self.between = True
        self._data_s = self._compute_s = 0.0
        self._samples = 0
        return row

    def _measure(self, telemetry: Any, row: dict[str, Any], step: int, epoch: int) -> None:
        total = self._data_s + self._compute_s
        if self._window_samples < 0:  # the first step warms up, and tells nothing of the pace
            self._window_samples = 0
        else:
            self._window_s += total
            self._window_samples += self._samples
        times = {
            "step_time_ms": round(total * 1e3, 4),
            "data_time_ms": round(self._data_s * 1e3, 4),
            "compute_time_ms": round(self._compute_s * 1e3, 4),
        }
        if self._begun >= self._due:
            self._due = self._begun + TELEMETRY_EVERY_S
            telemetry.record_step(step, epoch=epoch, **times)
            row.update(self.throughput())
        elif self._primary:
            for name, value in times.items():
                row["system/runtime/" + name] = value

    def throughput(self) -> dict[str, float]:
        """Samples a second of this process since the last call; empty where none were counted."""
        seconds, samples = self._window_s, self._window_samples
        self._window_s, self._window_samples = 0.0, 0
        if not self._primary or seconds <= 0.0 or samples <= 0:
            return {}
        return {"system/throughput/samples_per_s": samples / seconds}


class LearningRates:
    """Names and reads the learning rates of the optimizers: ``optimizer/lr``, or one key for each group."""

    def __init__(self) -> None:
        self._shape: list[int] = []
        self._keys: list[list[str]] = []

    def read(self, optimizers: list[Any]) -> dict[str, Any]:
        """The learning rates that the coming step uses."""
        groups = [optimizer.param_groups for optimizer in optimizers]
        shape = [len(group) for group in groups]
        if shape != self._shape:  # groups are added while a network is unfrozen
            self._shape, self._keys = shape, _keys(optimizers)
        return {
            key: group["lr"]
            for keys, found in zip(self._keys, groups, strict=True)
            for key, group in zip(keys, found, strict=True)
            if "lr" in group
        }


def optimizer_names(optimizers: list[Any]) -> list[str]:
    """``optimizer`` for the only one, else ``optimizer/Adam``, ``optimizer/SGD``, ``optimizer/Adam-1``."""
    if len(optimizers) == 1:
        return ["optimizer"]
    names: list[str] = []
    for optimizer in optimizers:
        base = f"optimizer/{type(optimizer).__name__}"
        count = sum(name == base or name.startswith(base + "-") for name in names)
        names.append(f"{base}-{count}" if count else base)
    return names


def _keys(optimizers: list[Any]) -> list[list[str]]:
    return [
        [f"{name}/lr"] if len(optimizer.param_groups) == 1
        else [f"{name}/lr/pg{number}" for number in range(1, len(optimizer.param_groups) + 1)]
        for name, optimizer in zip(optimizer_names(optimizers), optimizers, strict=True)
    ]  # fmt: skip


def _telemetry_of(run: Any, primary: bool) -> Any:
    gpus = bool(run.manifest.environment.get("gpus"))
    config = quark.SystemTelemetryConfig(capture_gpu=gpus, emit_scalar_metrics=primary)
    return quark.SystemTelemetry(run, config=config)


def samples_in(batch: Any, depth: int = 3) -> int:
    """The length of the first tensor of a batch along its first dimension; 0 if there is none."""
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    if depth and isinstance(batch, (list, tuple)) and batch:
        return samples_in(batch[0], depth - 1)
    if depth and isinstance(batch, Mapping) and batch:
        return samples_in(next(iter(batch.values())), depth - 1)
    return 0


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values on the processor as numbers; those on a device stay there, for reading them would wait for it."""
    return {
        name: value.item() if getattr(value, "is_cpu", False) and value.numel() == 1 else value
        for name, value in values.items()
    }


def gradient_norm(optimizer: Any) -> Any:
    """The Euclidean norm of all gradients of an optimizer's parameters as a tensor; None if there are none."""
    import torch

    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    if not gradients:
        return None
    if hasattr(torch.nn.utils, "get_total_norm"):  # since torch 2.6
        return torch.nn.utils.get_total_norm(gradients)
    device = gradients[0].device
    norms = [torch.linalg.vector_norm(gradient).to(device) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms))
