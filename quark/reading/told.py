"""What a run told of itself, as it is read: progress, checkpoints, notes, the summary, what its command printed."""

from dataclasses import replace
from typing import Any

from ..producers.reports import (
    Checkpoint,
    ProgressReport,
    UnrecordedValues,
    latest_of,
    notes_of,
    progress_of,
    summary_of,
    unrecorded_of,
)
from ..records.event import EventRecord
from ..records.literals import NOTE, PROGRESS, SUMMARY, UNRECORDED

PRINTED = "log_line"
"""The type of the events that hold printed lines."""


def lines_of(event: EventRecord) -> tuple[EventRecord, ...]:
    """One event for each line of a ``log_line`` event, which holds lines that were printed within a moment."""
    first, messages = event.payload["line"], event.payload["message"].split("\n")
    if len(messages) == 1:
        return (event,)
    return tuple(
        replace(event, payload={**event.payload, "message": message, "line": first + number})
        for number, message in enumerate(messages)
    )


class Told:
    """The part of a RunView that reads events of known types; all are looked up when asked for."""

    def events(self, event_type: str) -> tuple[EventRecord, ...]:
        """The events of a type; a RunView knows how."""
        raise NotImplementedError(f"a reader of {event_type} events defines events")

    def progress(self) -> dict[str, ProgressReport]:
        """How far each operation has come."""
        return progress_of(self.events(PROGRESS))

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints; a RunView knows how."""
        raise NotImplementedError("a reader of checkpoints defines checkpoints")

    def latest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from: the complete one of the highest step. None if there is none."""
        return latest_of(self.checkpoints())

    def notes(self) -> tuple[str, ...]:
        """Its notes, the oldest first."""
        return notes_of(self.events(NOTE))

    def summary(self) -> dict[str, Any]:
        """Results that stand for the run as a whole; the last value of each name."""
        return summary_of(self.events(SUMMARY))

    def unrecorded(self) -> UnrecordedValues:
        """How many values were given to the run and are not in it: refused, dropped, set aside."""
        return unrecorded_of(self.events(UNRECORDED))

    def log_lines(self, stream: str | None = None) -> tuple[EventRecord, ...]:
        """What the program printed, line by line; ``stream``: only stdout, or only stderr.

        The payload holds message, stream and line. Lines of one stream are in their order.
        """
        events = (event for event in self.events(PRINTED) if stream in (None, event.payload["stream"]))
        return tuple(line for event in events for line in lines_of(event))

    @property
    def exit_code(self) -> int | None:
        """How its process ended last, if ``quark run`` started it: the exit code, negative for a signal."""
        exits = self.events("process_exited")
        return exits[-1].payload["exit_code"] if exits else None
