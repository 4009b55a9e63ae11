"""A task on a ClearML server, filled by plain requests of clearml's own session: no thread, no hook, no process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import installed
from .twin import Event, Fields

LINES_KNOWN = 5000
"""How many of the console's last lines are asked for after a break: more than a batch has at once."""

EVENTS_AT_ONCE = 1000


class ClearMLServerError(RuntimeError):
    """A ClearML server refused a request; the message says which one and why."""


class Server:
    """A connection to the server of clearml's configuration."""

    def __init__(self) -> None:
        self.session = installed.connect()

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """One request, such as ``tasks.edit``; the data of the answer.

        Raises:
            ClearMLServerError: the server refused it.
        """
        service, action = endpoint.split(".")
        return _data(endpoint, self.session.send_request(service, action, method="post", json=body))

    def add(self, events: Sequence[Event]) -> None:
        """Add events; a server keeps one of the same task, iteration, title and series."""
        for start in range(0, len(events), EVENTS_AT_ONCE):
            part = list(events[start : start + EVENTS_AT_ONCE])
            for answer in self.session.send_request_batch("events", "add_batch", json=part, method="post") or ():
                _data("events.add_batch", answer)

    def project(self, name: str) -> str:
        """The id of a project, which is made if there is none of this name."""
        import re

        found = self.call("projects.get_all", name=f"^{re.escape(name)}$", only_fields=["id", "name"])
        for project in found.get("projects") or ():
            if project.get("name") == name:
                return project["id"]
        return self.call("projects.create", name=name, description="")["id"]

    def is_marked(self, task_id: str, mark: str) -> bool:
        """Whether there is such a task, and it has this mark."""
        found = self.call("tasks.get_all", id=[task_id], only_fields=["id", "system_tags"]).get("tasks") or ()
        return any(mark in (task.get("system_tags") or ()) for task in found)

    def made(self, name: str, project: str, mark: str) -> str:
        """The id of a task with this mark: one that a process made which died before it wrote the id down, or new."""
        project_id = self.project(project)
        found = self.call("tasks.get_all", project=[project_id], system_tags=[mark], only_fields=["id"])
        tasks = found.get("tasks") or ()
        if tasks:
            return tasks[0]["id"]
        return self.call("tasks.create", name=name, project=project_id, type="training", system_tags=[mark])["id"]


class ServerTask:
    """A task on the server.

    Args:
        server: the connection.
        task_id: the task.
        owned: False: the user has opened it; nothing that he said of it is changed.
        goes_on: whether an earlier process may have sent lines that it did not note down.
    """

    def __init__(self, server: Server, task_id: str, *, owned: bool, goes_on: bool) -> None:
        self.server = server
        self.task_id = task_id
        self.owned = owned
        self._unsure = goes_on
        if owned:
            server.call("tasks.started", task=task_id, force=True, status_reason="", status_message="")

    def edit(self, fields: Fields) -> None:
        """Add to the parameters, configurations and tags, and set the rest."""
        call, task = self.server.call, self.task_id
        if parameters := fields.parameters():
            call("tasks.edit_hyper_params", task=task, hyperparams=parameters, force=True)
        if texts := [{"name": name, "type": "json", "value": text} for name, text in fields.configuration.items()]:
            call("tasks.edit_configuration", task=task, configuration=texts, force=True)
        changed: dict[str, Any] = {}
        if fields.tags:
            there = (call("tasks.get_by_id", task=task).get("task") or {}).get("tags") or ()
            changed["tags"] = list(dict.fromkeys((*there, *fields.tags)))
        if self.owned:
            rest = {"comment": fields.comment, "parent": fields.parent, "script": fields.script}
            changed |= {name: value for name, value in rest.items() if value}
        if changed:
            call("tasks.edit", task=task, force=True, **changed)

    def send(self, events: Sequence[Event], lines: Sequence[Event]) -> None:
        """Add events and lines. After a break the lines that are there are asked for: the server keeps all it gets."""
        if lines and self._unsure:
            known = self._last_lines()
            lines = [line for line in lines if (line["timestamp"], line["msg"]) not in known]
        self.server.add(events)
        self._unsure = True  # until they are acknowledged, some of them may be there
        self.server.add(lines)
        self._unsure = False

    def plot(self, events: Sequence[Event]) -> None:
        """Add plots; the server shows the last one of a name."""
        self.server.add(events)

    def upload(self, path: Path, artifact: Mapping[str, Any]) -> None:
        """Bring the file to the place that clearml is configured for, and name it."""
        uri = self._stored(path)
        described = [{**artifact, "uri": uri}]
        self.server.call("tasks.add_or_update_artifacts", task=self.task_id, artifacts=described, force=True)

    def end(self, status: str, reason: str, comment: str) -> None:
        """Set the status."""
        if self.owned:
            self.server.call("tasks.edit", task=self.task_id, force=True, comment=comment)
            self.server.call(
                f"tasks.{status}", task=self.task_id, force=True, status_reason=reason, status_message=reason
            )

    def close(self) -> None:
        """The session is let go."""

    def _last_lines(self) -> set[tuple[Any, str]]:
        found = self.server.call(
            "events.get_task_log", task=self.task_id, batch_size=LINES_KNOWN, navigate_earlier=True
        )
        return {(line.get("timestamp"), line.get("msg")) for line in found.get("events") or ()}

    def _stored(self, path: Path) -> str:
        from clearml.backend_api import Session

        base = str(Session.get_files_server_host()).rstrip("/")
        name = f"quark/{self.task_id}/artifacts/{path.parent.name}/{path.name}"
        if not base.startswith(("http://", "https://")):
            from clearml import StorageManager

            return str(StorageManager.upload_file(str(path), f"{base}/{name}"))
        import requests

        headers = self.server.session.add_auth_headers({})
        with path.open("rb") as file:
            answer = requests.post(base, files={name: (name, file)}, headers=headers, timeout=installed.TIMEOUT_S)
        if answer.status_code != 200:
            raise ClearMLServerError(f"the file server {base} answered {answer.status_code} to {name}; is it in order?")
        return f"{base}/{name}"


def _data(endpoint: str, answer: Any) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if answer.status_code != 200:
        reason = (body.get("meta") or {}).get("result_msg") or answer.reason
        raise ClearMLServerError(
            f"ClearML refused {endpoint}: {answer.status_code} {reason}; the records wait and are sent again"
        )
    return body.get("data") or {}
