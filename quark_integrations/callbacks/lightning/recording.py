"""What goes from a Trainer into its run: started and ended by the callback, or by the logger where it is alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import quark

from ..names import MetricNames, number
from ..runs import Plan, is_running, open_run, start, trains_here
from ..settings import plain
from .endings import early_stopping, reason_of
from .settings import hyperparameters, training_setup
from .taps import current_step, stage_of


class Recording:
    """The run of one callback or logger: a new one for each fit, test, validation or prediction of a Trainer.

    A run that the user passed is only written to. One that was opened here ends with the fit; a test after it is a
    run of its own then, with the fit's as its parent.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.run: Any = None
        self.reserved: str | None = None
        self._given: Any = None
        self.carried: Mapping[str, Any] | None = None
        self.last_run: Mapping[str, Any] | None = None
        self.last_step: int | None = None
        self.last_epoch: int | None = None
        self.names = MetricNames()

    @property
    def active(self) -> bool:
        """Whether there is a run that takes records."""
        return is_running(self.run)

    def begin(
        self, trainer: Any, module: Any, *, params: Any = None, offered: Iterable[Plan] = (), alone: bool = False
    ) -> Any:  # fmt: skip
        """The run for what the Trainer does now; it is started, resumed or joined at the first call.

        Args:
            trainer: the Trainer.
            module: its module.
            params: further hyperparameters.
            offered: plans of others that fill what the own one leaves open.
            alone: only rank 0 takes part.
        """
        if self.active:
            return self.run
        plan = self._fresh_plan(offered)
        carried, self.carried = self.carried, None
        fitting = str(getattr(trainer.state.fn, "value", "")) == "fit"
        config = {**hyperparameters(trainer, module), **plain(params or {}), **plain(plan.config or {})}
        self._given = plan.run
        if is_running(plan.run):
            self.run = plan.run
            if self.run.rank == 0:
                self.run.config.update(config)
            if fitting:
                trains_here(self.run, trainer)
        else:
            tags = [*(plan.tags or ()), *(["fast_dev_run"] if trainer.fast_dev_run else [])]
            last = getattr(plan.run, "run_id", None) or (self.last_run or {}).get("run_id")
            if plan.name and not fitting and last is not None:  # told from the fit that it follows
                plan = replace(plan, name=f"{plan.name}/{trainer.state.fn.value}")
            self.run = open_run(
                plan.with_tags(tags), trainer, project=type(module).__name__, config=config,
                carried=carried if fitting else None, parent=last if plan.run or not fitting else None, alone=alone,
            )  # fmt: skip
        self.names.strict = getattr(self.run, "strict", False)
        if self.run is not None and self.run.rank == 0:
            self._note_start(trainer, module, fitting, carried)
        return self.run

    def begin_early(self, params: Mapping[str, Any]) -> Any:
        """The run of a logger that is used before its Trainer has begun anything."""
        plan = self._fresh_plan(())
        self._given = plan.run
        config = {**params, **plain(plan.config or {})}
        self.run = plan.run if is_running(plan.run) else start(plan, "lightning", config)
        self.names.strict = getattr(self.run, "strict", False)
        return self.run

    def _fresh_plan(self, offered: Iterable[Plan]) -> Plan:
        self.names = MetricNames()
        self.last_step = self.last_epoch = None
        plan = self.plan.with_run_id(self.reserved)
        self.reserved = None
        for other in offered:
            plan = plan.completed_by(other)
        return plan

    def _note_start(self, trainer: Any, module: Any, fitting: bool, carried: Mapping[str, Any] | None) -> None:
        stage = str(getattr(trainer.state.fn, "value", "fit"))
        self.event(f"{stage}_started", payload=training_setup(trainer, module) if fitting else {})
        if carried:
            self.event("checkpoint_loaded", payload=plain({**carried, "path": getattr(trainer, "ckpt_path", None)}))

    def event(self, event_type: str, **details: Any) -> None:
        """Record an event of the run."""
        quark.EventLogger(self.run).log(event_type, **details)

    def values(self, trainer: Any, metrics: Mapping[str, Any], step: int | None) -> None:
        """Record values that Lightning gives to its loggers, at its step and in the namespace of its stage."""
        if not self.active or trainer.sanity_checking:
            return
        step, found = self.placed(trainer, metrics, step)
        self.run.log_values(found, step=step, epoch=trainer.current_epoch)

    def placed(self, trainer: Any, metrics: Mapping[str, Any], step: int | None) -> tuple[int, dict[str, Any]]:
        """The values by their keys in Quark, and their step: a metric named ``step`` says it, as for all loggers."""
        found = dict(metrics)
        given = found.pop("step", None) if step is None else None
        if step is None:
            step = current_step(trainer) if given is None else int(given)
        stage, key = stage_of(trainer), self.names.key
        return step, {key(name, stage): number(value) for name, value in found.items()}

    def saved(self, trainer: Any, path: str, weights_only: bool, seconds: float, step: int | None = None) -> None:
        """A checkpoint has been written."""
        if self.active and self.run.rank == 0:
            payload = {
                "path": path, "run_id": self.run.run_id, "global_step": trainer.global_step,
                "weights_only": weights_only, "duration_s": round(seconds, 6),
            }  # fmt: skip
            step = current_step(trainer) if step is None else step
            self.event("checkpoint_saved", step=step, epoch=trainer.current_epoch, payload=payload)

    def end(self, trainer: Any) -> None:
        """What the Trainer was doing is done: end the run with the true reason, if it was opened here."""
        run = self._let_go()
        if run is None or run.status != "running":
            return
        stopper = early_stopping(trainer)
        if stopper is not None and run.rank == 0:
            message = getattr(stopper, "stopping_reason_message", None)
            payload = plain({"monitor": stopper.monitor, "best_score": stopper.best_score, "message": message})
            quark.EventLogger(run).log("early_stopped", epoch=trainer.current_epoch, payload=payload)
        if run is not self._given:
            run.finish(reason_of(trainer, run))

    def fail(self, error: BaseException | None) -> None:
        """What the Trainer was doing was broken off by ``error``; the exception goes on its way.

        A Ctrl-C ends a run of the user's too, for Lightning does not always let it through.
        """
        run = self._let_go()
        if run is None or (run is self._given and not isinstance(error, KeyboardInterrupt)):
            return
        if error is None:
            run.finish("error")
        else:
            run.__exit__(type(error), error, error.__traceback__)

    def _let_go(self) -> Any:
        run = self.run
        if run is not None:
            self.last_run = self.state()
        self.run = None
        return run

    def state(self) -> dict[str, Any]:
        """What a checkpoint carries of the run."""
        if self.run is None:
            return dict(self.last_run or {})
        return {
            "run_id": self.run.run_id, "project": self.run.project_name, "storage_dir": self.run.storage_dir,
            "step": self.last_step, "epoch": self.last_epoch,
        }  # fmt: skip
