"""The training steps of a fit: how long each took, and one row with that and what the module logged."""

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

from ..optimizers import LearningRates
from ..pace import let_go, samples_in, telemetry_for
from .recording import Recording
from .taps import current_step, is_accumulating

TELEMETRY_EVERY_NS = 1_000_000_000
"""A full record of the machine and a throughput are kept this often; the times of every step are metrics."""

STOP_EVERY = 50
"""In a job of many processes all must agree to stop, which costs a message; they ask each other this often (steps)."""


class Steps:
    """Measures and records the training steps of a fit, and passes on that the training is to stop.

    Several batches are one step where gradients accumulate. Validations and checkpoints between two batches count
    neither as time for data nor as compute. After a step of the model every function finds cold caches and costs five
    times what it costs in a loop of its own, so few are called.

    Args:
        recording: the run.
        trainer: the Trainer.
        every: in every how many steps a row is recorded; None: when Lightning gives values to its loggers.
        telemetry: whether times and the machine are recorded at all.
        learning_rates: whether the learning rates are recorded.
        engine: the hooks of the layers, or None.
    """

    def __init__(
        self, recording: Recording, trainer: Any, *, every: int | None, telemetry: bool, learning_rates: bool,
        engine: Any = None,
    ) -> None:  # fmt: skip
        run = recording.run
        self._run = run
        self._recording = recording
        self._trainer = trainer
        self._strategy = trainer.strategy
        self._many = trainer.world_size > 1
        self._primary = run.rank == 0
        self._every = every
        self._engine = engine
        self._telemetry: Any = telemetry_for(run) if telemetry else None
        self._rates = LearningRates() if learning_rates and self._primary else None
        self._row: dict[str, Any] = {}
        self._asked = self._begun = perf_counter_ns()
        self._data_ns = self._compute_ns = self._samples = 0
        self._due = 0
        self._window_ns = self._window_samples = 0
        self._epoch = trainer.current_epoch
        self.between = True

    def close(self) -> None:
        """The training is over."""
        let_go(self._telemetry)
        self._telemetry = None

    def epoch_begins(self) -> None:
        """The first batch of an epoch is asked for."""
        self._epoch = self._trainer.current_epoch
        self.resume_clock()

    def resume_clock(self) -> None:
        """The next batch is asked for from now on."""
        self._asked = perf_counter_ns()

    def paused(self, seconds: float) -> None:
        """Something else took time, within a step or between two."""
        if self.between:
            self._asked = perf_counter_ns()
        else:
            self._begun += int(seconds * 1e9)

    def batch_begins(self, batch: Any) -> None:
        """The batch is on its device and the training on it begins."""
        now = self._begun = perf_counter_ns()
        self._data_ns += now - self._asked
        if self.between:
            self.between = False
            if self._rates is not None:
                self._row = self._rates.read(self._strategy.optimizers)
            if self._engine is not None:
                self._engine.begin_step(current_step(self._trainer), epoch=self._epoch)
        self._samples += samples_in(batch)

    def add(self, key: str, value: Any) -> None:
        """A further value of the step that is going on."""
        self._row[key] = value

    def batch_done(self, ended_ns: int, values: Mapping[str, Any], given: bool) -> None:
        """The batch is through.

        Args:
            ended_ns: when, by ``time.perf_counter_ns``.
            values: what the module logged in it.
            given: whether Lightning has given these to its loggers.
        """
        trainer = self._trainer
        self._compute_ns += ended_ns - self._begun
        if trainer.accumulate_grad_batches == 1 or not is_accumulating(trainer):
            self._step_done(current_step(trainer), values, given)
        if self._run.stop_requested or self._many:
            self._heed_stop()
        self._asked = perf_counter_ns()

    def _step_done(self, step: int, values: Mapping[str, Any], given: bool) -> None:
        recording, row, epoch = self._recording, self._row, self._epoch
        recording.last_step, recording.last_epoch = step, epoch
        if self._engine is not None:
            self._engine.end_step()
        if self._telemetry is not None:
            self._measured(row, step)
        self._row = {}
        self._data_ns = self._compute_ns = self._samples = 0
        self.between = True
        if not self._primary or not (given or (self._every is not None and (step + 1) % self._every == 0)):
            return
        if "step" in values:  # the module says at which step its values are to stand
            own, found = recording.placed(self._trainer, values, None)
            self._run.log_values(found, step=own, epoch=epoch)
        else:
            recording.names.add_training(row, values)
        self._run.step(step, row, epoch=epoch)

    def _measured(self, row: dict[str, Any], step: int) -> None:
        """The times of a step; once a second a full record of the machine, which holds them, and the throughput."""
        data, compute, telemetry = self._data_ns, self._compute_ns, self._telemetry
        self._window_ns += data + compute
        self._window_samples += self._samples
        if self._begun < self._due:
            if self._primary:
                row["system/runtime/step_time_ms"] = (data + compute) // 100 / 10_000
                row["system/runtime/data_time_ms"] = data // 100 / 10_000
                row["system/runtime/compute_time_ms"] = compute // 100 / 10_000
            return
        first, self._due = self._due == 0, self._begun + TELEMETRY_EVERY_NS
        telemetry.record_step(
            step, epoch=self._epoch, step_time_ms=(data + compute) / 1e6, data_time_ms=data / 1e6,
            compute_time_ms=compute / 1e6,
        )  # fmt: skip
        rate = self.throughput()
        if not first:  # the first step warms up, and tells nothing of the pace
            row.update(rate)

    def throughput(self) -> dict[str, float]:
        """Samples a second of this process since the last call; empty where none were counted."""
        nanoseconds, samples = self._window_ns, self._window_samples
        self._window_ns = self._window_samples = 0
        if not self._primary or nanoseconds <= 0 or samples <= 0:
            return {}
        return {"system/throughput/samples_per_s": samples / (nanoseconds / 1e9)}

    def _heed_stop(self) -> None:
        """Pass on that somebody wants the training to stop; all processes of a job decide the same at the same step."""
        trainer, stop = self._trainer, self._run.stop_requested
        if self._many:
            if trainer.fit_loop.total_batch_idx % STOP_EVERY:
                return
            stop = self._strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            trainer.should_stop = True
