"""Where a Trainer is listened to: Transformers tells its callbacks neither who calls nor that something went wrong.

A callback is not given the Trainer, is not called when a training breaks off, and does not see the batches. So the
Trainer is looked up among the callers, once, and a few methods of that one object are wrapped.
"""

import sys
from typing import Any

DEEPEST = 25
BREAKABLE = ("_inner_training_loop", "_run_epoch", "_finalize_training")
"""An exception that leaves one of these has ended the training; which of them there are differs by version."""
ALONE = ("evaluate", "predict")
SEEN = ("get_batch_samples", "training_step", "_get_grad_norm", "_save_checkpoint")


def calling_trainer() -> Any:
    """The Trainer on whose behalf this is called, or None."""
    frame = sys._getframe(1)
    for _ in range(DEEPEST):
        if frame is None:
            break
        found = frame.f_locals.get("self")
        if hasattr(found, "callback_handler") and hasattr(found, "_inner_training_loop"):
            return found
        frame = frame.f_back
    return None


class Wrapped:
    """A method of one Trainer object, with what the callback wants to know around it."""

    def __init__(self, trainer: Any, name: str, callback: Any) -> None:
        self._trainer = trainer
        self._name = name
        self._callback = callback
        self._own = vars(trainer).get(name)  # someone else has put it there

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        name, callback = self._name, self._callback
        original = self._own or getattr(type(self._trainer), name).__get__(self._trainer)
        if callback not in self._trainer.callback_handler.callbacks:
            return original(*arguments, **options)
        if name in BREAKABLE:
            return callback.breakable(original, arguments, options)
        if name in ALONE:
            return callback.alone(self._trainer, name, original, arguments, options)
        return callback.seen(name, original, arguments, options)


def wrap(trainer: Any, callback: Any) -> None:
    """Listen to a Trainer, for as long as ``callback`` is one of its callbacks."""
    for name in (*BREAKABLE, *ALONE, *SEEN):
        known = vars(trainer).get(name)
        if callable(getattr(trainer, name, None)) and not (isinstance(known, Wrapped) and known._callback is callback):
            setattr(trainer, name, Wrapped(trainer, name, callback))
