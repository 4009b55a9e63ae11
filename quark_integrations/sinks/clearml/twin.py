"""What a run's twin in ClearML can do, whether it is a task on a server or an offline session's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Event = dict[str, Any]
"""One of ClearML's events as JSON: a scalar, a plot or a line of the console."""


@dataclass(slots=True)
class Fields:
    """What is known of a task beside its events.

    Attributes:
        hyperparams: by section, the value of each parameter as text with its type.
        configuration: texts by name.
        script: git commit, entry point and the like, under ClearML's names.
    """

    name: str = ""
    project: str = ""
    tags: Sequence[str] = ()
    comment: str = ""
    parent: str | None = None
    hyperparams: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    configuration: dict[str, str] = field(default_factory=dict)
    script: dict[str, Any] = field(default_factory=dict)

    def parameters(self) -> list[dict[str, str]]:
        """The hyperparameters as ClearML's items."""
        return [
            {"section": section, "name": name, "value": value, "type": kind, "description": ""}
            for section, values in self.hyperparams.items()
            for name, (value, kind) in values.items()
        ]


class Twin(Protocol):
    """A task that is being filled. Everything may be called again with the same content without harm."""

    task_id: str

    def edit(self, fields: Fields) -> None:
        """Add to what the task says of itself, or replace it; empty fields change nothing."""

    def send(self, events: Sequence[Event], lines: Sequence[Event]) -> None:
        """Add scalars, and lines of the console."""

    def plot(self, events: Sequence[Event]) -> None:
        """Show plots in place of earlier ones of the same names."""

    def upload(self, path: Path, artifact: Mapping[str, Any]) -> None:
        """Add a file, or replace it; ``artifact`` is ClearML's description of it, without its address."""

    def end(self, status: str, reason: str, comment: str) -> None:
        """Set the terminal status: completed, failed or stopped; a joined task is left open."""

    def close(self) -> None:
        """Let go of connections."""
