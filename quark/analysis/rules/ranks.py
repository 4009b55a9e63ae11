"""Rules that compare the processes of a distributed run."""

from collections import deque
from dataclasses import dataclass
from statistics import median

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..latch import Latch
from ..robust import ratio
from .base import EVENT, TIMING, Rule, Seen, evidence
from .runtime import LEAST_MS, Windows

MOST_PENDING = 4000
"""Steps that may wait for the times of a rank; a rank that is further behind than that is not compared."""

LATE = 0.10
"""A rank that costs the others this share of a step is a straggler; twice as much is an error."""


@dataclass(slots=True)
class Times:
    """What a step took on one rank, ms: all of it, its data, and the exchange of gradients where that is known."""

    step: float
    data: float
    sync: float | None


class DdpStraggler(Rule):
    """One rank is slower than the others, and all wait for it.

    Sees: times of steps by rank, with their data part; and for how long each rank is busy exchanging gradients, which
    `run.watch` of a DistributedDataParallel records as `system/runtime/sync_time_ms`.

    Decides: of steps that all ranks have recorded. The ranks of a synchronous job end each step together, so the
    culprit is the one that waits least: the others exchange gradients for longer than it does, by 10 % of a step (20
    %: error) and 5 ms, in 19 of the last 20 steps of which that is known. Where waiting is not known, windows of 50
    steps are compared: in 3 in a row the median time for data of one rank is above that of the others by as much; or
    its whole step is, where ranks do not wait for each other.

    Source: torch's DistributedDataParallel times the exchange; that the late rank waits least needs none.
    """

    name = "ddp_straggler"
    category = "runtime"
    topics = frozenset((TIMING, EVENT))
    every_rank = True
    needs = "times of the steps of at least two ranks"
    consequence = "Every other rank idles for the difference in every step."
    actions = (
        "Compare that rank's host: clocks, other processes, its disk and network.",
        "Balance the work: sequence lengths, shards.",
    )  # fmt: skip
    clears = "Twenty looks, or a window, in which the ranks agree."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._begin(None)

    def _begin(self, world: int | None) -> None:
        """The processes start, for the first time or again."""
        self._world = world
        self._ranks: set[int] = set()
        self._pending: dict[int, dict[int, Times]] = {}
        self._pace: deque[float] = deque(maxlen=20)
        self._late: deque[float] = deque(maxlen=20)
        self._waits: dict[int, Latch] = {}
        self._windows: dict[int, Windows] = {}
        self._runs: dict[int, int] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for event in frame.events:
            if event.event_type in ("run_started", "run_resumed"):
                world = event.payload.get("world_size")
                self._begin(world if isinstance(world, int) else None)
        work = seen.compute_time if seen.compute_time is not None else seen.step_time
        if work is None or frame.step is None:
            return
        self._ranks.add(frame.rank)
        row = self._pending.setdefault(frame.step, {})
        data = seen.data_time or 0.0
        row[frame.rank] = Times(work + data if seen.compute_time is not None else work, data, seen.sync_time)
        if len(row) >= max(self._world or len(self._ranks), 2):
            del self._pending[frame.step]
            self._compare(frame, row)
        elif len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]

    def _compare(self, frame: Frame, row: dict[int, Times]) -> None:
        """A step that all ranks have recorded."""
        self.judged = True
        self._pace.append(median([times.step for times in row.values()]))
        synced = {rank: times.sync for rank, times in row.items() if times.sync is not None}
        if len(synced) == len(row) and len(self._pace) == self._pace.maxlen:
            self._compare_waits(frame, synced)
        if row.keys() != self._windows.keys():
            self._windows = {rank: Windows() for rank in row}
        full = [self._windows[rank].add(times.step, times.data) for rank, times in row.items()]
        if all(full):
            self._compare_windows(frame)

    def _compare_waits(self, frame: Frame, synced: dict[int, float]) -> None:
        pace = median(self._pace)
        slow = min(synced, key=lambda rank: synced[rank])
        late = median([value for rank, value in synced.items() if rank != slow]) - synced[slow]
        self._late.append(late)
        hit = late >= max(LATE * pace, LEAST_MS)
        for rank in synced:
            latch = self._waits.get(rank)
            if latch is None:
                latch = self._waits[rank] = Latch(19, 20, 20)
            if latch.see(hit and rank == slow) and hit and rank == slow:
                usual = median(self._late)
                self._say(frame, slow, ratio(usual, pace), f"The other ranks wait {usual:.1f} ms for rank {slow} in a "
                          f"step of {pace:.1f} ms.")  # fmt: skip
        self._clear()

    def _compare_windows(self, frame: Frame) -> None:
        whole = {rank: one.middle() for rank, one in self._windows.items()}
        data = {rank: median(one.data) for rank, one in self._windows.items()}
        slow, late, others = _last(whole)
        what = "works"
        if late < max(LATE * others, LEAST_MS):
            rank, waited, _ = _last(data)
            if whole[rank] >= 0.95 * others:
                slow, late, what = rank, waited, "waits for data"
        hit = late >= max(LATE * others, LEAST_MS)
        self._runs = {slow: self._runs.get(slow, 0) + 1} if hit else {}
        if self._runs.get(slow, 0) >= 3:
            self._say(frame, slow, ratio(late, others), f"Rank {slow} {what} {late:.1f} ms longer than the others in a "
                      f"step; theirs take {others:.1f} ms.")  # fmt: skip
        self._clear()

    def _say(self, frame: Frame, rank: int, over: float, fact: str) -> None:
        severity: AlertSeverity = "error" if over >= 2 * LATE else "warning"
        self.alert(
            frame, severity, subject=f"rank {rank}", topic=f"rank {rank}",
            title=f"Rank {rank} makes the others wait: {over:.0%} of a step", fact=fact,
            inference="All ranks wait for it at the end of each backward pass.",
            evidence=[evidence("telemetry", f"rank {rank}", "relative: what it is late by the time of a step", over,
                               LATE, None, frame.step)],
        )  # fmt: skip

    def _clear(self) -> None:
        for topic in list(self._up):
            rank = int(str(topic).removeprefix("rank "))
            latch = self._waits.get(rank)
            if not self._runs.get(rank) and not (latch is not None and latch.raised):
                self.clear(topic)


def _last(values: dict[int, float]) -> tuple[int, float, float]:
    """The rank with the largest value, how far it is above the median of the others, and that median."""
    slow = max(values, key=lambda rank: values[rank])
    others = median([value for rank, value in values.items() if rank != slow])
    return slow, values[slow] - others, others
