"""Rules that look at the machine: memory that grows, a GPU that has little to do."""

from collections import deque
from itertools import pairwise

from ...records.thresholds import AnalyzerEngineConfig
from ..blocks import Blocks, median_slope
from ..frames import Frame, Telemetry
from ..robust import eased
from .base import TELEMETRY, Rule, Seen, evidence

MIB = 2.0**20


class MemoryGrowth(Rule):
    """Memory grows and grows, and when it will be full.

    Sees: resident memory of the process and memory of the GPU in telemetry.

    Decides: of the maxima of equally long stretches of the run, the first quarter left out, at least 8 remain, more
    than 80 % of them are above the one before, and the median slope between all pairs adds up to more than 10 % and
    64 MiB. The forecast is the free memory by that slope, in steps.

    Source: Theil, 1950; Sen, 1968 (the slope).
    """

    name = "memory_growth"
    category = "runtime"
    topics = frozenset((TELEMETRY,))
    needs = "telemetry with the memory of the process or the GPU, at least 64 times"
    every_rank = True
    consequence = "The run ends out of memory."
    actions = (
        "Look for lists that keep tensors with their graph: append loss.item(), not loss.",
        "Look for caches and hooks that are never removed.",
    )  # fmt: skip
    clears = "Maxima that no longer rise."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._kinds: dict[str, Blocks] = {}
        self._steps: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, int] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for one in frame.telemetry:
            self._take(frame, f"process of rank {frame.rank}", one.process_rss_bytes, _main_memory(one))
            used = one.gpu_memory_allocated_bytes or one.gpu_memory_used_bytes
            self._take(frame, f"GPU {one.gpu_index or 0} of rank {frame.rank}", used, _gpu_memory(one))

    def _take(self, frame: Frame, what: str, used: float | None, capacity: float | None) -> None:
        if not used:
            return
        blocks = self._kinds.setdefault(what, Blocks("max"))
        blocks.add(float(used))
        count = self._counts[what] = self._counts.get(what, 0) + 1
        if frame.step is not None:
            self._steps[what] = (self._steps.get(what, (frame.step, 0))[0], frame.step)
        if count < 64 or count % max(8, blocks.length):
            return
        self.judged = True
        values = blocks.values[len(blocks.values) // 4 :]
        rises = sum(b > a for a, b in pairwise(values))
        slope = median_slope(values)
        grown = slope * (len(values) - 1)
        if len(values) < 8 or rises <= 0.8 * (len(values) - 1) or grown < max(64 * MIB, 0.1 * values[0]):
            self.clear(what)
            return
        first, last = self._steps.get(what, (0, 0))
        a_step = slope / max(blocks.length * max(last - first, 1) / count, 1e-9)
        left = None if capacity is None else max(capacity - float(used), 0.0) / a_step
        soon = left is not None and left < max(last - first, 1)
        forecast = "" if left is None else f" At this pace it is full in about {left:.0f} steps."
        self.alert(
            frame, "error" if soon else "warning", subject=what, topic=what, since=first,
            title=f"Memory of the {what} grows without end",
            fact=f"It grew by {grown / MIB:.0f} MiB to {used / MIB:.0f} MiB, {a_step / MIB:.2f} MiB a step.{forecast}",
            inference="Something is kept that should be let go of.",
            evidence=[evidence("telemetry", what, "relative: growth of window maxima in MiB", grown / MIB, 64.0, first,
                               frame.step)]
            + ([] if left is None else [evidence("forecast", what, "steps until memory is full", left, None, frame.step,
                                                 frame.step)]),
        )  # fmt: skip


def _main_memory(one: Telemetry) -> float | None:
    if not one.ram_usage_percent or not one.ram_used_bytes or not one.process_rss_bytes:
        return None
    free = one.ram_used_bytes * (100.0 / one.ram_usage_percent - 1.0)
    return one.process_rss_bytes + free


def _gpu_memory(one: Telemetry) -> float | None:
    if not one.gpu_memory_usage_percent or not one.gpu_memory_used_bytes:
        return None
    return one.gpu_memory_used_bytes * 100.0 / one.gpu_memory_usage_percent


class GpuUnderutilised(Rule):
    """The GPU is idle much of the time.

    Sees: GPU utilization in telemetry, and the share of data in the steps.

    Decides: of the last 60 samples, the first 10 left out, 95 % are below 70 % utilization.
    """

    name = "gpu_underutilised"
    category = "runtime"
    topics = frozenset((TELEMETRY,))
    needs = "telemetry of a GPU, at least 40 times"
    every_rank = True
    consequence = "The same result would be had in less time, or on a smaller GPU."
    actions = (
        "If the steps wait for data, raise num_workers.",
        "If not, raise the batch size, compile the model or capture CUDA graphs: the kernels are too small.",
    )  # fmt: skip
    clears = "Samples above 70 %."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._seen: dict[tuple[int, int], int] = {}
        self._samples: dict[tuple[int, int], deque[float]] = {}
        self._share: float | None = None

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if seen.step_time and seen.data_time is not None:
            share = min(seen.data_time / seen.step_time, 1.0)
            self._share = eased(self._share, share, 0.1)
        for one in frame.telemetry:
            if one.gpu_utilization_percent is not None:
                self._take(frame, (frame.rank, one.gpu_index or 0), one.gpu_utilization_percent)

    def _take(self, frame: Frame, which: tuple[int, int], percent: float) -> None:
        count = self._seen[which] = self._seen.get(which, 0) + 1
        if count <= 10:
            return
        samples = self._samples.setdefault(which, deque(maxlen=60))
        samples.append(percent)
        if len(samples) < 30:
            return
        self.judged = True
        name = f"GPU {which[1]} of rank {which[0]}"
        high = sorted(samples)[int(0.95 * (len(samples) - 1))]
        if high >= 70.0:
            self.clear(name)
            return
        waits = self._share is not None and self._share >= 0.4
        cause = "the steps wait for data" if waits else "its kernels are small, or the loop does other things"
        self.alert(
            frame, "warning", subject=name, topic=name, title=f"{name} has little to do",
            fact=f"95 % of the last samples were at or below {high:.0f} % utilization.",
            inference=f"Probably {cause}.",
            evidence=[evidence("telemetry", name, "absolute: 95th percentile of utilization", high, 70.0, None,
                               frame.step)],
        )  # fmt: skip
