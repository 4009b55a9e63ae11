"""What a run tells of itself beside its metrics: progress, checkpoints, notes and a summary.

All of it are events with these payloads, so they travel, are stored and are read like any other record:

- ``progress``: ``operation``, ``value``, ``final_value`` (null: unknown), ``units``
- ``checkpoint``: ``status`` (incomplete or complete), ``path`` or ``artifact_id``
- ``note``: ``text``; ``replaces`` is true in one that takes the place of all earlier ones
- ``summary``: ``values``, an object; a later value replaces an earlier one of the same name
- ``run_unrecorded``: ``refused``, ``dropped``, ``set_aside``, ``keys``: counts of one process since it began
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.handle import RunHandle
from ..errors import SchemaValidationError, WrongTypeError
from ..records.event import EventRecord
from ..records.grammar import check_index, clean_text, shown, to_float
from ..records.jsonable import json_object
from ..records.literals import CHECKPOINT, NOTE, SUMMARY, UNRECORDED
from .events import log_event

LONGEST_NOTE = 100_000


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far an operation has come; ``final_value`` is None while nobody knows it."""

    __module__ = "quark"

    operation: str
    value: float
    final_value: float | None
    units: str

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; None without a final value."""
        if not self.final_value or self.final_value < 0:
            return None
        return min(max(self.value / self.final_value, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint: a file or directory at ``path``, or an artifact of the run.

    Attributes:
        complete: whether it was written to its end; one that was not is never offered for resuming.
        attempt: which attempt at the run wrote it.
        timestamp: when that was recorded, RFC 3339.
        id: identity of the record that says so.
        run_id: the run that wrote it.
    """

    __module__ = "quark"

    step: int | None
    path: str | None
    artifact_id: str | None
    complete: bool
    attempt: int
    timestamp: str
    id: str = ""
    run_id: str = ""

    @property
    def status(self) -> str:
        """``complete`` or ``incomplete``."""
        return "complete" if self.complete else "incomplete"


@dataclass(frozen=True, slots=True)
class UnrecordedValues:
    """What a run was given and did not record, over all its processes.

    Attributes:
        refused: values that broke a rule: a name, a step or a value that no metric can have.
        dropped: records that were given up because no disk took them, or for the journal's quota.
        set_aside: records that a sink could not take; they lie beside the journal, each with its reason.
        keys: refused values by metric key, the most frequent ones.
    """

    __module__ = "quark"

    refused: int = 0
    dropped: int = 0
    set_aside: int = 0
    keys: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them together."""
        return self.refused + self.dropped + self.set_aside


def checked_progress(value: object, final_value: object, operation: object, units: object) -> dict[str, Any]:
    """The payload of a progress event.

    Raises:
        WrongTypeError, SchemaValidationError: a number that is none or not finite, an empty name.
    """
    for text, what in ((operation, "operation"), (units, "units")):
        if not isinstance(text, str) or not text.strip():
            raise SchemaValidationError(f"{what} must be text that is not empty, got {shown(text)}")
    return {
        "operation": clean_text(str(operation)), "value": _number(value, "value"),
        "final_value": None if final_value is None else _number(final_value, "final_value"),
        "units": clean_text(str(units)),
    }  # fmt: skip


def report_checkpoint(
    handle: RunHandle, status: str, *, step: int | None, path: str | None, artifact_id: str | None
) -> EventRecord:
    """Record that a checkpoint is begun (incomplete) or done (complete).

    Raises:
        SchemaValidationError: neither or both of ``path`` and ``artifact_id``.
    """
    if (path is None) == (artifact_id is None):
        raise SchemaValidationError("a checkpoint has either a path or an artifact; give one of the two")
    where = {"path": path} if path is not None else {"artifact_id": artifact_id}
    payload = {"status": status, **where}
    return log_event(handle, CHECKPOINT, step=check_index(step, "step"), status=status, payload=payload)


def report_note(handle: RunHandle, text: object) -> EventRecord:
    """Record a note of a person.

    Raises:
        SchemaValidationError: it is empty or longer than 100,000 characters.
    """
    return log_event(handle, NOTE, payload={"text": checked_note(text)})


def checked_note(text: object) -> str:
    """The text of a note.

    Raises:
        SchemaValidationError: it is empty or longer than 100,000 characters.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_NOTE:
        raise SchemaValidationError(f"a note is text of 1 to {LONGEST_NOTE} characters, got {shown(text)}")
    return clean_text(text)


