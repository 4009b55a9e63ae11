"""A compiled Keras model as a configuration that JSON can hold: its layers, optimizer, loss and metrics."""

import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

from ..settings import plain

LARGEST = 32_000
"""A model's own configuration of more characters than this is stored as a file of the run."""

_OF_KERAS = ("module", "registered_name", "build_config", "shared_object_id")


def configuration(model: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run should know of a fit: ``model``, ``optimizer``, ``compile``, ``fit``.

    Args:
        model: the Keras model, built and compiled.
        settings: how its user called ``fit``.
    """
    compiled = dict(compact(_asked(model, "get_compile_config") or {}))
    optimizer = compiled.pop("optimizer", None)
    found = {
        "model": {
            "class": type(model).__name__, "name": getattr(model, "name", None),
            "parameters": _count(model, "weights"), "trainable_parameters": _count(model, "trainable_weights"),
        },
        "optimizer": {"class": optimizer} if isinstance(optimizer, str) else optimizer,
        "compile": compiled,
        "fit": {name: value for name, value in settings.items() if name != "verbose"},
    }  # fmt: skip
    return plain({key: value for key, value in found.items() if value})


def architecture(model: Any) -> tuple[dict[str, Any], bool]:
    """The model's own configuration, empty if it has none, and whether it is too large for that of the run."""
    config = plain(compact(_asked(model, "get_config") or {}))
    return config, len(json.dumps(config)) > LARGEST


def compact(value: Any) -> Any:
    """What Keras serializes without what only Keras needs: ``{"class": "Adam", "beta_1": 0.9, ...}``."""
    if isinstance(value, (list, tuple)):
        return [compact(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value or "config" not in value:
        return {str(key): compact(item) for key, item in value.items() if key not in _OF_KERAS}
    name, config = str(value["class_name"]), value["config"]
    if name == "__lambda__":
        return "lambda"
    if not isinstance(config, Mapping):  # a function or a type, by name
        return compact(config) if config is not None else name
    return {"class": name, **compact(config)}


def _asked(model: Any, method: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what cannot be saved, which nobody wants to do here
            return getattr(model, method)()
    except Exception:  # noqa: BLE001  models of users' own classes need not be serializable, and fail in any way
        return None


def _count(model: Any, weights: str) -> int:
    return sum(math.prod(variable.shape) for variable in getattr(model, weights, ()))
