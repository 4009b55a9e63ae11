"""What happened in a run, in the order of time: events and others that are tailed, and the metrics of each step."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..core.reader import RecordFilter
from ..records.base import Record, format_timestamp
from ..records.event import EventRecord
from ..records.kinds import KINDS
from .told import PRINTED, lines_of

if TYPE_CHECKING:
    from .view import RunView

PAGE = 1000


@dataclass(slots=True)
class Happening:
    """An event, a record of another kind that is tailed, or the metrics that one process recorded at one step."""

    time_ns: int
    step: int | None = None
    epoch: int | None = None
    event: EventRecord | None = None
    record: Record | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values: a record's own fields, or time, step, epoch and metrics."""
        record = self.event or self.record
        if record is not None:
            return {"kind": record.kind, **record.to_dict()}
        at = format_timestamp(self.time_ns)
        return {"kind": "metrics", "timestamp": at, "step": self.step, "epoch": self.epoch, "metrics": self.metrics}


def latest(view: "RunView", count: int, *, system: bool = False) -> list[Happening]:
    """The last ``count`` happenings of a run; the machine's own metrics only with ``system``."""
    events = [Happening(event.time_ns, event.step, event.epoch, event) for event in latest_events(view, count)]
    others = [_other(record) for kind in _other_kinds() for record in deque(view.records(kind), maxlen=count)]
    found = [*events, *others, *_latest_metrics(view, count, system)]
    return sorted(found, key=attrgetter("time_ns"))[-count:] if count else []


def latest_events(view: "RunView", count: int) -> "list[EventRecord]":
    """The last ``count`` events but for printed lines, in their order."""
    left_out = ("run_unrecorded", "run_analyzed", "log_line")
    happened = (event for event in view.records("event") if event.event_type not in left_out)  # type: ignore[attr-defined]
    return list(deque(happened, maxlen=count))  # type: ignore[arg-type]


def _other_kinds() -> list[str]:
    """The kinds of other packages that are tailed."""
    return [name for name, cls in KINDS.items() if cls.tailed and cls is not EventRecord]


def _other(record: Record) -> Happening:
    return Happening(record.time_ns, getattr(record, "step", None), getattr(record, "epoch", None), record=record)


def printed(view: "RunView", count: int) -> list[Happening]:
    """The last ``count`` lines that the program printed."""
    lines = view.log_lines()
    return [Happening(line.time_ns, line.step, line.epoch, line) for line in lines[max(0, len(lines) - count) :]]


def _latest_metrics(view: "RunView", count: int, system: bool) -> list[Happening]:
    """Per process and step the metrics that were recorded there; no metric can have more than ``count`` of the last."""
    rows: dict[tuple[int, int, int, int], Happening] = {}
    for key in wanted(view.keys(), system):
        series = view.series(key)
        for index in series.timestamps.argsort(kind="stable")[-count:].tolist():
            step, epoch = int(series.steps[index]), int(series.epochs[index])
            place = (int(series.ranks[index]), int(series.attempts[index]), step, epoch)
            moment = int(series.timestamps[index])
            row = rows.setdefault(place, Happening(moment, _known(step), _known(epoch)))
            row.time_ns = max(row.time_ns, moment)
            row.metrics[key] = float(series.values[index])
    return list(rows.values())


def _known(index: int) -> int | None:
    return None if index < 0 else index


def wanted(keys: Sequence[str], system: bool) -> list[str]:
    """The keys that are shown."""
    return [key for key in keys if system or not key.startswith("system/")]


class NewRecords:
    """The records of a kind that were added since the last call."""

    def __init__(self, view: "RunView", kind: str) -> None:
        self._view = view
        self._kind = kind
        self._cursor: int | None = None  # behind the last full page
        self._behind = 0  # of the page after it so many are known already

    def read(self) -> list[Record]:
        """Those that are new."""
        found: list[Record] = []
        while True:
            page, cursor = self._view.records_page(self._kind, RecordFilter(after=self._cursor), PAGE)
            found += page[self._behind :]
            self._behind = len(page)
            if cursor is None:
                return found
            self._cursor, self._behind = cursor, 0


class Watch:
    """Tells again and again what is new in a run since it was made; of a metric the latest value.

    Args:
        view: the run.
        system: also the machine's own metrics.
        output: the lines that the program prints, and nothing else.
    """

    def __init__(self, view: "RunView", *, system: bool = False, output: bool = False) -> None:
        self._view = view
        self._system = system
        self._output = output
        self._events = NewRecords(view, EventRecord.kind)
        self._others = [NewRecords(view, kind) for kind in _other_kinds()]
        self._values = view.latest()
        for records in (self._events, *self._others):
            records.read()

    def news(self) -> list[Happening]:
        """What has happened since the last call, in the order of time."""
        new: Any = self._events.read()
        found: list[EventRecord] = [event for event in new if (event.event_type == PRINTED) is self._output]
        if self._output:
            found = [line for event in found for line in lines_of(event)]
        events = [Happening(event.time_ns, event.step, event.epoch, event) for event in found]
        if self._output:
            return events
        others = [_other(record) for records in self._others for record in records.read()]
        return sorted([*events, *others, *self._new_metrics()], key=attrgetter("time_ns"))

    def _new_metrics(self) -> list[Happening]:
        import time

        before, self._values = self._values, self._view.latest()
        now = time.time_ns()
        rows: dict[int | None, Happening] = {}
        for key in wanted(list(self._values), self._system):
            step, value = self._values[key]
            if before.get(key) != (step, value):
                rows.setdefault(step, Happening(now, step)).metrics[key] = value
        return sorted(rows.values(), key=lambda row: -1 if row.step is None else row.step)
