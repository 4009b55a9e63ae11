"""What a source says of a run as a whole, and the lines that bring a store up to date with it."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ..core.lifecycle import status_of
from ..errors import QuarkError
from ..producers.reports import checked_note
from ..records.base import format_timestamp
from ..records.jsonable import json_object
from ..records.limits import MAX_RECORD_BYTES, check_size
from ..records.line import encode
from ..records.literals import NOTE, SUMMARY
from ..records.run import RunRecord
from ..redaction import redact
from ..session.checks import check_project, cut_name, usable_tags
from .recording import ImportedRun
from .source import SourceRun

IMPORTED = "run_imported"
"""The event that says what was imported from where, and how far."""

ROOM = MAX_RECORD_BYTES // 4
"""Bytes that a configuration, a summary or a description of an environment may take."""


class State:
    """What a source says of a run, checked; what cannot be kept is left out and said in ``remarks``."""

    def __init__(self, source: SourceRun, project: str | None) -> None:
        self.remarks: list[str] = []
        faults: list[Any] = []
        self.project = check_project(project or source.project.strip()[:200] or "imported")
        self.name = cut_name(source.name, faults)
        self.tags = usable_tags(source.tags, faults)
        self.config = self._object(source.config, "config")
        self.environment = self._object(source.environment, "environment")
        self.summary = self._object(source.summary, "summary")
        self.notes = self._notes(source.notes)
        self.reason = source.reason
        self.remarks += [str(fault) for fault in faults]

    def _object(self, value: Mapping[str, Any], what: str) -> dict[str, Any]:
        try:
            made = redact(json_object(value, what, strict=False))
            check_size(encode(made), f"the {what}", ROOM)
        except QuarkError as error:
            self.remarks.append(f"the {what} is left out: {error}")
            return {}
        return made

    def _notes(self, text: str | None) -> str | None:
        if not text:
            return None
        try:
            return checked_note(text)
        except QuarkError as error:
            self.remarks.append(f"the notes are left out: {error}")
            return None

    def digests(self, ended_ns: int | None) -> dict[str, str]:
        """A digest of each part, by which a later import knows what the source has changed since."""
        parts = {
            "name": self.name, "tags": self.tags, "config": self.config, "summary": self.summary,
            "notes": self.notes, "end": None if self.reason is None else (self.reason, ended_ns),
        }  # fmt: skip
        return {name: hashlib.sha256(encode(part)).hexdigest()[:16] for name, part in parts.items()}

    def write(self, run: ImportedRun, known: RunRecord, changed: set[str], is_new: bool) -> None:
        """Write the parts that changed. What people edited since the last import stays if the source did not change."""
        if "name" in changed and self.name != known.name:
            run.lifecycle("rename", {"name": self.name})
        if "tags" in changed:
            for tag in self.tags:
                if tag not in known.tags:
                    run.lifecycle("tag", {"tag": tag})
        config = {name: value for name, value in self.config.items() if known.config.get(name) != value}
        if "config" in changed and config:
            run.lifecycle("config", {"values": config})
        if "summary" in changed and self.summary:
            run.event(SUMMARY, {"values": self.summary})
        if "notes" in changed and self.notes:
            run.event(NOTE, {"text": self.notes, **({} if is_new else {"replaces": True})})
        if "end" in changed and self.reason is not None:
            body = {"status": status_of(self.reason), "reason": self.reason, "ended_at": format_timestamp(run.now)}
            run.lifecycle("end", body)
