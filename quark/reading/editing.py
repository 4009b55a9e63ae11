"""What may be added to a stored run from afar: notes and tags."""

import time
from typing import Any, Self

import msgspec

from ..core.reader import StoreReader
from ..producers.reports import checked_note
from ..records.event import EventRecord
from ..records.line import Line, encode
from ..records.literals import NOTE
from ..records.run import RunRecord
from ..redaction.values import redact_fields
from ..session.checks import check_tag


class Editing:
    """The part of a RunView that writes. In a service it needs a key with the scope write."""

    _reader: StoreReader
    record: RunRecord

    def refresh(self) -> Self:
        """Look the run up again."""
        raise NotImplementedError("what edits a run can refresh it")

    def note(self, text: str, *, replace: bool = False) -> None:
        """Write a note down with the run, whether it goes on or has ended.

        Args:
            text: the note.
            replace: in the place of all notes that the run has; they stay in its events.

        Raises:
            SchemaValidationError: it is empty or longer than 100,000 characters.
            SessionStoreError: the store cannot be written, or the key may not write.
        """
        payload = {"text": checked_note(text), **({"replaces": True} if replace else {})}
        fields: dict[str, Any] = {"event_type": NOTE, "severity": "info", "status": None, "payload": payload}
        body = encode(redact_fields(fields, EventRecord.free_text))
        self._write(Line("event", 0, time.time_ns(), label=NOTE, body=msgspec.Raw(body)))

    def add_tag(self, tag: str) -> None:
        """Add a tag to the run; one that is there already changes nothing.

        Raises:
            SchemaValidationError, WrongTypeError: no text, empty, or longer than 512 characters.
            SessionStoreError: as of ``note``.
        """
        body = encode({"tag": check_tag(tag)})
        self._write(Line("run", 0, time.time_ns(), label="tag", body=msgspec.Raw(body)))
        self.refresh()

    def _write(self, line: Line) -> None:
        self._reader.write_line(self.record.id, self.record.resume_count + 1, line)
