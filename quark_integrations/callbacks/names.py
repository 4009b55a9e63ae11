"""The metric keys under which Quark keeps what a module logs."""

import re
from collections.abc import Mapping
from typing import Any

_WORDS = {"val": {"val", "valid", "validation", "validate", "dev", "eval"}, "test": {"test", "testing"}}
_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*\Z")
LONGEST = 512


class MetricNames:
    """Keys of a run: as the module names them, in the namespace of their stage, in the letters that a key may have.

    What a validation or test logs goes below ``val/`` or ``test/`` unless its name says so itself (``val_loss``,
    ``valid/acc``), so that a ``loss`` of both training and validation is two series.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._training: dict[str, str] = {}
        self._taken: set[str] = set()

    def key(self, name: str, stage: str) -> str:
        """The key of a metric; ``stage`` is ``val``, ``test`` or empty for training."""
        found = self._known.get((name, stage))
        if found is None:
            found = self._known[name, stage] = self._free(_allowed(_below(name, stage)))
        return found

    def add_training(self, row: dict[str, Any], values: Mapping[str, Any]) -> None:
        """Put the values of a training step into its row by their keys."""
        keys = self._training
        for name, value in values.items():
            key = keys.get(name)
            if key is None:
                key = keys[name] = self.key(name, "")
            row[key] = number(value)

    def _free(self, key: str) -> str:
        """``key``, or with a number where another name has become the same key."""
        free, count = key, 2
        while free in self._taken:
            free, count = f"{key[: LONGEST - 8]}_{count}", count + 1
        self._taken.add(free)
        return free


def _below(name: str, stage: str) -> str:
    words = set(re.split(r"[^A-Za-z0-9]+", name.lower()))
    return name if not stage or words & _WORDS[stage] else f"{stage}/{name}"


def _allowed(name: str) -> str:
    if _ALLOWED.match(name) and len(name) <= LONGEST:
        return name
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "_", part).lstrip("._-") for part in name.split("/")]
    return "/".join(part for part in parts if part)[:LONGEST].rstrip("/") or "unnamed"


def number(value: Any) -> Any:
    """A value on the processor as a number; one on a device stays there, for reading it would wait for it."""
    return value.item() if getattr(value, "is_cpu", False) and value.numel() == 1 else value
