"""Why a fit ended, read from the Trainer."""

from typing import Any


def reason_of(trainer: Any, run: Any) -> str:
    """The stop reason of a fit that ended without an exception."""
    if trainer.fast_dev_run or _name(trainer.state.fn) != "fit":
        return "completed"
    if run.stop_requested:
        return run.stop_reason
    if early_stopping(trainer) is not None:
        return "criterion_met"
    if trainer.max_steps not in (-1, None) and trainer.global_step >= trainer.max_steps:
        return "max_steps"
    return "stopped" if trainer.should_stop and not _went_through(trainer) else "completed"


def _went_through(trainer: Any) -> bool:
    """Whether all epochs were trained; the last one counts as processed even if it was broken off."""
    if trainer.max_epochs in (-1, None) or trainer.fit_loop.epoch_progress.current.processed < trainer.max_epochs:
        return False
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def early_stopping(trainer: Any) -> Any:
    """The EarlyStopping callback that stopped the training, or None."""
    if not trainer.should_stop:
        return None
    for callback in trainer.callbacks:
        if any(cls.__name__ == "EarlyStopping" for cls in type(callback).__mro__) and _stopped(callback):
            return callback
    return None


def _stopped(callback: Any) -> bool:
    reason = getattr(callback, "stopping_reason", None)  # since Lightning 2.6
    if reason is not None:
        return reason.name != "NOT_STOPPED"
    return callback.stopped_epoch > 0 or callback.wait_count >= callback.patience


def _name(value: Any) -> str:
    """The text of one of Lightning's enumerations, which are those of two packages."""
    return str(getattr(value, "value", value)).lower()
