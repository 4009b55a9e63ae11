"""What importers hand over: runs, and rows of values that were logged together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Values that were logged together.

    Attributes:
        values: numbers and texts by name, not nested.
        step, epoch: as the source has them, be they negative or decimal; None if it has none.
        time_ns: wall time in nanoseconds since 1970 UTC; None if the source has none.
    """

    values: dict[str, Any]
    step: Any = None
    epoch: Any = None
    time_ns: int | None = None


@dataclass(slots=True, kw_only=True)
class SourceRun:
    """A run as the source has it.

    Attributes:
        source_id: what identifies it among all sources of its kind; the same text gives the same Quark run.
        location: where it is, for people.
        read: gives its rows in the order of the source, each time from the start. A source that has grown must give
            the rows of before first.
        started_ns: when it started; for a source that does not say, the best that is known.
        project: the project that it belongs to unless the user names one.
        reason: why it ended, such as ``completed``, ``error``, ``interrupted`` or ``lost``; None while it runs.
        ended_ns: when it ended; the time of its last row if None.
        parent_id: the ``source_id`` of the run that it belongs to.
        environment: what is known of the machine and the program.
        remarks: in words, what the source had lost, does not say, or holds that is not imported; ``read`` may add some.
    """

    source_id: str
    location: str
    read: Callable[["SourceRun"], Iterator[Row]]
    started_ns: int
    project: str
    name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    notes: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    parent_id: str | None = None
    reason: str | None = "completed"
    ended_ns: int | None = None
    remarks: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the source, from the start."""
        return self.read(self)

    def remark(self, words: str) -> None:
        """Say something of the source, once."""
        if words not in self.remarks:
            self.remarks.append(words)
