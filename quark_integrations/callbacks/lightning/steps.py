"""The training steps of a fit: how long each took, and one row with that and what the module logged."""

from collections.abc import Mapping
from typing import Any

from ..optimizers import LearningRates
from ..pace import Pace, samples_in
from .recording import Recording
from .taps import current_step, is_accumulating

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
        self.pace = Pace(run, wanted=telemetry)
        self._rates = LearningRates() if learning_rates and self._primary else None
        self._row: dict[str, Any] = {}
        self._epoch = trainer.current_epoch
        self.between = True

    def epoch_begins(self) -> None:
        """The first batch of an epoch is asked for."""
        self._epoch = self._trainer.current_epoch
        self.pace.asked()

    def batch_begins(self, batch: Any) -> None:
        """The batch is on its device and the training on it begins."""
        self.pace.begins(samples_in(batch))
        if self.between:
            self.between = False
            if self._rates is not None:
                self._row = self._rates.read(self._strategy.optimizers)
            if self._engine is not None:
                self._engine.begin_step(current_step(self._trainer), epoch=self._epoch)

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
        self.pace.through(ended_ns)
        if trainer.accumulate_grad_batches == 1 or not is_accumulating(trainer):
            self._step_done(current_step(trainer), values, given)
        if self._run.stop_requested or self._many:
            self._heed_stop()
        self.pace.asked()

    def _step_done(self, step: int, values: Mapping[str, Any], given: bool) -> None:
        recording, row, epoch = self._recording, self._row, self._epoch
        recording.last_step, recording.last_epoch = step, epoch
        if self._engine is not None:
            self._engine.end_step()
        self.pace.ends(row, step, epoch)
        self._row = {}
        self.between = True
        if not self._primary or not (given or (self._every is not None and (step + 1) % self._every == 0)):
            return
        if "step" in values:  # the module says at which step its values are to stand
            own, found = recording.placed(self._trainer, values, None)
            self._run.log_values(found, step=own, epoch=epoch)
        else:
            recording.names.add_training(row, values)
        self._run.step(step, row, epoch=epoch)

    def _heed_stop(self) -> None:
        """Pass on that somebody wants the training to stop; all processes of a job decide the same at the same step."""
        trainer, stop = self._trainer, self._run.stop_requested
        if self._many:
            if trainer.fit_loop.total_batch_idx % STOP_EVERY:
                return
            stop = self._strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            trainer.should_stop = True
