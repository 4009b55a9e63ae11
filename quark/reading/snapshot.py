"""How a run stands at this moment: what a screen shows of it, and the same for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.verdict import by_consequence
from ..records.analysis import AlertRecord
from ..records.event import EventRecord
from ..records.telemetry import SystemTelemetryRecord
from .told import PRINTED, lines_of

if TYPE_CHECKING:
    from ..analysis.verdict import Verdict
    from .view import RunView

MOST_GPUS = 32
MACHINE = (
    "cpu_usage_percent", "ram_usage_percent", "process_rss_bytes", "step_time_ms", "data_time_ms", "gpu_index",
    "gpu_utilization_percent", "gpu_memory_used_bytes", "gpu_memory_usage_percent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it was when it was looked at.

    Attributes:
        latest: step and value of the last point of every metric.
        nonfinite: how many values of a metric were NaN or infinite, of those that had any.
        verdict: what was found so far; None if the run was not analyzed.
        alerts: what harms the result first, the gravest first.
        lines: the last lines that it printed.
        machine: the latest telemetry, of each GPU the latest.
    """

    view: "RunView"
    latest: Mapping[str, tuple[int | None, float]]
    nonfinite: Mapping[str, int]
    verdict: "Verdict | None"
    alerts: Sequence[AlertRecord]
    lines: Sequence[EventRecord]
    machine: Sequence[SystemTelemetryRecord] = ()
    stale: bool = False

    @property
    def step(self) -> int | None:
        """The highest step that a metric reached."""
        return max((step for step, _ in self.latest.values() if step is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "run": self.view.record.to_dict(),
            "stale": self.stale,
            "step": self.step,
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "metrics": {
                key: {"step": step, "value": value if abs(value) < float("inf") else str(value),
                      "nonfinite": self.nonfinite.get(key, 0)}
                for key, (step, value) in self.latest.items()
            },
            "alerts": [alert.to_dict() for alert in self.alerts],
            "machine": [{name: getattr(one, name) for name in MACHINE} for one in self.machine],
            "lines": [line.to_dict() for line in self.lines],
        }  # fmt: skip


def snapshot_of(view: "RunView", lines: int = 20) -> Snapshot:
    """Look at a run: its status, the latest values, alerts, and the last ``lines`` that it printed."""
    view.refresh()
    return Snapshot(
        view, view.latest(), view.nonfinite_counts(), view.verdict(), by_consequence(view.alerts()),
        _last_lines(view, lines), _machine(view), view.stale,
    )  # fmt: skip


def _last_lines(view: "RunView", count: int) -> list[EventRecord]:
    made: list[EventRecord] = []
    for event in view.events(PRINTED, sort="-arrival", limit=count):
        made += reversed(lines_of(event))
        if len(made) >= count:
            break
    return made[:count][::-1]


def _machine(view: "RunView") -> list[SystemTelemetryRecord]:
    """The latest record of each GPU; of a run without one the latest at all."""
    found: dict[int | None, SystemTelemetryRecord] = {}
    for record in view.telemetry(sort="-arrival", limit=MOST_GPUS):
        found.setdefault(record.gpu_index, record)
    gpus = [found[index] for index in sorted(index for index in found if index is not None)]
    rest = found.get(None)
    return gpus if rest is None else [rest, *gpus]
