"""What goes from a Trainer into its run: started, filled and ended by the callback."""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import quark

from ..runs import Plan, is_running, open_run, trains_here
from ..settings import plain
from .endings import early_stopping, reason_of
from .names import LogNames
from .settings import configuration, flat, training_setup
from .steps import epoch_of

CARRIED = "quark_run (read by QuarkCallback itself)"
"""Under which name a checkpoint's TrainerState holds the run.

Not the callback's own name: Transformers can be told to make the callbacks of that name anew, without their options.
"""


class Recording:
    """The run of one callback: a new one for each training. Evaluations and predictions after it are added to it.

    A run that the user passed is only written to.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.run: Any = None
        self.last_run: Mapping[str, Any] | None = None
        self._given: Any = None
        self._trained: Mapping[str, Any] | None = None
        self._reason = "completed"
        self._names = LogNames()

    @property
    def active(self) -> bool:
        """Whether there is a run that takes records."""
        return is_running(self.run)

    @property
    def primary(self) -> bool:
        """Whether there is a run and this process writes its metrics."""
        return self.active and self.run.rank == 0

    def begin(
        self, trainer: Any, args: Any, state: Any, model: Any, *, stage: str, offered: Iterable[Plan] = ()
    ) -> Any:  # fmt: skip
        """The run for what the Trainer does now: started, or resumed if a checkpoint carries it.

        Args:
            trainer: the Trainer, or None if it could not be found.
            args: its TrainingArguments.
            state: its TrainerState.
            model: the model without what is wrapped around it.
            stage: train, evaluate or predict.
            offered: plans of other callbacks that fill what the own one leaves open.
        """
        self._names = LogNames()
        plan, training = self.plan, stage == "train"
        for other in offered:
            plan = plan.completed_by(other)
        carried = (getattr(state, "stateful_callbacks", None) or {}).get(CARRIED) if training else None
        if carried and is_running(here := quark.current_run()) and here.run_id == carried.get("run_id"):
            carried = None  # no checkpoint: another callback of this Trainer has just begun it
        config = {**configuration(args, state, model), **flat(plain(plan.config or {}))}
        self._given = plan.run
        if is_running(plan.run):
            self.run = plan.run
            if self.primary:
                self.run.config.update(config)
            if training and trainer is not None:
                trains_here(self.run, trainer)
        else:
            goes_on = None if training or plan.run else self._trained
            self.run = open_run(
                _named(plan, args, state, "" if training else f"/{stage}"), _Ranks(args), project=type(model).__name__,
                config=config, carried=carried or goes_on, parent=getattr(plan.run, "run_id", None),
                completed=goes_on is not None,
            )  # fmt: skip
        self._names.of_run(self.run)
        if training:
            self._reason = "completed"
            self._trained = None if self.run is None else self.carried()
        self.event(f"{stage}_started", payload=training_setup(trainer, args, state, model) if training else {})
        if carried:
            self.event("checkpoint_loaded", payload={**plain(carried), "global_step": state.global_step})
        return self.run

    def event(self, event_type: str, **details: Any) -> None:
        """Record an event of the run; rank 0 does it for all."""
        if self.primary:
            quark.EventLogger(self.run).log(event_type, **details)

    def keyed(self, logs: Mapping[str, Any], state: Any) -> dict[str, Any]:
        """What the Trainer logs now, by its keys in Quark."""
        row = dict(logs)
        history = state.log_history
        if history and history[-1].get("step") == state.global_step and row.items() <= history[-1].items():
            row = dict(history[-1])  # callbacks before this one may have taken values out
            del row["step"]
        return self._names.keyed(row)

    def saved(self, path: str, args: Any, state: Any, seconds: float | None) -> None:
        """A checkpoint has been written."""
        best = state.best_model_checkpoint
        payload = {
            "path": path, "run_id": self.run.run_id, "global_step": state.global_step,
            "weights_only": bool(args.save_only_model), "best": best is not None and PurePath(best) == PurePath(path),
        }  # fmt: skip
        if seconds is not None:
            payload["duration_s"] = round(seconds, 6)
        self.event("checkpoint_saved", step=state.global_step, epoch=epoch_of(state), payload=payload)

    def end_training(self, args: Any, state: Any, control: Any, callbacks: list[Any]) -> None:
        """The training is done: end the run with the true reason."""
        if not self.active:
            return
        reason = reason_of(self.run, args, state, control, callbacks)
        if reason == "criterion_met":
            stopper = early_stopping(control, callbacks)
            payload = plain({
                "monitor": args.metric_for_best_model, "best_score": state.best_metric,
                "patience": stopper.early_stopping_patience,
            })  # fmt: skip
            self.event("early_stopped", step=state.global_step, epoch=epoch_of(state), payload=payload)
        self._reason = reason
        self.end(reason)

    def end_alone(self) -> None:
        """An evaluation or prediction is done: the run of a training keeps the reason for which that ended."""
        run, trained = self.run, self._trained
        self.end(self._reason if run is not None and trained and trained["run_id"] == run.run_id else "completed")

    def end(self, reason: str) -> None:
        """End the run, if it was opened here; a signal that came in the meantime counts for more than ``reason``."""
        run = self._let_go()
        if run is not None and run is not self._given:
            run.will_end(reason)
            run.__exit__(None, None, None)

    def fail(self, error: BaseException) -> None:
        """What the Trainer was doing was broken off by ``error``; the exception goes on its way."""
        self._reason = "error" if isinstance(error, Exception) else "interrupted"
        run = self._let_go()
        if run is not None and run is not self._given:
            run.__exit__(type(error), error, error.__traceback__)

    def _let_go(self) -> Any:
        if self.active:
            self.last_run = self.carried()
        run, self.run = self.run, None
        return run

    def carried(self) -> dict[str, Any]:
        """What a checkpoint carries of the run."""
        run = self.run
        return {"run_id": run.run_id, "project": run.project_name, "storage_dir": run.storage_dir}


def _named(plan: Plan, args: Any, state: Any, suffix: str) -> Plan:
    """The plan with the name of the trial, or that of the TrainingArguments; a trial is tagged as one.

    ``suffix`` tells an evaluation by itself from the training that it follows.
    """
    run_name = None if args.run_name == args.output_dir else args.run_name
    trial = ["trial"] if state.trial_params is not None else []
    name = plan.name or state.trial_name or run_name
    return Plan(name=name and f"{name}{suffix}", tags=[*(plan.tags or ()), *trial]).completed_by(plan)


class _Ranks:
    """The processes of a job as ``open_run`` asks for them."""

    def __init__(self, args: Any) -> None:
        distributed = _distributed()
        self.world_size = args.world_size if distributed is not None else 1
        self.global_rank = args.process_index
        self.strategy = self

    def broadcast(self, told: Any, src: int) -> Any:
        """``told`` of the process ``src``, in all of them."""
        box = [told]
        _distributed().broadcast_object_list(box, src=src)
        return box[0]


def _distributed() -> Any:
    import torch.distributed as distributed

    return distributed if distributed.is_available() and distributed.is_initialized() else None


def anybody(flag: bool, device: Any) -> bool:
    """Whether ``flag`` is set in any process of the job; all of them must ask."""
    import torch

    distributed = _distributed()
    if distributed is None:
        return flag
    told = torch.tensor(int(flag), device=device)
    distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
    return bool(told.item())
