"""How fast a training goes: times of its steps, samples a second, and what the machine does, for any framework."""

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

import quark

MACHINE_EVERY_NS = 1_000_000_000
"""A full record of the machine and a throughput are kept this often; the times of every step are metrics."""


class Pace:
    """Measures the steps of a training; a step is one batch, or several whose gradients add up.

    Each batch is ``asked`` for, ``begins`` and is ``through``; each step ``ends`` with its last batch. Cold caches make
    every call dear beside a step of a network, so few are needed.

    Args:
        run: the session; a SystemTelemetry that its user attached measures by itself, and nothing is measured twice.
        wanted: whether times and the machine are recorded at all.
    """

    def __init__(self, run: Any, *, wanted: bool) -> None:
        self._primary = run.rank == 0
        self._telemetry = telemetry_for(run) if wanted else None
        self._asked = self._begun = perf_counter_ns()
        self._within = False
        self._batch = 0, 0
        self._data_ns = self._compute_ns = 0
        self._window_ns = self._samples = self._tokens = 0
        self._due = 0

    def close(self) -> None:
        """The training is over: what else goes on in the run measures its steps itself."""
        let_go(self._telemetry)
        self._telemetry = None

    def asked(self) -> None:
        """The next batch is asked for from now on."""
        self._asked = perf_counter_ns()

    def paused(self, seconds: float) -> None:
        """Something else took time, within a batch or between two."""
        if self._within:
            self._asked += int(seconds * 1e9)
            self._begun += int(seconds * 1e9)
        else:
            self._asked = perf_counter_ns()

    def begins(self, samples: int, tokens: int = 0) -> None:
        """A batch of so many samples (and tokens, where they are known) is there, and the training on it begins."""
        self._begun = perf_counter_ns()
        self._batch = samples, tokens
        self._within = True

    def through(self, now_ns: int) -> None:
        """The batch was through at ``now_ns`` of ``time.perf_counter_ns``, and the next one is asked for."""
        samples, tokens = self._batch
        self._samples += samples
        self._tokens += tokens
        self._data_ns += self._begun - self._asked
        self._compute_ns += now_ns - self._begun
        self._window_ns += now_ns - self._asked
        self._asked = now_ns
        self._within = False

    def ends(self, row: dict[str, Any], step: int, epoch: int) -> None:
        """The step is through: its times come into ``row``; once a second the machine is recorded, and the throughput.

        The record of the machine holds the times of its step, and brings them as metrics too.
        """
        if self._within:
            self.through(perf_counter_ns())
        data, compute, telemetry = self._data_ns, self._compute_ns, self._telemetry
        self._data_ns = self._compute_ns = 0
        if telemetry is None:
            return
        if self._begun < self._due:
            if self._primary:
                row["system/runtime/step_time_ms"] = (data + compute) // 100 / 10_000
                row["system/runtime/data_time_ms"] = data // 100 / 10_000
                row["system/runtime/compute_time_ms"] = compute // 100 / 10_000
            return
        first, self._due = self._due == 0, self._begun + MACHINE_EVERY_NS
        telemetry.record_step(
            step, epoch=epoch, step_time_ms=(data + compute) / 1e6, data_time_ms=data / 1e6,
            compute_time_ms=compute / 1e6,
        )  # fmt: skip
        rate = self.throughput()
        if not first:  # the first step warms up, and tells nothing of the pace
            row.update(rate)

    def throughput(self) -> dict[str, float]:
        """Samples and tokens a second of this process since the last call; without what nobody counted."""
        seconds, samples, tokens = self._window_ns / 1e9, self._samples, self._tokens
        self._window_ns = self._samples = self._tokens = 0
        if not self._primary or self._telemetry is None or seconds <= 0:
            return {}
        amounts = {"system/throughput/samples_per_s": samples, "system/throughput/tokens_per_s": tokens}
        return {key: amount / seconds for key, amount in amounts.items() if amount}


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
