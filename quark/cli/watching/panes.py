"""The parts of the screen around the charts: who the run is and how it stands, alerts, printed lines, the machine."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...drawing.elapsed import elapsed_s
from ...sinks.wording import duration, plain
from ..metrics import shown
from ..output import SEVERITIES, STYLES
from ..verdict import SCORES
from .charts import COLOURS

if TYPE_CHECKING:
    from rich.text import Text

    from ...reading.snapshot import Snapshot
    from ...records.analysis import AlertRecord
    from .state import State


def head(snapshots: "list[Snapshot]") -> "list[Text]":
    """A line a run, and the verdict of each below it where there is only one."""
    from rich.text import Text

    lines = []
    for index, one in enumerate(snapshots):
        view = one.view
        took = elapsed_s(view.record)
        line = Text("● ", style=COLOURS[index % len(COLOURS)])
        line.append(plain(view.name or view.id, 60), style="bold")
        line.append(f"  {view.status}", style=STYLES.get(view.status, ""))
        if one.stale:
            line.append("  no sign of life", style="yellow")
        facts = [
            plain(view.project, 40), "" if took is None else duration(took),
            "" if one.step is None else f"step {one.step:,}",
        ]  # fmt: skip
        line.append("  " + "  ".join(fact for fact in facts if fact), style="dim")
        if len(snapshots) == 1:
            lines += [line, verdict(one)]
        else:
            lines.append(line.append("  ").append_text(verdict(one)))
    return lines


def verdict(one: "Snapshot") -> "Text":
    """The health in a word, and what was found in a sentence."""
    from rich.text import Text

    if one.verdict is None:
        words = "not analyzed yet" if one.view.status == "running" else "not analyzed: quark analyze"
        return Text(words, style="yellow")
    line = Text(one.verdict.status, style=SCORES.get(one.verdict.status, "yellow"))
    return line.append(f"  {plain(one.verdict.text, 1000)}", style=SEVERITIES.get(one.verdict.severity or "", ""))


def alerts(snapshots: "list[Snapshot]") -> "list[AlertRecord]":
    """The alerts of all runs, in the order in which they are chosen."""
    return [alert for one in snapshots for alert in one.alerts]


def alert_pane(snapshots: "list[Snapshot]", state: "State") -> "Iterator[Text]":
    """The alerts, a line each; of the chosen one also the fact, what to do, and the evidence."""
    from rich.text import Text

    found = alerts(snapshots)
    chosen = None if state.alert is None or not found else found[state.alert % len(found)]
    if chosen is not None:
        yield Text(f"alert {found.index(chosen) + 1} of {len(found)}", style="dim")
        yield alert_line(chosen)
        for text in (chosen.fact, chosen.inference, chosen.consequence):
            if text:
                yield Text(f"  {plain(text, 1000)}")
        yield from (Text(f"  - {plain(action, 1000)}", style="green") for action in chosen.actions)
        yield from (Text(f"  {plain(one.source, 100)}: {plain(one.summary)}", style="dim") for one in chosen.evidence)
        return
    yield Text(f"alerts ({len(found)})", style="bold")
    yield from map(alert_line, found)


def alert_line(alert: "AlertRecord") -> "Text":
    """An alert on one line."""
    from rich.text import Text

    since = "" if alert.step_start is None else f", since step {alert.step_start:,}"
    words = f"{alert.severity}: {plain(alert.title)}{since}"
    return Text(words, style=SEVERITIES.get(alert.severity, ""))


def log_pane(snapshots: "list[Snapshot]") -> "Iterator[Text]":
    """The last lines that the runs printed, the newest at the end."""
    from rich.text import Text

    several = len(snapshots) > 1
    for index, one in enumerate(snapshots):
        for line in one.lines:
            mark = Text("● " if several else "", style=COLOURS[index % len(COLOURS)])
            message = Text.from_ansi(str(line.payload.get("message", ""))).plain
            style = "red" if line.payload.get("stream") == "stderr" else ""
            yield mark.append(plain(message, 1000), style=style)


def machine_pane(snapshots: "list[Snapshot]") -> "Iterator[Text]":
    """What the machine of each run does, a line a run and a line a GPU."""
    from rich.text import Text

    for index, one in enumerate(snapshots):
        for record in one.machine:
            parts = [
                _percent("cpu", record.cpu_usage_percent), _percent("ram", record.ram_usage_percent),
                _bytes("process", record.process_rss_bytes), _percent("gpu", record.gpu_utilization_percent),
                _bytes("gpu memory", record.gpu_memory_used_bytes),
                "" if record.step_time_ms is None else f"step {record.step_time_ms:.4g} ms",
                "" if record.data_time_ms is None else f"waiting for data {record.data_time_ms:.4g} ms",
            ]  # fmt: skip
            name = "machine" if record.gpu_index is None else f"gpu {record.gpu_index}"
            line = Text("● " if len(snapshots) > 1 else "", style=COLOURS[index % len(COLOURS)])
            yield line.append(f"{name}: " + "  ".join(part for part in parts if part), style="dim")


def _percent(name: str, value: float | None) -> str:
    return "" if value is None else f"{name} {value:.0f} %"


def _bytes(name: str, value: int | None) -> str:
    return "" if value is None else f"{name} {shown('_bytes', value)}"
