"""What a launcher adds to the run of its command: the lines that were printed, and the exit code."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..core.lifecycle import RunManifest, status_of
from ..delivery.dispatcher import Dispatcher
from ..delivery.place import writer_places
from ..records.base import Origin, format_timestamp
from ..records.line import Line, encode
from ..records.run import ProjectRecord, RunRecord, project_id
from ..redaction import redact, redact_arguments
from ..session.capture.lines import PrintedLine, body_of_lines
from ..session.environment import read_field
from ..session.home import home_of, home_of_note
from ..session.identity import new_writer_id
from ..session.placement import Placement, writable_placement
from ..session.sync import SyncReport, sync_run
from .note import RunNote

CLOSE_S = 5.0


class LaunchRecord:
    """A journal of the launcher's own beside that of the session: as safe as that one, and delivered with it.

    While the session lives it delivers both. Behind its end the launcher delivers what is left of both, so that the
    run is complete also when its process was killed.
    """

    def __init__(self, note: RunNote, *, started_ns: int) -> None:
        self.note = note
        self._placement = Placement(Path(note.storage_dir))
        self._origin = Origin(note.run_id, f"launcher-{new_writer_id(0, note.attempt)}", 0, note.attempt)
        manifest = RunManifest(
            run_id=note.run_id, project=note.project, attempt=note.attempt, storage_dir=note.storage_dir,
            run_path=str(self._placement.run_path(note.run_id)), started_at=format_timestamp(started_ns),
        )  # fmt: skip
        self._dispatcher = Dispatcher(self._placement.journals(note.run_id), self._origin, manifest, owns_run=False)
        content = {**self._dispatcher.place.content(), "sinks": [note.home]}
        self._dispatcher.place.describe(self._origin, content)
        self._dispatcher.start()

    def home(self) -> Any:
        """Where the run lives."""
        return home_of_note(self._placement, self.note.home)

    def start_bare(self, command: Sequence[str], started_ns: int) -> None:
        """The command started no run: there is one all the same, with what it printed and how it ended."""
        note, at = self.note, format_timestamp(started_ns)
        project = ProjectRecord(
            id=project_id(note.project), name=note.project, root_path=str(self._placement.store_root), created_at=at,
            updated_at=at,
        )  # fmt: skip
        run = RunRecord(
            id=note.run_id, name=" ".join(redact_arguments(command))[:200], project_id=project.id,
            project_name=project.name, status="running", lineage_root_run_id=note.run_id,
            run_path=str(self._placement.run_path(note.run_id)), config={}, started_at=at, updated_at=at,
            environment={"host": read_field("host"), "command": redact_arguments(command), "launcher": "quark run"},
        )  # fmt: skip
        self._append("run", "start", {"project": project.to_dict(), "run": run.to_dict()}, started_ns)
        if note.attempt > 1:
            self._append("run", "resume", {"attempt": note.attempt, "resumed_at": at, "environment": run.environment})

    def lines(self, lines: Iterable[PrintedLine]) -> None:
        """Lines were printed."""
        for line in lines:
            self._append("event", "log_line", body_of_lines([line]), line.time_ns)

    def event(self, event_type: str, severity: str, payload: Mapping[str, Any]) -> None:
        """Something happened to the command."""
        self._event(event_type, severity, redact(payload), time.time_ns())

    def ended(self, reason: str, *, overrules: bool) -> None:
        """The process is gone. It is the end of the run if nobody wrote one and none of its processes lives.

        ``overrules``: a run that says completed has failed, since the process says so.
        """
        if any(
            place.alive()
            for place in writer_places(self._placement.journals(self.note.run_id))
            if place.directory != self._dispatcher.place.directory
        ):
            return
        now = format_timestamp(time.time_ns())
        body = {"status": status_of(reason), "reason": reason, "ended_at": now, "overrules": overrules}
        self._append("run", "exit", body)

    def close(self) -> SyncReport:
        """Deliver what is left; what cannot be delivered now waits for ``quark sync``."""
        self._dispatcher.close(None, "completed", time.monotonic() + CLOSE_S)
        return sync_run(self._placement, self.note.run_id)

    def _event(self, event_type: str, severity: str, payload: Mapping[str, Any], time_ns: int) -> None:
        body = {"event_type": event_type, "severity": severity, "status": None, "payload": dict(payload)}
        self._append("event", event_type, body, time_ns)

    def _append(self, kind: str, label: str, body: Mapping[str, Any], time_ns: int | None = None) -> None:
        raw, moment = msgspec.Raw(encode(dict(body))), time_ns or time.time_ns()
        self._dispatcher.journal.append(lambda n: encode(Line(kind, n, moment, label=label, body=raw)) + b"\n")


def note_of_bare_run(run_id: str, attempt: int, project: str | None, storage_dir: Path | None) -> RunNote:
    """Where the run of a command that starts none lives; its project is the working directory's name if none is set."""
    placement = writable_placement(storage_dir, run_id)
    sink = home_of(placement, storage_dir).sink()
    try:
        home = {"name": sink.name, "kind": sink.name, "options": sink.spec()}
    finally:
        sink.close()
    return RunNote(
        run_id,
        str(placement.storage_dir),
        project or os.path.basename(read_field("working_directory") or "") or "run",
        attempt,
        home,
    )
