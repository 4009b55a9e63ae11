"""How fast a training goes: times of its steps, samples a second, and what the machine does, for any framework."""

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

import quark

MACHINE_EVERY_NS = 1_000_000_000
"""A full record of the machine and a throughput are kept this often; the times of every step are metrics."""


class Pace:
    """Measures the steps of a training between ``asked`` (for data), ``begins`` and ``ends``, until ``close``.

    Args:
        run: the session; a SystemTelemetry that its user attached measures by itself, and nothing is measured twice.
        wanted: whether times and the machine are recorded at all.
    """

    def __init__(self, run: Any, *, wanted: bool) -> None:
        self._primary = run.rank == 0
        self._telemetry = telemetry_for(run) if wanted else None
        self._asked = self._begun = perf_counter_ns()
        self._data_ns = self._samples = 0
        self._due = 0
        self._window_ns = self._window_samples = 0
        self._within = False

    def close(self) -> None:
        """The training is over: what else goes on in the run measures its steps itself."""
        let_go(self._telemetry)
        self._telemetry = None

    def asked(self) -> None:
        """The next batch is asked for from now on."""
        self._asked = perf_counter_ns()

    def paused(self, seconds: float) -> None:
        """Something else took time, within a step or between two."""
        if self._within:
            self._begun += int(seconds * 1e9)
        else:
            self._asked = perf_counter_ns()

    def begins(self, batch: Any) -> None:
        """The batch is there and the training on it begins."""
        self._begun = perf_counter_ns()
        self._data_ns = self._begun - self._asked
        self._samples = samples_in(batch)
        self._within = True

    def ends(self, step: int, epoch: int) -> dict[str, Any]:
        """The step is through, the next batch is asked for: the metrics of its row."""
        compute, data = perf_counter_ns() - self._begun, self._data_ns
        self._within = False
        row: dict[str, Any] = {}
        if self._telemetry is not None:
            self._window_ns += data + compute
            self._window_samples += self._samples
            times = {
                "step_time_ms": (data + compute) // 100 / 10_000, "data_time_ms": data // 100 / 10_000,
                "compute_time_ms": compute // 100 / 10_000,
            }  # fmt: skip
            if self._begun >= self._due:
                first, self._due = self._due == 0, self._begun + MACHINE_EVERY_NS
                self._telemetry.record_step(step, epoch=epoch, **times)
                rate = self.throughput()
                if not first:  # the first step warms up, and tells nothing of the pace
                    row.update(rate)
            elif self._primary:
                row.update((f"system/runtime/{name}", value) for name, value in times.items())
        self._asked = perf_counter_ns()
        return row

    def throughput(self) -> dict[str, float]:
        """Samples a second of this process since the last call; empty where none were counted."""
        nanoseconds, samples = self._window_ns, self._window_samples
        self._window_ns = self._window_samples = 0
        if not self._primary or nanoseconds <= 0 or samples <= 0:
            return {}
        return {"system/throughput/samples_per_s": samples / (nanoseconds / 1e9)}


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


def telemetry_for(run: Any) -> Any:
    """The telemetry that a training measures its steps with; None where the user's own does so, or nothing is recorded.

    Several trainings in one run use the same one, one after another: each lets go of it at its end.
    """
    if run.disabled or any(getattr(producer, "measures_steps", False) for producer in run.attached):
        return None
    telemetry = next((producer for producer in run.attached if getattr(producer, "serves_a_pace", False)), None)
    if telemetry is None:
        gpus = bool(run.manifest.environment.get("gpus"))
        config = quark.SystemTelemetryConfig(capture_gpu=gpus, emit_scalar_metrics=run.rank == 0)
        telemetry = quark.SystemTelemetry(run, config=config)
        telemetry.serves_a_pace = True  # type: ignore[attr-defined]  # read above
    telemetry.measures_steps = True
    return telemetry


def let_go(telemetry: Any) -> None:
    """The training is over: what else goes on in the run measures its steps itself."""
    if telemetry is not None:
        telemetry.measures_steps = False
