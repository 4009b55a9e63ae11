"""A run as a notebook shows it: status, metrics with small charts, alerts; all text escaped."""

from html import escape
from typing import TYPE_CHECKING

from ..sinks.wording import duration, plain
from .elapsed import elapsed_s
from .sparkline import svg

if TYPE_CHECKING:
    from .view import RunView

SHOWN_METRICS = 20
SHOWN_ALERTS = 5


def page_of(view: "RunView") -> str:
    """The HTML of a run."""
    reason = f" ({view.reason})" if view.reason and view.reason != view.status else ""
    took = elapsed_s(view.record)
    facts = [
        f"project {view.project}",
        f"started {view.started_at}",
        "" if took is None else duration(took),
        *view.tags,
    ]
    return (
        f"<div><p><b>{_safe(view.name or view.id)}</b> <code>{_safe(view.id)}</code> "
        f"<b>{_safe(view.status + reason)}</b><br>{' · '.join(_safe(fact) for fact in facts if fact)}</p>"
        f"{_metrics(view)}{_alerts(view)}</div>"
    )


def _metrics(view: "RunView") -> str:
    latest = view.latest()
    # what the user measures comes first, the machine's own metrics last
    keys = sorted(latest, key=lambda key: (key.startswith("system/"), key))
    rows = [
        f"<tr><td style='text-align:left'><code>{_safe(key)}</code></td><td>{latest[key][1]:.6g}</td>"
        f"<td>{'' if latest[key][0] is None else latest[key][0]}</td><td>{svg(view.chart(key, buckets=60))}</td></tr>"
        for key in keys[:SHOWN_METRICS]
    ]
    if not rows:
        return "<p>no metrics</p>"
    more = f"<p>and {len(keys) - SHOWN_METRICS} more metrics</p>" if len(keys) > SHOWN_METRICS else ""
    return f"<table><tr><th>metric</th><th>last</th><th>step</th><th></th></tr>{''.join(rows)}</table>{more}"


def _alerts(view: "RunView") -> str:
    alerts = view.alerts()
    if not alerts:
        return ""
    items = [
        f"<li><b>{_safe(alert.severity)}</b> {_safe(alert.title)}: {_safe(alert.summary)}</li>"
        for alert in alerts[-SHOWN_ALERTS:]
    ]
    return f"<p>{len(alerts)} alerts, the latest:</p><ul>{''.join(items)}</ul>"


def _safe(text: str) -> str:
    return escape(plain(text))
