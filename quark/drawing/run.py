"""A run as a notebook shows it: status, metrics with small charts, alerts; all text escaped."""

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Protocol

from ..core.nonfinite import nonfinite_events
from ..core.reader import RecordReader
from ..records.event import EventRecord
from ..records.naming import METRIC
from ..records.run import RunRecord
from ..sinks.wording import duration, plain
from .elapsed import elapsed_s
from .sparkline import svg

SHOWN_METRICS = 20
SHOWN_ALERTS = 5


class LatestReader(RecordReader, Protocol):
    """A reader that also knows the last point of every metric."""

    def latest(self, run_id: str) -> Mapping[str, tuple[int | None, float]]:
        """Step and value of the last point of every metric, by key."""
        ...

    def names(self, run_id: str) -> Mapping[str, Mapping[str, str]]:
        """The names that the run recorded because they are not their own keys: by metric, artifact or event, by key."""
        ...


def head_of(run: RunRecord) -> str:
    """The run's name, project, status and times, without its records."""
    reason = f" ({run.reason})" if run.reason and run.reason != run.status else ""
    took = elapsed_s(run)
    facts = [
        f"project {run.project_name}",
        f"started {run.started_at}",
        "" if took is None else duration(took),
        *run.tags,
    ]
    return (
        f"<p><b>{_safe(run.name or run.id)}</b> <code>{_safe(run.id)}</code> "
        f"<b>{_safe(run.status + reason)}</b><br>{' · '.join(_safe(fact) for fact in facts if fact)}</p>"
    )


def page_of(run: RunRecord, reader: LatestReader) -> str:
    """The HTML of a run."""
    return f"<div>{head_of(run)}{_metrics(run.id, reader)}{_alerts(run.id, reader)}</div>"


def _metrics(run_id: str, reader: LatestReader) -> str:
    latest = dict(reader.latest(run_id))
    names = reader.names(run_id).get(METRIC, {})
    lost = nonfinite_events(reader, run_id)
    latest.update({key: (events[-1].step, math.nan) for key, events in lost.items() if key not in latest})
    # what the user measures comes first, the machine's own metrics last
    keys = sorted(latest, key=lambda key: (key.startswith("system/"), key))
    rows = [
        f"<tr><td style='text-align:left'><code>{_safe(names.get(key, key))}</code></td><td>{latest[key][1]:.6g}</td>"
        f"<td>{'' if latest[key][0] is None else latest[key][0]}</td>"
        f"<td>{svg(reader.chart(run_id, key, buckets=60), _steps(lost.get(key, ())))}</td></tr>"
        for key in keys[:SHOWN_METRICS]
    ]
    if not rows:
        return "<p>no metrics</p>"
    more = f"<p>and {len(keys) - SHOWN_METRICS} more metrics</p>" if len(keys) > SHOWN_METRICS else ""
    return f"<table><tr><th>metric</th><th>last</th><th>step</th><th></th></tr>{''.join(rows)}</table>{more}"


def _steps(events: Iterable[EventRecord]) -> list[int]:
    return [event.step for event in events if event.step is not None]


def _alerts(run_id: str, reader: LatestReader) -> str:
    alerts: list[Any] = list(reader.records(run_id, "alert"))
    if not alerts:
        return ""
    items = [
        f"<li><b>{_safe(alert.severity)}</b> {_safe(alert.title)}: {_safe(alert.summary)}</li>"
        for alert in alerts[-SHOWN_ALERTS:]
    ]
    return f"<p>{len(alerts)} alerts, the latest:</p><ul>{''.join(items)}</ul>"


def _safe(text: str) -> str:
    return escape(plain(text))
