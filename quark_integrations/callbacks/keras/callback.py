"""QuarkCallback: records what a Keras model does, as ``model.fit(..., callbacks=[QuarkCallback()])``."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import quark

try:
    import keras
except ImportError as missing:
    raise quark.MissingDependencyError(
        f"this needs Keras 3 on the torch backend, and keras could not be imported ({missing}); set "
        'KERAS_BACKEND=torch, and where Keras is not installed: pip install "quark-tracker[keras]"'
    ) from missing

from ..optimizers import norm_of
from ..pace import Pace, samples_in
from ..runs import Joining, Plan, leading
from .calls import Call, calls, listen
from .recording import Recording, number
from .taps import Taps

VALUES_WAIT_S = 0.5
"""A fit that is broken off waits this long for the values of its last steps."""


class QuarkCallback(Joining, keras.callbacks.Callback):
    """Records the training of a Keras model on the torch backend in a Quark run.

    Every fit is a run of its own: the configuration of model, optimizer and loss, the values of every batch and every
    epoch, the learning rate of every step, times of step, data and compute, throughput, the machine, saved files, and
    how it ended. A fit that BackupAndRestore restores continues its run, or starts a child of it where it was
    completed.

    Args:
        project: name of the project; QUARK_PROJECT or the name of the model's class if omitted.
        run: a session that was started already; it is written to, and ended by whoever started it.
        config: configuration of the run, besides that of model and optimizer.
        tags: tags of the run.
        storage_dir: where the run is kept; as for ``quark.start_run``.
        name: a name for people.
        trackers: trackers and sinks of the run, or names of sinks such as ``"jsonl"``.
        hooks: what to record of the layers, and in which steps; nothing if omitted.
        grad_norms: record the norm of the gradients in every step, unscaled and before they are clipped.
        learning_rates: record the learning rate of every step.
        telemetry: record step, data and compute time of every step, the machine and throughput once a second.
        every_n_steps: in every how many steps the values of a batch are recorded; None: only those of epochs.
        strict_mode: raise on bad metric names and values instead of counting and warning.
        close_timeout_s: seconds that the end of a run waits for its sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.

    Raises:
        MissingDependencyError: Keras is not installed.
        ConfigurationError: Keras runs on another backend.
        SchemaValidationError: ``every_n_steps`` is below 1.
    """

    def __init__(
        self, project: str | None = None, *, run: Any = None, config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None, storage_dir: str | Path | None = None, name: str | None = None,
        trackers: Iterable[Any] | str = (), hooks: quark.HookEngineConfig | None = None, grad_norms: bool = False,
        learning_rates: bool = True, telemetry: bool = True, every_n_steps: int | None = 1,
        strict_mode: bool = False, close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        backend = keras.backend.backend()
        if backend != "torch":
            raise quark.ConfigurationError(
                f"QuarkCallback records Keras on the torch backend, this is {backend!r}; set KERAS_BACKEND=torch "
                "before keras is imported"
            )
        if every_n_steps is not None and every_n_steps < 1:
            raise quark.SchemaValidationError(
                f"every_n_steps must be at least 1 or None, got {every_n_steps!r}; None records epochs only"
            )
        listen()
        plan = Plan(
            project=project, run=run, config=config, tags=tags, storage_dir=storage_dir, name=name, trackers=trackers,
            strict_mode=strict_mode, close_timeout_s=close_timeout_s,
        )  # fmt: skip
        self._recording = Recording(plan)
        self._hooks = hooks
        self._grad_norms = grad_norms
        self._learning_rates = learning_rates
        self._telemetry = telemetry
        self._every = every_n_steps
        self._leader: QuarkCallback | None = None
        self._offered: list[Plan] = []
        self._forget()

    def _forget(self) -> None:
        """Nothing is going on."""
        self._taps: Taps | None = None
        self._pace: Pace | None = None
        self._engine: Any = None
        self._call: Call | None = None
        self._stage: str | None = None
        self._epoch = 0
        self._first_of_epoch = self._step = self._due = 0
        self._scale = 1.0
        self._row: dict[str, Any] = {}
        self._done: dict[int, dict[str, Any]] = {}
        self._values: dict[int, Mapping[str, Any]] = {}
        self._stage_began = 0.0

    @property
    def async_safe(self) -> bool:
        """Whether Keras may hand over the values of batches on other threads, so that the training waits for no device.

        On the CPU there is nothing to wait for, and Keras' threads cost more than a trivial step.
        """
        made: Any = keras.ops.zeros(())  # of torch: another backend is refused above
        return made.device.type != "cpu"

    def _follows(self) -> bool:
        """Whether another callback of the same call records it: all of them would record the same."""
        if self._leader is not None and self._leader._stage is not None:
            return True  # within what it records: a validation of a fit
        call = calls()[-1] if calls() else None
        several = [one for one in (call.callbacks if call else []) if isinstance(one, QuarkCallback)]
        leader, self._offered = leading(several) if self in several else (self, [])
        self._leader = None if leader is self else leader
        return self._leader is not None

    @property
    def run_id(self) -> str | None:
        """Id of the run, or of the last one."""
        return self._recording.last_run_id if self._leader is None else self._leader.run_id

    # The life of the run

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """A fit begins."""
        if self._follows():
            return
        run, model = self._begin("fit"), self.model
        if run.disabled:
            return
        primary = run.rank == 0
        self._pace = Pace(run, wanted=self._telemetry)
        if self._hooks is not None and primary:
            from .layers import KerasLayers

            self._engine = quark.HookEngine(run, KerasLayers(model), config=self._hooks)
        self._taps = Taps(
            model, report=run.report, on_begin=self._step_begins, on_end=self._step_ends,
            on_saved=self._saved,
        )  # fmt: skip
        self._taps.install()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """The fit is done; after an exception Keras does not say so."""
        if self._stage == "fit":
            self._end()

    def _begin(self, stage: str) -> Any:
        if self._stage is not None:  # nobody told of the end of what was before
            self._broken_off(None)
        call = calls()[-1] if calls() else None
        self._stage, self._call, self._stage_began = stage, call, time.perf_counter()
        settings: dict[str, Any] = {**(self.params or {})}
        if call is not None:
            settings.update(call.settings)
            call.on_error.append(lambda error: self._broken_off(error) if self._call is call else None)
        try:
            callbacks = [] if call is None else call.callbacks
            return self._recording.begin(self.model, stage, settings, callbacks, self._offered)
        except BaseException:
            self._leave()
            raise

    def _end(self) -> None:
        model = self.model
        self._leave()
        self._recording.end(model)

    def _broken_off(self, error: BaseException | None) -> None:
        self._leave()
        self._recording.broken_off(error)

    def _leave(self) -> None:
        """Let go of the model, and record what has arrived by now."""
        if self._taps is not None:
            self._taps.remove()
        pace, recording = self._pace, self._recording
        if pace is not None and recording.primary:
            self._wait_for_values()
            self._record_arrived(complete=True)
            rate = pace.throughput()
            if rate and recording.last_step is not None:
                recording.run.log_values(rate, step=recording.last_step, epoch=self._epoch)
        if pace is not None:
            pace.close()
        self._forget()

    @property
    def _optimizer(self) -> Any:
        return getattr(self.model, "optimizer", None)

    # Steps

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """An epoch begins; the time from here to the first batch is its time for data."""
        if self._pace is None or self._taps is None:
            return
        self._record_arrived(complete=True)
        if self._recording.last_step is None:
            steps = (self.params or {}).get("steps")
            taken = 0 if epoch == 0 else self._optimizer.iterations  # of a fit that goes on from weights with a state
            self._due = epoch * steps if steps else int(number(taken))
        self._epoch, self._first_of_epoch = epoch, self._due
        self._taps.install()  # a callback before this one may have had the step made anew
        self._pace.asked()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """A batch is there."""
        if self._pace is not None:
            self._record_arrived()
            self._step = self._first_of_epoch + batch

    def _step_begins(self, data: Any) -> None:
        pace = self._pace
        if pace is None:
            return
        if self._engine is not None:
            self._engine.begin_step(self._step, epoch=self._epoch)
        optimizer = self._optimizer
        if self._grad_norms and optimizer is not None:
            self._scale = number(optimizer.scale_loss(1.0))
        if self._learning_rates and optimizer is not None:
            self._row["optimizer/lr"] = number(optimizer.learning_rate)
        pace.begins(samples_in(data))

    def _step_ends(self) -> None:
        pace, recording = self._pace, self._recording
        if pace is None or not recording.active:
            return
        row, self._row = self._row, {}
        pace.ends(row, self._step, self._epoch)
        if self._engine is not None:
            self._engine.end_step()
        if self._grad_norms:
            norm = gradient_norm(self.model)
            if norm is not None:
                row["optimizer/grad_norm"] = number(norm / self._scale)
        self._done[self._step] = row
        run = recording.run
        if run.stop_requested and run.manifest.world_size == 1:  # of many processes the others would wait for ever
            self.model.stop_training = True  # type: ignore[union-attr]  # a model is there while it is trained
        pace.asked()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """The values of a batch have arrived, maybe on another thread, and maybe those of a later batch before."""
        if self._pace is not None:
            self._values[self._first_of_epoch + batch] = logs or {}

    def _record_arrived(self, *, complete: bool = False) -> None:
        """Record the steps whose values are here, in their order and on the thread of the training.

        With ``complete`` all that are known, for nothing more will arrive of them.
        """
        recording = self._recording
        while self._due in self._values or (complete and (self._values or self._done)):
            step = min([*self._values, *self._done]) if complete else self._due
            values, row = self._values.pop(step, {}), self._done.pop(step, {})
            self._due = step + 1
            recording.last_step = step
            if recording.primary and self._every is not None and (step + 1) % self._every == 0:
                recording.run.step(step, {**row, **recording.keyed(values, "batch")}, epoch=self._epoch)

    def _wait_for_values(self) -> None:
        """After an exception Keras waits for its other threads no more, and they may be a step behind."""
        until = time.monotonic() + VALUES_WAIT_S
        while set(self._done) - set(self._values) and time.monotonic() < until:
            time.sleep(0.001)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """The values of the epoch, those of its validation too; they are those of Keras' ``History``."""
        if self._pace is None:
            return
        self._record_arrived(complete=True)
        recording = self._recording
        if recording.primary:
            recording.run.log_values(recording.keyed(logs or {}, "train"), step=recording.last_step, epoch=epoch)

    def _saved(self, path: str, weights_only: bool, seconds: float) -> None:
        self._recording.saved(path, weights_only, seconds, self._epoch)
        if self._pace is not None:
            self._pace.paused(seconds)

    # Validation, evaluation, prediction

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """A validation within a fit, or ``evaluate`` by itself."""
        if self._stage == "fit":
            self._stage_began = time.perf_counter()
        elif not self._follows():
            self._begin("evaluate")

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """The validation or evaluation is done."""
        if self._stage == "fit":
            self._took("validation")
        elif self._stage == "evaluate":
            recording = self._recording
            if recording.primary:
                recording.run.log_values(recording.keyed(logs or {}, "test"), step=recording.last_step or 0)
            self._took("test")
            self._end()

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """A prediction by itself; one within a fit is a part of it."""
        if self._stage != "fit" and not self._follows():
            self._begin("predict")

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """The prediction is done."""
        if self._stage == "predict":
            self._took("predict")
            self._end()

    def _took(self, what: str) -> None:
        recording = self._recording
        if recording.primary:
            seconds = time.perf_counter() - self._stage_began
            step = recording.last_step or 0
            recording.run.log_values({f"system/{what}/duration_s": seconds}, step=step, epoch=self._epoch)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process: the run and the model that is trained."""
        fresh: dict[str, Any] = {
            "_recording": Recording(self._recording.plan), "_model": None, "params": None, "_leader": None,
            "_offered": [],
        }  # fmt: skip
        fresh["_recording"].last_run_id = self._recording.last_run_id
        kept = {name: value for name, value in vars(self).items() if name not in _OF_A_FIT}
        return {**kept, **fresh}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._forget()


_OF_A_FIT = (
    "_taps", "_pace", "_row", "_engine", "_call", "_stage", "_epoch", "_first_of_epoch", "_step", "_due", "_scale",
    "_done", "_values", "_stage_began",
)  # fmt: skip


def gradient_norm(model: Any) -> Any:
    """The Euclidean norm of the gradients of all trainable weights as a tensor; None if there are none."""
    return norm_of([variable.value.grad for variable in model.trainable_weights])
