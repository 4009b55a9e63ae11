"""What happened in a run, a line each: an event, a printed line, or the metrics of a step."""

from typing import TYPE_CHECKING

from ..reading.happening import Happening
from ..reading.told import PRINTED
from ..records.base import format_timestamp
from ..sinks.wording import number, plain
from .output import text

if TYPE_CHECKING:
    from rich.text import Text

SHOWN_METRICS = 6


def line_of(happening: Happening) -> "Text":
    """It on one line: time, what, and the values."""
    from rich.text import Text

    from .show import event_line

    if happening.event is not None and happening.event.event_type == PRINTED:
        return text(Text.from_ansi(happening.event.payload["message"]).plain, limit=10_000)
    if happening.event is not None:
        return event_line(happening.event)
    places = [f"{name} {at}" for name, at in (("step", happening.step), ("epoch", happening.epoch)) if at is not None]
    shown = [f"{key} {number(value)}" for key, value in list(happening.metrics.items())[:SHOWN_METRICS]]
    if len(happening.metrics) > SHOWN_METRICS:
        shown.append(f"+{len(happening.metrics) - SHOWN_METRICS} more")
    if happening.record is not None:
        shown = [plain(f"{happening.record.kind}: {happening.record.headline()}")]
    clock = format_timestamp(happening.time_ns)[11:19]
    parts = [text(clock, "dim"), text(" ".join(places), "bold"), *(text(word) for word in shown)]
    return Text("  ").join(part for part in parts if part)
