"""Settings of a training as a configuration that JSON can hold, whatever they were given as."""

import enum
import math
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

LONGEST = 200
DEEPEST = 8


def plain(params: Any) -> dict[str, Any]:
    """A mapping or an ``argparse.Namespace`` as a JSON object; what JSON cannot hold is named instead."""
    given = _value(params, 0)
    if not isinstance(given, dict):
        return {}
    given.pop("_class_path", None)  # of LightningCLI
    return given


def _value(value: Any, depth: int) -> Any:
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < DEEPEST:
        if isinstance(value, Namespace):
            value = vars(value)
        elif is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, Mapping):
            return {str(key): _value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_value(item, depth + 1) for item in value]
    return _named(value, depth)


def _named(value: Any, depth: int) -> Any:
    if isinstance(value, enum.Enum):
        return _value(value.value, depth + 1) if depth < DEEPEST else value.name
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _value(value.item(), DEEPEST)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "named_parameters"):  # the whole text of a network would be pages
        return type(value).__name__
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
