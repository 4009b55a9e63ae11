"""Why a fit ended, read from the model and its callbacks."""

from typing import Any


def reason_of(model: Any, run: Any, callbacks: list[Any]) -> str:
    """The stop reason of a fit that ended without an exception."""
    if run.stop_requested:
        return run.stop_reason
    if early_stopping(callbacks) is not None:
        return "criterion_met"
    return "stopped" if getattr(model, "stop_training", False) else "completed"


def early_stopping(callbacks: list[Any]) -> Any:
    """The EarlyStopping callback that stopped the training, or None."""
    for callback in callbacks:
        if any(cls.__name__ == "EarlyStopping" for cls in type(callback).__mro__) and callback.stopped_epoch > 0:
            return callback
    return None
