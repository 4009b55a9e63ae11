"""The calls of fit, evaluate and predict that are going on, and how they end.

Keras tells its callbacks neither of an exception that leaves ``fit`` nor who the other callbacks are, so these three
methods of ``keras.Model`` are listened to from the first QuarkCallback on. What they do stays the same.
"""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import keras

METHODS = ("fit", "evaluate", "predict")
_going_on = threading.local()


class Call:
    """One call of a method of a model.

    Attributes:
        settings: its arguments that are numbers, words or None.
        callbacks: the callbacks that it was given.
        on_error: called with an exception that leaves it.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.settings = {
            name: value for name, value in arguments.items() if name != "self" and isinstance(value, (int, float, str))
        }
        given = arguments.get("callbacks")
        self.callbacks: list[Any] = list(getattr(given, "callbacks", None) or keras.tree.flatten(given or []))
        self.on_error: list[Callable[[BaseException], None]] = []


def listen() -> None:
    """Hear of calls from now on; a second time nothing more is done."""
    for name in METHODS:
        original = getattr(keras.Model, name)
        if not getattr(original, "heard_by_quark", False):
            setattr(keras.Model, name, _heard(original))


def calls() -> list[Call]:
    """The calls of this thread, the innermost last."""
    if not hasattr(_going_on, "calls"):
        _going_on.calls = []
    return _going_on.calls


def _heard(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            call = Call(signature.bind(self, *arguments, **options).arguments)
        except TypeError:  # Keras says better what is wrong
            return original(self, *arguments, **options)
        going_on = calls()
        going_on.append(call)
        try:
            return original(self, *arguments, **options)
        except BaseException as error:
            for act in call.on_error:
                act(error)
            raise
        finally:
            going_on.remove(call)

    method.heard_by_quark = True  # type: ignore[attr-defined]  # read by listen
    return method
