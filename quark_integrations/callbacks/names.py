"""The names under which Quark keeps what a module logs."""

import re
from collections.abc import Mapping
from typing import Any

from quark import metric_key

_WORDS = {"val": {"val", "valid", "validation", "validate", "dev", "eval"}, "test": {"test", "testing"}}


class MetricNames:
    """Metrics of a run: as the module names them, in the namespace of their stage.

    What a validation or test logs goes below ``val/`` or ``test/`` unless its name says so itself (``val_loss``,
    ``valid/acc``), so that a ``loss`` of both training and validation is two series. A run takes any name; one in
    strict mode is given the key of it instead, because nobody who trains chooses all names that a framework logs.

    Attributes:
        strict: whether the run is in strict mode.
    """

    def __init__(self) -> None:
        self.strict = False
        self._known: dict[tuple[str, str], str] = {}
        self._training: dict[str, str] = {}

    def key(self, name: str, stage: str) -> str:
        """The name of a metric; ``stage`` is ``val``, ``test`` or empty for training."""
        found = self._known.get((name, stage))
        if found is None:
            placed = _below(name, stage)
            found = self._known[name, stage] = metric_key(placed) if self.strict else placed
        return found

    def add_training(self, row: dict[str, Any], values: Mapping[str, Any]) -> None:
        """Put the values of a training step into its row by their keys."""
        keys = self._training
        for name, value in values.items():
            key = keys.get(name)
            if key is None:
                key = keys[name] = self.key(name, "")
            row[key] = number(value)


def _below(name: str, stage: str) -> str:
    words = set(re.split(r"[^A-Za-z0-9]+", name.lower()))
    return name if not stage or words & _WORDS[stage] else f"{stage}/{name}"


def number(value: Any) -> Any:
    """A value on the processor as a number; one on a device stays there, for reading it would wait for it."""
    return value.item() if getattr(value, "is_cpu", False) and value.numel() == 1 else value
