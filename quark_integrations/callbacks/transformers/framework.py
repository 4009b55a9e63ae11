"""Quark's callback as a subclass of Transformers' own, made when it is asked for: importing Transformers takes long."""

import types
from functools import cache
from importlib import import_module
from typing import Any

import quark

from .callback import QuarkCallback

NAME = "quark"


def register() -> type[QuarkCallback]:
    """Make ``TrainingArguments(report_to="quark")`` known to Transformers, and return the callback.

    Raises:
        MissingDependencyError: Transformers cannot be imported.
    """
    made = callback_class()
    known = _module("transformers.integrations.integration_utils").INTEGRATION_TO_CALLBACK
    known.setdefault(NAME, made)
    return made


@cache
def callback_class() -> type[QuarkCallback]:
    """QuarkCallback as a TrainerCallback; it is pickled by its name in this package.

    Raises:
        MissingDependencyError: Transformers cannot be imported.
    """
    base = _module("transformers.trainer_callback").TrainerCallback
    body = {"__module__": __package__, "__qualname__": "QuarkCallback", "__doc__": QuarkCallback.__doc__}
    return types.new_class("QuarkCallback", (QuarkCallback, base), {}, lambda space: space.update(body))


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise quark.MissingDependencyError(
            f"this needs Transformers, which could not be imported ({error}); "
            'install it with: pip install "quark-tracker[transformers]"'
        ) from error
