"""An offline session: a folder in the form of ClearML's own, which ``Task.import_offline_session`` takes."""

import json
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .twin import Event, Fields

METRICS, LOG, TASK = "metrics.jsonl", "log.jsonl", "task.json"


class Folder:
    """A session's folder. What lies behind the mark of a file was written and not yet acknowledged.

    ClearML's own offline mode is a switch of the whole process and keeps a record twice that came twice; so the files
    are written here. In a session of our own, what lies behind a mark is cut off before anything is added. In a
    session that the user has open it is read instead, and what of ours is there is not written again.

    Args:
        path: the folder, named by the task's id.
        marks: length in bytes of each file when it was last acknowledged; kept up to date, and kept by the caller.
        owned: whether the session is ours.
    """

    def __init__(self, path: Path, marks: dict[str, int], *, owned: bool) -> None:
        self.path = path
        self.task_id = path.name
        self.marks = marks
        self.owned = owned

    def edit(self, fields: Fields) -> None:
        """Write what the task says of itself; the user's own session says it by his task."""
        if not self.owned:
            return
        task = self._task()
        for item in fields.parameters():
            task["hyperparams"].setdefault(item["section"], {})[item["name"]] = item
        for name, text in fields.configuration.items():
            task["configuration"][name] = {"name": name, "type": "json", "value": text}
        task["tags"] = list(dict.fromkeys((*task["tags"], *fields.tags)))
        task["script"] |= fields.script
        for name in ("name", "comment"):
            task[name] = getattr(fields, name) or task.get(name, "")
        task["project_name"] = fields.project or task.get("project_name", "")
        task.update(status="in_progress", status_reason="", status_message="")
        self._write_task(task)

    def send(self, events: Sequence[Event], lines: Sequence[Event]) -> None:
        """Add events and lines; on the disk when it returns."""
        made = {name: self._append(name, added) for name, added in ((METRICS, events), (LOG, lines))}
        self.marks.update(made)

    def plot(self, events: Sequence[Event]) -> None:
        """Add plots behind the mark: they are replaced when the run goes on."""
        self._append(METRICS, events)

    def upload(self, path: Path, artifact: Mapping[str, Any]) -> None:
        """Copy the file into the session."""
        if not self.owned:
            return
        # the name before the first dot and id is what clearml replaces when it imports the session
        place = self.path / "data" / f"quark.{self.task_id}" / "artifacts" / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.new")
        shutil.copyfile(path, temporary)
        temporary.replace(place)
        task = self._task()
        others = [one for one in task["execution"]["artifacts"] if one["key"] != artifact["key"]]
        task["execution"]["artifacts"] = [*others, {**artifact, "uri": place.as_posix()}]
        self._write_task(task)

    def end(self, status: str, reason: str, comment: str) -> None:
        """Write the status, and pack the session as clearml does."""
        if not self.owned:
            return
        task = self._task()
        task.update(status=status, status_reason=reason, status_message=reason, comment=comment)
        self._write_task(task)
        packed = self.path.with_name(f"{self.task_id}.zip")
        temporary = self.path.with_name(f".{self.task_id}.zip.new")
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for found in sorted(self.path.rglob("*")):
                if found.is_file():
                    file.write(found, found.relative_to(self.path).as_posix())
        temporary.replace(packed)

    def close(self) -> None:
        """Nothing is open."""

    def _append(self, name: str, events: Sequence[Event]) -> int:
        """Add a line with the events that are not there; the length of the file."""
        self.path.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(file).st_size
            mark = min(self.marks.get(name, 0), size)
            if size > mark:
                if self.owned:
                    os.ftruncate(file, mark)
                else:
                    events = _missing(events, os.pread(file, size - mark, mark))
            if events:
                _write_all(file, (json.dumps(list(events)) + "\n").encode())
                os.fdatasync(file)
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _task(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / TASK).read_bytes())
        except FileNotFoundError:
            found = {}
        execution = {"artifacts": [], "parameters": {}}
        return {
            "id": self.task_id, "type": "training", "hyperparams": {}, "configuration": {}, "tags": [], "script": {},
            "execution": execution, "output": {}, "offline_folder": self.path.as_posix(), "offline_output_models": [],
            **found,
        }  # fmt: skip

    def _write_task(self, task: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / f".{TASK}.new"
        temporary.write_text(json.dumps(task, sort_keys=True), "utf-8")
        temporary.replace(self.path / TASK)


def _missing(events: Sequence[Event], written: bytes) -> list[Event]:
    """The events that are not among those written already."""
    there: Counter[str] = Counter()
    for line in written.splitlines():
        try:
            there.update(json.dumps(event, sort_keys=True) for event in json.loads(line))
        except ValueError:
            continue  # a line that a crash tore off
    missing = []
    for event in events:
        known = json.dumps(event, sort_keys=True)
        if there[known]:
            there[known] -= 1
        else:
            missing.append(event)
    return missing


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
