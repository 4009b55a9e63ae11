"""QuarkCallback: records what a Transformers Trainer does, as ``Trainer(callbacks=[QuarkCallback()])``."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quark

from ..pace import Pace
from ..probes import Probes
from ..runs import Joining, Plan, leading
from .recording import CARRIED, Recording, anybody
from .steps import amounts_in, epoch_of, learning_rates
from .trainers import Method, calling_trainer, wrap

if TYPE_CHECKING:
    from transformers import TrainerCallback
else:
    TrainerCallback = object  # the real one comes in when the callback is asked for: see framework

STOP_EVERY = 50
"""In a job of many processes all must agree to stop, which costs a message; they ask each other this often (steps)."""


class QuarkCallback(Joining, TrainerCallback):
    """Records the training of a Transformers Trainer in a Quark run.

    Every training is a run of its own: TrainingArguments and the model's configuration, everything that the Trainer
    logs at its global step, learning rates, times of step, data and compute, throughput, the machine, checkpoints, and
    how it ended. A checkpoint carries the id of its run: a training that resumes from it continues the run, or
    starts a child of it where it was completed. An evaluation or prediction after a training is added to its run,
    as a further attempt; without a training it is a run of its own, and so is each trial of a search. In a job of
    many processes all of them record into one run.

    Args:
        project: name of the project; QUARK_PROJECT or the name of the model's class if omitted.
        run: a session that was started already; it is written to, and ended by whoever started it.
        config: configuration of the run, besides TrainingArguments and the model's.
        tags: tags of the run.
        storage_dir: where the run is kept; as for ``quark.start_run``.
        name: a name for people; ``TrainingArguments(run_name=...)`` if omitted.
        trackers: trackers and sinks of the run, or names of sinks such as ``"jsonl"``.
        hooks: what to record of layers and parameters, and in which steps; nothing if omitted.
        grad_norms: record the norm of the gradients in every step, as the Trainer takes it before it clips them.
        learning_rates: record the learning rates of every step.
        telemetry: record step, data and compute time of every step, the machine and throughput once a second.
        every_n_steps: in every how many steps the values of a step are recorded; None: only in those in which the
            Trainer logs. What the Trainer logs is recorded always.
        strict_mode: raise on bad metric names and values instead of counting and warning.
        close_timeout_s: seconds that the end of a run waits for its sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.

    Raises:
        SchemaValidationError: every_n_steps is below 1.
    """

    def __init__(
        self, project: str | None = None, *, run: Any = None, config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None, storage_dir: str | Path | None = None, name: str | None = None,
        trackers: Iterable[Any] | str = (), hooks: quark.HookEngineConfig | None = None, grad_norms: bool = False,
        learning_rates: bool = True, telemetry: bool = True, every_n_steps: int | None = 1,
        strict_mode: bool = False, close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        if every_n_steps is not None and every_n_steps < 1:
            raise quark.SchemaValidationError(
                f"every_n_steps must be at least 1 or None, got {every_n_steps!r}; None records when the Trainer logs"
            )
        self._recording = Recording(Plan(
            project=project, run=run, config=config, tags=tags, storage_dir=storage_dir, name=name, trackers=trackers,
            strict_mode=strict_mode, close_timeout_s=close_timeout_s,
        ))  # fmt: skip
        self._hooks = hooks
        self._grad_norms = grad_norms
        self._learning_rates = learning_rates
        self._telemetry = telemetry
        self._every = every_n_steps
        self._leader: QuarkCallback | None = None
        self._forget()

    def _forget(self) -> None:
        """Nothing goes on."""
        self._trainer: Any = None
        self._pace: Pace | None = None
        self._probes: list[Any] = []
        self._values: dict[str, Any] = {}
        self._amounts = (0, 0)
        self._row: tuple[int, int, dict[str, Any]] | None = None
        self._position = (0, 0)
        self._main_input = "input_ids"
        self._saving_s: float | None = None
        self._primary = self._hidden = self._together = False

    def _others(self, trainer: Any) -> list[Plan]:
        """See which QuarkCallback of the Trainer records; what the others say of the run if it is this one."""
        handler = getattr(trainer, "callback_handler", None)
        several = [callback for callback in getattr(handler, "callbacks", ()) if isinstance(callback, QuarkCallback)]
        if self not in several:
            several = [self]
        leader, plans = leading(several)
        self._leader = None if leader is self else leader
        return plans

    @property
    def run_id(self) -> str | None:
        """Id of the run, or of the last one."""
        if self._leader is not None:
            return self._leader.run_id
        return self.run.run_id if self.run is not None else (self._recording.last_run or {}).get("run_id")

    # The life of the run

    def on_init_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The Trainer is there: listen to it."""
        self._found(calling_trainer())

    def _found(self, trainer: Any) -> Any:
        if trainer is not None:
            needless = [] if self._grad_norms else ["_get_grad_norm"]
            wrap(trainer, self, needless if trainer.args.logging_nan_inf_filter else [*needless, "training_step"])
        return trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **given: Any) -> None:
        """Training begins, from its start or from a checkpoint."""
        if self._recording.active:  # the Trainer itself begins anew, with smaller batches
            self._end_steps()
            self._recording.end("error")
        self._forget()
        trainer = self._trainer = self._found(calling_trainer())
        others = self._others(trainer)
        if self._leader is not None:
            return
        run = self._recording.begin(trainer, args, state, model, stage="train", offered=others)
        if run is None or run.disabled:
            return
        if isinstance(getattr(state, "stateful_callbacks", None), dict):
            state.stateful_callbacks[CARRIED] = self._recording.carried()
        primary = self._primary = run.rank == 0
        self._pace = Pace(run, wanted=self._telemetry)
        self._main_input = getattr(model, "main_input_name", "input_ids")
        self._together = args.world_size > 1
        self._hidden = primary and args.logging_nan_inf_filter
        self._position = state.global_step, epoch_of(state)
        if self._hooks is not None and primary:
            scaler = getattr(getattr(trainer, "accelerator", None), "scaler", None)
            optimizer = given.get("optimizer")
            self._probes = [Probes(run, model, [] if optimizer is None else [optimizer], self._hooks, scaler)]

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Training is done, as far as it came."""
        handler = getattr(self._trainer, "callback_handler", None)
        self._end_steps()
        self._recording.end_training(args, state, control, getattr(handler, "callbacks", []))
        self._forget()

    def _end_steps(self) -> None:
        self._write_row()
        for probe in self._probes:
            probe.end_step()
        if self._pace is not None:
            rate = self._pace.throughput()
            self._pace.close()
            if rate and self._position[0] and self._recording.primary:
                self.run.log_values(rate, step=self._position[0], epoch=self._position[1])

    def breakable(self, method: Method, arguments: Any, options: Any) -> Any:
        """Run a part of the training that nobody but an exception breaks off."""
        try:
            return method.original(*arguments, **options)
        except BaseException as error:
            if self._recording.active:
                self._end_steps()
                self._recording.fail(error)
                self._forget()
            raise

    def alone(self, method: Method, arguments: Any, options: Any) -> Any:
        """Evaluate or predict: within a training a part of it, after one added to its run, else a run of its own."""
        recording, trainer = self._recording, method.trainer
        others = [] if recording.active else self._others(trainer)
        if recording.active or self._leader is not None:
            return method.original(*arguments, **options)
        recording.begin(trainer, trainer.args, trainer.state, trainer.model, stage=method.name, offered=others)
        try:
            result = method.original(*arguments, **options)
        except BaseException as error:
            recording.fail(error)
            raise
        recording.end_alone()
        return result

    # Steps of the training

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The data of the epoch's first step is asked for."""
        if self._pace is not None:
            self._pace.asked()

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **given: Any) -> None:
        """The batches of a step are here."""
        pace = self._pace
        if pace is None:
            return
        if self._row is not None:
            self._write_row()
        for probe in self._probes:
            probe.begin_step(state.global_step + 1, epoch=int(state.epoch or 0.0))
        pace.begins(*self._amounts)
        self._amounts = 0, 0
        if self._learning_rates and self._primary and optimizer is not None:
            self._values = learning_rates(optimizer)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """The optimizer has stepped; what the Trainer logs of the step comes right afterwards."""
        pace = self._pace
        if pace is None:
            return None
        for probe in self._probes:
            probe.end_step()
        step, epoch = self._position = state.global_step, epoch_of(state)
        row, self._values = self._values, {}
        pace.ends(row, step, epoch)
        run = self._recording.run
        if self._primary:
            if control.should_log:
                self._row = step, epoch, row
            elif self._every is not None and step % self._every == 0:
                run.step(step, row, epoch=epoch)
        return self._heed_stop(args, state, control) if self._together or run.stop_requested else None

    def _write_row(self) -> None:
        if self._row is not None:
            (step, epoch, row), self._row = self._row, None
            self.run.step(step, row, epoch=epoch)

    def _heed_stop(self, args: Any, state: Any, control: Any) -> Any:
        """Pass on that somebody wants the training to stop; all processes of a job decide the same at the same step."""
        stop = self.run.stop_requested
        if self._together:
            stop = state.global_step % STOP_EVERY == 0 and anybody(stop, args.device)
        if not stop:
            return None
        self.run.stop()
        control.should_training_stop = True
        return control

    def fetches(self, method: Method, arguments: Any, options: Any) -> Any:
        """Fetch the batches of a step, and count what is in them."""
        pace = self._pace
        if pace is None:
            return method.original(*arguments, **options)
        pace.asked()
        fetched = method.original(*arguments, **options)
        try:
            self._amounts = amounts_in(fetched[0], self._main_input)
        except Exception as error:  # noqa: BLE001  our fault must not reach the training
            self.run.report("transformers_batches", error)
        return fetched

    def trains(self, method: Method, arguments: Any, options: Any) -> Any:
        """Train on a batch, and look at its loss.

        The Trainer puts the mean of the losses before in the place of one that is no number, and logs that. It has just
        been told to look at every loss itself, so that reading it here waits for nothing more.
        """
        loss = method.original(*arguments, **options)
        if self._hidden:
            try:
                self._see_loss(loss)
            except Exception as error:  # noqa: BLE001  our fault must not reach the training
                self.run.report("transformers_loss", error)
        return loss

    def takes_norm(self, method: Method, arguments: Any, options: Any) -> Any:
        """Take the norm of the gradients."""
        norm = method.original(*arguments, **options)
        if self._pace is not None and self._grad_norms and norm is not None:
            self._values["optimizer/grad_norm"] = norm
        return norm

    def saves(self, method: Method, arguments: Any, options: Any) -> Any:
        """Write a checkpoint, and see how long it takes."""
        began = time.perf_counter()
        saved = method.original(*arguments, **options)
        self._saving_s = time.perf_counter() - began
        return saved

    def _see_loss(self, loss: Any) -> None:
        value = loss.item()
        if value - value != 0.0:
            step, epoch = self._position
            self.run.log_values({"train/loss": value}, step=step + 1, epoch=epoch)

    # What the Trainer says

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **given: Any) -> None:
        """Values of a training, an evaluation or the end, at the step that the Trainer is at."""
        recording = self._recording
        if not logs or not recording.primary:
            return
        values = recording.keyed(logs, state)
        if self._row is not None and self._row[0] == state.global_step:
            self._row[2].update(values)
            self._write_row()
        else:
            self.run.log_values(values, step=state.global_step, epoch=epoch_of(state))

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """An evaluation is done; what came of it is logged already."""
        self._write_row()

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **given: Any
    ) -> None:
        """A prediction is done; the Trainer does not log what came of it."""
        if metrics and self._recording.primary:
            values = self._recording.keyed(metrics, state)
            self.run.log_values(values, step=state.global_step, epoch=epoch_of(state))

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A checkpoint has been written."""
        self._write_row()
        if not self._recording.primary or not args.should_save:
            return
        trainer, seconds = self._trainer, self._saving_s
        self._saving_s = None
        of_trial = getattr(trainer, "_get_output_dir", None)
        directory = args.output_dir if of_trial is None else of_trial(trial=getattr(trainer, "_trial", None))
        self._recording.saved(os.path.join(directory, f"checkpoint-{state.global_step}"), args, state, seconds)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process: the run and its threads."""
        recording = Recording(self._recording.plan)
        recording.last_run = self._recording.last_run
        kept = {
            name: self.__dict__[name] for name in ("_hooks", "_grad_norms", "_learning_rates", "_telemetry", "_every")
        }
        return {**kept, "_recording": recording}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._leader = None
        self._forget()
