"""`quark tail`: what happened last in a run, and on request what happens next."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.reader import RecordFilter
from ..records.base import Record, format_timestamp
from .options import AsJson, RunId, StorageDir
from .output import console, print_json, status_text, text

if TYPE_CHECKING:
    from ..reading import RunView

POLL_S = 0.5
SHOWN_METRICS = 6


@dataclass(slots=True)
class Happening:
    """An event, or the metrics that were recorded together at a step."""

    time_ns: int
    step: int | None
    epoch: int | None
    event: Any = None
    metrics: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values: an event's own fields, or time, step, epoch and metrics."""
        if self.event is not None:
            return {"kind": "event", **self.event.to_dict()}
        at = format_timestamp(self.time_ns)
        return {"kind": "metrics", "timestamp": at, "step": self.step, "epoch": self.epoch, "metrics": self.metrics}


def tail(
    run: RunId = None,
    storage_dir: StorageDir = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends, or Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="How many of the last lines.")] = 20,
    system: Annotated[bool, typer.Option("--system", help="Also the machine's own metrics (system/...).")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the latest events and metrics of a run; with -f also those to come, as they come."""
    from .choosing import chosen, opened

    if follow and as_json:
        raise typer.BadParameter("--json is one document and -f has no end; use one of them")
    with opened(storage_dir) as store:
        view = chosen(store, run)
        last = _latest(view, lines, system)
        if as_json:
            print_json({"run": view.record.to_dict(), "lines": [one.to_dict() for one in last]})
            return
        out = console()
        seen = _Seen(view)
        for one in last:
            out.print(line_of(one), soft_wrap=True)
        while follow and view.refresh().status == "running":
            time.sleep(POLL_S)
            for one in seen.news(system):
                out.print(line_of(one), soft_wrap=True)
        if follow:
            for one in seen.news(system):
                out.print(line_of(one), soft_wrap=True)
            out.print(status_text(view.status, view.reason))
