"""Why a training ended, read from the Trainer."""

from collections.abc import Iterable
from typing import Any


def reason_of(run: Any, args: Any, state: Any, control: Any, callbacks: Iterable[Any]) -> str:
    """The stop reason of a training that ended without an exception."""
    if run.stop_requested:
        return run.stop_reason
    if state.global_step >= state.max_steps:
        return "max_steps" if args.max_steps > 0 else "completed"
    return "criterion_met" if early_stopping(control, callbacks) is not None else "stopped"


def early_stopping(control: Any, callbacks: Iterable[Any]) -> Any:
    """The EarlyStoppingCallback that stopped the training, or None."""
    if not control.should_training_stop:
        return None
    for callback in callbacks:
        if any(cls.__name__ == "EarlyStoppingCallback" for cls in type(callback).__mro__):
            patience = getattr(callback, "early_stopping_patience", None)
            if patience is not None and callback.early_stopping_patience_counter >= patience:
                return callback
    return None
