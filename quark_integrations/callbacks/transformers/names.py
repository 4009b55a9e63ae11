"""The metric keys under which Quark keeps what a Trainer logs."""

from collections.abc import Mapping
from typing import Any

from ..names import MetricNames

_STAGES = ("eval", "test")


class LogNames:
    """Names of metrics, as Transformers' own integrations name them: ``train/loss``, ``eval/loss``, ``test/accuracy``.

    What an evaluation logs besides (the epoch) is its own. An evaluation with a prefix of its own has the namespace of
    that prefix.
    """

    def __init__(self) -> None:
        self._names = MetricNames()
        self._known: dict[tuple[str, str], str] = {}

    def of_run(self, run: Any) -> None:
        """The names are for this run, which may be in strict mode."""
        self._names.strict = getattr(run, "strict", False)

    def keyed(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of one log by their names in Quark."""
        stage = stage_of(logs)
        known = self._known
        row = {}
        for name, value in logs.items():
            key = known.get((name, stage))
            if key is None:
                key = known[name, stage] = self._names.key(_placed(str(name), stage), "")
            row[key] = value
        return row


def stage_of(logs: Mapping[str, Any]) -> str:
    """What was done: ``train``, ``eval``, ``test``, or the prefix of an evaluation that has its own."""
    for name in map(str, logs):
        for stage in _STAGES:
            if name.startswith(f"{stage}_"):
                return stage
    timed = [name.removesuffix("_runtime") for name in map(str, logs) if name.endswith("_runtime")]
    return timed[0] if timed and timed[0] else "train"


def _placed(name: str, stage: str) -> str:
    if stage == "train":
        return f"train/{name}"
    return f"{stage}/{name.removeprefix(f'{stage}_')}"
