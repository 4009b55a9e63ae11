"""One row for each step of a Trainer: learning rates, times, throughput."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ..pace import let_go, telemetry_for

TELEMETRY_EVERY_NS = 1_000_000_000
"""A full record of the machine and a throughput are kept this often; the times of every step are metrics."""


class StepClock:
    """Measures the steps of a training; a step is one of the optimizer, whose gradients may be those of many batches.

    Evaluations and checkpoints between two steps count neither as time for data nor as compute.

    Args:
        run: the session.
        primary: whether this process writes the metrics of the run (rank 0).
        telemetry: whether times and the machine are recorded at all.
        learning_rates: whether the learning rates are recorded.
    """

    def __init__(self, run: Any, *, primary: bool, telemetry: bool, learning_rates: bool) -> None:
        self._primary = primary
        self._telemetry = telemetry_for(run) if telemetry else None
        self._rates = learning_rates and primary
        self._row: dict[str, Any] = {}
        self._asked = self._begun = time.perf_counter_ns()
        self._samples = self._tokens = 0
        self._due = 0
        self._window_ns = self._window_samples = self._window_tokens = 0

    def close(self) -> None:
        """The training is over."""
        let_go(self._telemetry)
        self._telemetry = None

    def asks(self) -> None:
        """The data of the next step is asked for from now on."""
        self._asked = time.perf_counter_ns()

    def counts(self, batches: Iterable[Any], main_input: str) -> None:
        """These are the batches of the next step, on this process."""
        for batch in batches:
            tensors = batch if isinstance(batch, Mapping) else {}
            inputs: Any = tensors.get(main_input, next(iter(tensors.values()), None))
            if getattr(inputs, "shape", None):
                self._samples += inputs.shape[0]
                self._tokens += inputs.numel() if main_input == "input_ids" and main_input in tensors else 0

    def begins(self, optimizer: Any) -> None:
        """The data is here and the step begins."""
        self._begun = time.perf_counter_ns()
        if self._rates and optimizer is not None:
            self._row = learning_rates(optimizer)

    def add(self, key: str, value: Any) -> None:
        """A further value of the step that is going on."""
        self._row[key] = value

    def ends(self, step: int, epoch: int) -> dict[str, Any]:
        """The step is done: what is to be recorded of it."""
        now = time.perf_counter_ns()
        row, data, compute = self._row, max(self._begun - self._asked, 0), now - self._begun
        samples, tokens = self._samples, self._tokens
        self._row, self._samples, self._tokens, self._asked = {}, 0, 0, now
        if self._telemetry is None:
            return row
        self._window_ns += data + compute
        self._window_samples += samples
        self._window_tokens += tokens
        if now >= self._due:
            first, self._due = self._due == 0, now + TELEMETRY_EVERY_NS
            self._telemetry.record_step(
                step, epoch=epoch, step_time_ms=(data + compute) / 1e6, data_time_ms=data / 1e6,
                compute_time_ms=compute / 1e6,
            )  # fmt: skip
            rate = self.throughput()
            if not first:  # the first step warms up, and tells nothing of the pace
                row.update(rate)
        elif self._primary:
            row["system/runtime/step_time_ms"] = (data + compute) // 100 / 10_000
            row["system/runtime/data_time_ms"] = data // 100 / 10_000
            row["system/runtime/compute_time_ms"] = compute // 100 / 10_000
        return row

    def throughput(self) -> dict[str, float]:
        """Samples and tokens a second of this process since the last call; without what nobody counted."""
        seconds, samples, tokens = self._window_ns / 1e9, self._window_samples, self._window_tokens
        self._window_ns = self._window_samples = self._window_tokens = 0
        if not self._primary or seconds <= 0:
            return {}
        amounts = {"system/throughput/samples_per_s": samples, "system/throughput/tokens_per_s": tokens}
        return {key: amount / seconds for key, amount in amounts.items() if amount}


def learning_rates(optimizer: Any) -> dict[str, Any]:
    """The learning rates that the coming step uses: ``optimizer/lr``, or one key for each group that has its own."""
    rates = [group["lr"] for group in optimizer.param_groups if "lr" in group]
    if not rates or rates.count(rates[0]) == len(rates):  # Transformers makes two groups, with and without decay
        return {"optimizer/lr": rates[0]} if rates else {}
    return {f"optimizer/lr/pg{number}": rate for number, rate in enumerate(rates, start=1)}


def epoch_of(state: Any) -> int:
    """The epoch, from 0, that the last step of a training belongs to; Transformers counts parts of epochs done."""
    return max(-int(-(state.epoch or 0.0) // 1) - 1, 0)
