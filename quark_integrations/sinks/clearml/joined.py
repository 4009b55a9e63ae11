"""A task that the user has opened in this process: what is said of it goes through his own object, events past it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .twin import Event, Fields, Twin


class JoinedTask:
    """The user's task. His object is asked to change what it holds, or it would write over it.

    Args:
        task: clearml's ``Task``.
        twin: where events go; his own logger would make his calls wait for ours.
    """

    def __init__(self, task: Any, twin: Twin) -> None:
        self.task = task
        self.twin = twin
        self.task_id = twin.task_id

    def edit(self, fields: Fields) -> None:
        """Add parameters, configurations and tags."""
        parameters = {f"{item['section']}/{item['name']}": item["value"] for item in fields.parameters()}
        if parameters:
            self.task.update_parameters(parameters)
        for name, text in fields.configuration.items():
            self.task.set_configuration_object(name=name, config_text=text, config_type="json")
        if fields.tags:
            self.task.add_tags(list(fields.tags))

    def send(self, events: Sequence[Event], lines: Sequence[Event]) -> None:
        """Add events and lines."""
        self.twin.send(events, lines)

    def plot(self, events: Sequence[Event]) -> None:
        """Add plots."""
        self.twin.plot(events)

    def upload(self, path: Path, artifact: Mapping[str, Any]) -> None:
        """Add a file as an artifact, as it is: nothing is pickled."""
        metadata = dict(artifact["display_data"])
        self.task.upload_artifact(artifact["key"], artifact_object=path, metadata=metadata, wait_on_upload=True)

    def end(self, status: str, reason: str, comment: str) -> None:
        """It is the user's to end."""

    def close(self) -> None:
        """It is the user's to close."""
        self.twin.close()
