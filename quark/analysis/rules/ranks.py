"""Rules that compare the processes of a distributed run."""

from statistics import median

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..robust import ratio
from .base import TIMING, Rule, Seen, evidence, worse
from .runtime import Windows


class DdpStraggler(Rule):
    """One rank is slower than the others, and all wait for it.

    Sees: times of steps by rank, with their compute part.

    Decides: windows of 50 steps are compared over the ranks. The ranks end each step together, so the culprit is the
    one that works longest and waits least: its compute time (data and compute, where both are known) is 10 % above
    the median of the ranks (20 %: error) in 3 windows.

    Source: no published method; in a synchronous job the others wait for the rank that computes longest.
    """

    name = "ddp_straggler"
    category = "runtime"
    topics = frozenset((TIMING,))
    every_rank = True
    needs = "times of the steps of at least two ranks"
    consequence = "Every other rank idles for the difference in every step."
    actions = (
        "Compare that rank's host: clocks, other processes, its disk and network.",
        "Balance the work: sequence lengths, shards.",
    )  # fmt: skip
    clears = "A window in which the ranks agree."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._windows: dict[int, Windows] = {}
        self._filled: dict[int, int] = {}
        self._waiting: dict[int, dict[int, float]] = {}
        self._runs: dict[int, int] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        work = seen.compute_time if seen.compute_time is not None else seen.step_time
        if work is None:
            return
        windows = self._windows.setdefault(frame.rank, Windows())
        if not windows.add(work + (seen.data_time or 0.0), None, None):
            return
        number_ = self._filled[frame.rank] = self._filled.get(frame.rank, -1) + 1
        row = self._waiting.setdefault(number_, {})
        row[frame.rank] = windows.middle()
        if len(self._waiting) > 4000:
            del self._waiting[min(self._waiting)]
        if len(row) < 2 or len(row) < len(self._windows):
            return
        self.judged = True
        self._compare(frame, self._waiting[number_])

    def _compare(self, frame: Frame, row: dict[int, float]) -> None:
        slow = max(row, key=lambda rank: row[rank])
        others = median([value for rank, value in row.items() if rank != slow])
        over = ratio(row[slow] - others, others)
        for rank in list(self._runs):
            if rank != slow or over < 0.10:
                self._runs.pop(rank)
                self.clear(f"rank {rank}")
        if over < 0.10:
            return
        self._runs[slow] = self._runs.get(slow, 0) + 1
        if self._runs[slow] >= 3:
            severity: AlertSeverity = worse("warning", "error" if over >= 0.20 else None) or "warning"
            self.alert(
                frame, severity, subject=f"rank {slow}", topic=f"rank {slow}",
                title=f"Rank {slow} is {over:.0%} slower than the others",
                fact=f"Rank {slow} works {row[slow]:.1f} ms in a step, the others {others:.1f} ms.",
                inference="All ranks wait for it at the end of each backward pass.",
                evidence=[evidence("telemetry", f"rank {slow}", "relative: time above that of the other ranks", over,
                                   0.10, None, frame.step)],
            )  # fmt: skip
