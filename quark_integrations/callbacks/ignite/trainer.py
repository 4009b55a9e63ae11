"""The events of a trainer and its evaluators, from its start to the reason of its end."""

import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ignite.engine import Events

import quark

from ..optimizers import LearningRates
from ..pace import Pace, samples_in
from ..probes import Probes
from ..runs import trains_here
from ..settings import plain
from .engines import Checkpoints, early_stopping, reason_of
from .values import numbers

_events: "weakref.WeakKeyDictionary[Any, list[weakref.ref[TrainerEvents]]]" = weakref.WeakKeyDictionary()
"""Who listens to each trainer, in the order of their attachment."""


class TrainerEvents:
    """Listens to a trainer for a QuarkLogger; ``remove`` ends that. See ``QuarkLogger.attach_trainer``."""

    def __init__(
        self, logger: Any, trainer: Any, *, optimizers: list[Any], evaluators: Mapping[str, Any], model: Any,
        hooks: quark.HookEngineConfig | None, output_transform: Callable[[Any], Any] | None, telemetry: bool,
        every: int | None, grad_scale: Any = None,
    ) -> None:  # fmt: skip
        self._logger = logger
        self._trainer = trainer
        self._optimizers = optimizers
        self._evaluators = evaluators
        self._model = model
        self._hooks = hooks
        self._grad_scale = grad_scale
        self._transform = output_transform
        self._telemetry = telemetry
        self._every = every
        self._rates = LearningRates()
        self._row: dict[str, Any] = {}
        self._pace: Pace | None = None
        self._engine: Any = None
        self._checkpoints = Checkpoints(self._saved)
        self.error: BaseException | None = None
        self._handles = [
            trainer.add_event_handler(Events.STARTED, self._started),
            trainer.add_event_handler(Events.EXCEPTION_RAISED, self._raised),
        ]
        _events.setdefault(trainer, []).append(weakref.ref(self))
        self._of_the_run: list[Any] = self._hear_evaluators()
        self._row_waits = False

    def remove(self) -> None:
        """Listen no more."""
        for handle in [*self._handles, *self._of_the_run]:
            handle.remove()
        self._handles, self._of_the_run = [], []
        self._checkpoints.remove()
        if self._pace is not None:
            self._pace.close()
        self._pace = self._engine = None

    def _follows(self) -> bool:
        """Whether another logger records this trainer: both would record the same, so this one joins its run."""
        known = [events for ref in _events.get(self._trainer, ()) if (events := ref()) is not None and events._handles]
        leader = known[0] if known else self
        if leader is not self:
            return self._logger is leader._logger or self._logger.join(leader._logger)
        for events in known[1:]:
            self._logger.offered(events._logger)
        return False

    def _started(self) -> None:
        if self._follows():
            return
        run, state = self._logger.run, self._trainer.state
        self.error = None
        self._row_waits = False
        trains_here(run, self._trainer)
        run.will_end(None)
        if run.disabled:
            return
        self._listen()
        self._checkpoints.listen([self._trainer, *self._evaluators.values()])
        if self._pace is None:
            self._pace = Pace(run, wanted=self._telemetry)
            if self._model is not None and run.rank == 0:
                self._engine = Probes(run, self._model, self._optimizers, self._hooks, self._grad_scale)
        payload = {
            "framework": "ignite", "epoch_length": state.epoch_length, "max_epochs": state.max_epochs,
            "max_iters": state.max_iters, "iteration": state.iteration, "epoch": state.epoch,
        }  # fmt: skip
        self._event("fit_started", payload=payload)
        self._pace.asked()

    def _listen(self) -> None:
        """Again at each start, to come after the handlers that compute metrics, run evaluators and save."""
        for handle in self._of_the_run:
            handle.remove()
        trainer = self._trainer
        wanted = {
            Events.GET_BATCH_STARTED: self._asked, Events.ITERATION_STARTED: self._begins,
            Events.ITERATION_COMPLETED: self._ends, Events.EPOCH_COMPLETED: self._epoch_done,
            Events.TERMINATE: self._done, Events.COMPLETED: self._done,
        }  # fmt: skip
        self._of_the_run = [trainer.add_event_handler(event, act) for event, act in wanted.items()]
        self._of_the_run.append(trainer.add_event_handler(Events.ITERATION_COMPLETED, self._computed))
        handlers = trainer._event_handlers[Events.ITERATION_COMPLETED]
        handlers.insert(0, handlers.pop())  # before evaluators, which others run in handlers of the same event
        self._of_the_run += self._hear_evaluators()

    def _hear_evaluators(self) -> list[Any]:
        """From the beginning: an evaluation before the training is recorded too."""
        return [
            evaluator.add_event_handler(Events.COMPLETED, self._evaluated, name)
            for name, evaluator in self._evaluators.items()
        ]

    # Iterations

    def _asked(self) -> None:
        if self._pace is not None:
            self._pace.asked()

    def _begins(self) -> None:
        state, pace = self._trainer.state, self._pace
        if pace is None:
            return
        self._row = dict(numbers(self._rates.read(self._optimizers), "")) if self._optimizers else {}
        if self._engine is not None:
            self._engine.begin_step(state.iteration, epoch=state.epoch)
        pace.begins(samples_in(state.batch))
        self._row_waits = False

    def _computed(self) -> None:
        """The model has done what belongs to the iteration; its row is still to come."""
        self._row_waits = True
        if self._engine is not None:
            self._engine.end_step()

    def _ends(self) -> None:
        state, logger, pace = self._trainer.state, self._logger, self._pace
        if pace is None:
            return
        row, self._row = self._row, {}
        self._row_waits = False
        pace.ends(row, state.iteration, state.epoch)
        logger.last_step, logger.last_epoch = state.iteration, state.epoch
        run = logger.run
        if run.rank == 0 and self._every is not None and state.iteration % self._every == 0:
            row.update(logger.keyed(self._output(state.output)))
            run.step(state.iteration, row, epoch=state.epoch)
        if run.stop_requested and run.manifest.world_size == 1:  # of many processes the others would wait for ever
            self._trainer.terminate()
        pace.asked()

    def _output(self, output: Any) -> dict[str, Any]:
        value = output if self._transform is None else self._transform(output)
        return dict(numbers(value if isinstance(value, Mapping) else {"loss": value}, "train"))

    # Epochs, evaluations, checkpoints

    def _epoch_done(self) -> None:
        state, logger = self._trainer.state, self._logger
        found = dict(numbers(state.metrics, "train"))
        if self._every is None:
            found = {**self._output(state.output), **found}
        if found:
            logger.record(found, step=state.iteration, epoch=state.epoch)

    def _evaluated(self, evaluator: Any, name: str) -> None:
        state = self._trainer.state
        found = dict(numbers(evaluator.state.metrics, name))
        found[f"system/{name}/duration_s"] = evaluator.state.times[Events.COMPLETED.name]
        self._logger.record(found, step=state.iteration, epoch=state.epoch)

    def _saved(self, path: str, seconds: float) -> None:
        state, run = self._trainer.state, self._logger.run
        payload = {
            "path": os.path.abspath(path),
            "run_id": run.run_id,
            "weights_only": False,
            "duration_s": round(seconds, 6),
        }
        self._event("checkpoint_saved", step=state.iteration, epoch=state.epoch, payload=payload)

    def _event(self, event_type: str, **details: Any) -> None:
        if self._logger.run.rank == 0:
            quark.EventLogger(self._logger.run).log(event_type, **details)

    # The end

    def _done(self) -> None:
        """Terminated or completed; the run goes on until its logger is closed."""
        run, engines = self._logger.run, [self._trainer, *self._evaluators.values()]
        self.error = None
        reason = reason_of(self._trainer, run, engines)
        stopper = early_stopping(self._trainer, engines) if self._trainer.last_event_name == Events.TERMINATE else None
        if stopper is not None:
            payload = plain({"patience": stopper.patience, "best_score": stopper.best_score})
            self._event("early_stopped", epoch=self._trainer.state.epoch, payload=payload)
        run.will_end(reason)
        rate = {} if self._pace is None else self._pace.throughput()
        if rate:
            self._logger.record(rate, step=self._trainer.state.iteration, epoch=self._trainer.state.epoch)

    def _raised(self, error: BaseException) -> None:
        """Ignite lets no exception through where a handler of this event is attached, so this one does."""
        self.error = error
        if self._row_waits:
            self._ends()  # the iteration was done: a handler of its end has raised
        self._logger.run.will_end("error" if isinstance(error, Exception) else "interrupted")
        if len(self._trainer._event_handlers[Events.EXCEPTION_RAISED]) == 1:  # else the others decide
            raise error