def notes_of(events: Iterable[EventRecord]) -> tuple[str, ...]:
    """The notes, the oldest first, without those that a later one replaces."""
    made: list[str] = []
    for event in events:
        if event.payload.get("replaces") is True:
            made.clear()
        made.append(event.payload["text"])
    return tuple(made)


def report_summary(handle: RunHandle, values: Mapping[str, Any]) -> EventRecord:
    """Record results that stand for the run as a whole.

    Raises:
        SchemaValidationError, WrongTypeError: no JSON object.
    """
    return log_event(handle, SUMMARY, payload={"values": json_object(values, "summary", strict=handle.strict)})


def report_unrecorded(handle: RunHandle, counts: Mapping[str, Any]) -> EventRecord:
    """Record how much this process has not recorded so far."""
    return log_event(handle, UNRECORDED, severity="warning", payload=counts)


def unrecorded_of(events: Iterable[EventRecord]) -> UnrecordedValues:
    """The counts of all processes; each process's last event holds all of its own."""
    latest = {event.origin.writer_id: event.payload for event in events}
    keys: Counter[str] = Counter()
    for payload in latest.values():
        # a key that looks like the name of a secret has no number any more
        keys.update({key: count for key, count in payload.get("keys", {}).items() if isinstance(count, int)})
    sums = (sum(payload.get(name, 0) for payload in latest.values()) for name in ("refused", "dropped", "set_aside"))
    return UnrecordedValues(*sums, keys=dict(keys.most_common()))


def progress_of(events: Iterable[EventRecord]) -> dict[str, ProgressReport]:
    """The latest report of each operation, in the order of their beginnings."""
    made = {}
    for event in events:
        told = event.payload
        made[told["operation"]] = ProgressReport(
            told["operation"], told["value"], told.get("final_value"), told.get("units", "")
        )
    return made


def checkpoints_of(events: Iterable[EventRecord]) -> tuple[Checkpoint, ...]:
    """The checkpoints that are there: of one place only what was said last, for it was written over."""
    made: dict[tuple[str | None, str | None], Checkpoint] = {}
    for event in events:
        path, artifact_id = event.payload.get("path"), event.payload.get("artifact_id")
        made.pop((path, artifact_id), None)
        made[path, artifact_id] = checkpoint_of(event)
    return tuple(made.values())


def checkpoint_of(event: EventRecord) -> Checkpoint:
    """The checkpoint that an event tells of."""
    payload = event.payload
    return Checkpoint(
        event.step, payload.get("path"), payload.get("artifact_id"), payload.get("status") == "complete",
        event.origin.attempt, event.timestamp, event.id, event.run_id,
    )  # fmt: skip


def latest_of(checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """The one to resume from: complete, of the highest step, the last written of those."""
    found = None
    for checkpoint in checkpoints:
        if checkpoint.complete and (found is None or (checkpoint.step or 0) >= (found.step or 0)):
            found = checkpoint
    return found


def summary_of(events: Iterable[EventRecord]) -> dict[str, Any]:
    """All values, the last one of each name."""
    made: dict[str, Any] = {}
    for event in events:
        made.update(event.payload["values"])
    return made


def _number(value: object, what: str) -> float:
    if isinstance(value, bool):
        raise WrongTypeError(f"{what} must be a number, got {shown(value)}")
    number = to_float(value, what)
    if not math.isfinite(number):
        raise SchemaValidationError(f"{what} must be finite, got {shown(value)}")
    return value if type(value) is int and -(2**63) <= value < 2**64 else number
