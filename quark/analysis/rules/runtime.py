"""Rules that look at the time of steps: what they wait for, and whether they were faster before."""

import math
from itertools import pairwise
from statistics import median

from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..latch import Streak
from ..robust import eased, ratio
from .base import TELEMETRY, TIMING, Levels, Rule, Seen, evidence

WINDOW = 50
SKIPPED = 20
"""Steps at the start that are compilation, caches and workers waking up."""

MATERIAL_MS = 1000.0
"""Less lost time than this is nobody's problem, however large its share of a tiny step."""

LEAST_MS = 5.0
"""Nor is less than this a step."""

BUSY_PERCENT = 85.0
"""From this use of its processors on a machine is busy, and times say more of it than of the training."""

COSTLY = 0.2
"""The share of the time that irregular steps must cost for more than information."""


SHARED = (
    "The processors of the machine are in full use: it is shared with other programs, or has too few of them. That is "
    "no fault of the training."
)


class Windows:
    """The times of the last 50 steps: median, spread and the share spent on data."""

    def __init__(self) -> None:
        self._skip = SKIPPED
        self.steps: list[float] = []
        self.data: list[float] = []

    def add(self, step_ms: float, data_ms: float | None) -> bool:
        """Take a step in; whether a window is full now."""
        if self._skip:
            self._skip -= 1
            return False
        if len(self.steps) >= WINDOW:
            self.steps, self.data = [], []
        self.steps.append(step_ms)
        if data_ms is not None:
            self.data.append(data_ms)
        return len(self.steps) >= WINDOW

    def middle(self) -> float:
        """The median step time, ms."""
        return median(self.steps)

    def data_share(self) -> float | None:
        """Data time by step time; a step counts as four times the median at most. None without data times."""
        if len(self.data) < len(self.steps):
            return None
        most = 4 * self.middle()
        total = sum(min(step, most) for step in self.steps)
        return ratio(sum(min(data, most) for data in self.data), total) if total > 0 else None

    def rest(self) -> list[float]:
        """The part of each step that is not data, the shortest first."""
        data = self.data or [0.0] * len(self.steps)
        return sorted(max(step - waited, 0.0) for step, waited in zip(self.steps, data, strict=False))

    def jitter(self) -> float:
        """(p90 - p50) / p50 of the part of the steps that is not data."""
        rest = self.rest()
        middle = rest[len(rest) // 2]
        return ratio(rest[int(len(rest) * 0.9)] - middle, middle) if middle > 0 else 0.0


class WindowRule(Rule):
    """A rule that judges windows of 50 steps."""

    category = "runtime"
    topics = frozenset((TIMING, TELEMETRY))

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._windows = Windows()
        self._processors: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the processors of the machine are in full use."""
        return self._processors is not None and self._processors >= BUSY_PERCENT

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for one in frame.telemetry:
            if one.cpu_usage_percent is not None:
                self._processors = eased(self._processors, one.cpu_usage_percent, 0.2)
        if seen.step_time is not None and self._windows.add(seen.step_time, seen.data_time):
            self.judge(frame, self._windows)

    def judge(self, frame: Frame, windows: Windows) -> None:
        """A window is full."""
        raise NotImplementedError


class RuntimeBottleneckRisk(WindowRule):
    """The steps wait, for data or for something irregular, and that costs noticeable time.

    Sees: times of steps, of their data and compute part.

    Decides: per window of 50 steps, the first 20 left out, in 3 windows in a row: the share of the step spent on data
    is at least .4, .6 or .75; or (p90 - p50) / p50 of the rest is at least .25; with at least a second lost in a window
    and 5 ms a step. Irregular steps are a warning where they cost a fifth of the time, compared with the fastest
    window of the run, and information otherwise; while the processors of the machine are in full use (85 %), by
    whatever program, they are information only. Standard deviation over mean is not used: one checkpoint would be an
    alarm. The documented step times count where you have set them. A limit that you have set, and every limit in
    absolute mode, is judged window by window, and says how severe it is.
    """

    name = "runtime_bottleneck_risk"
    needs = "times of at least 70 steps, and of 170 while the first windows are beyond a limit"
    consequence = "The hardware waits; the run takes longer than it needs to."
    actions = (
        "Raise num_workers and prefetch_factor of the loader, pin memory, cache decoded samples.",
        "Move the work of the loop that is not training (logging, evaluation, saving) out of the steps.",
        "Profile a dozen steps.",
    )  # fmt: skip
    clears = "Three windows of 50 steps below the limits."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._time = Levels(self.limits, "runtime_{}_step_time_ms")
        self._share = Levels(self.limits, "runtime_{}_data_fraction")
        self._jitter = Levels(self.limits, "runtime_{}_jitter_ratio")
        self._runs = {"data": Streak(), "jitter": Streak(), "time": Streak()}
        self._best = math.inf
        self._lost = 0.0

    def judge(self, frame: Frame, windows: Windows) -> None:
        """See the class."""
        middle, share, jitter = windows.middle(), windows.data_share(), windows.jitter()
        waited = sum(windows.data)
        slack = jitter * middle * WINDOW
        literal = self.absolute
        if share is not None:
            material = waited >= MATERIAL_MS and waited >= LEAST_MS * WINDOW
            self._see(frame, "data", share, self._share, literal or self._share.literal or material)
        rest = windows.rest()
        self._best = min(self._best, rest[len(rest) // 2])
        self._lost = max(0.0, 1.0 - ratio(self._best * len(rest), sum(rest)))
        material = slack >= MATERIAL_MS and middle >= LEAST_MS
        self._see(frame, "jitter", jitter, self._jitter, literal or self._jitter.literal or material)
        self._see(frame, "time", middle, self._time, literal or self._time.literal)
        self.judged = self.judged or all(not run.count or self.up(what) for what, run in self._runs.items())

    def _see(self, frame: Frame, what: str, value: float, levels: Levels, counts: bool) -> None:
        severity, limit = levels.reached(value)
        run = self._runs[what].see(severity is not None and counts)
        if severity is None or not run:
            self.clear(what)
            return
        literal = self.absolute or levels.literal
        if run < 3 and not literal:
            return
        if what == "jitter" and not literal:
            severity = "warning" if self._lost >= COSTLY and not self.busy else "info"
        words = {
            "data": ("The steps wait for data", f"{value:.0%} of the time of a step is spent on data."),
            "jitter": (
                "Step times vary a lot",
                f"One step in ten takes {1 + value:.1f} times the median or longer; {self._lost:.0%} of "
                "the time is lost against the fastest steps of the run.",
            ),
            "time": ("Steps take long", f"The median step takes {value:.0f} ms."),
        }[what]
        self.alert(
            frame, severity, topic=what, subject=what, title=words[0], fact=words[1],
            inference={"data": "The loader is the bottleneck.", "jitter": SHARED if self.busy else
                       "Something irregular stops the steps.",
                       "time": "The step is above the limit that was set."}[what],
            evidence=[evidence("telemetry", f"{what} of the steps",
                               ("absolute" if literal else "relative") + f": {what}", value, limit, None,
                               frame.step)],
        )  # fmt: skip


class DataloaderStarvation(WindowRule):
    """The loader cannot keep up: every k-th batch is late, in the rhythm of its k workers.

    Sees: times of steps and of their data part.

    Decides: in a window of 50 steps the late batches (data time above twice the median and above 5 ms) come in a
    fixed rhythm k of 2 to 16, in 3 windows, and cost at least a second in all; or the share of data is at least half
    in 3 windows and more than 5 ms a step.
    """

    name = "dataloader_starvation"
    needs = "times of at least 70 steps with their data part"
    consequence = "The accelerator idles while the next batch is prepared."
    actions = (
        "Raise num_workers beyond the rhythm that the alert names, and prefetch_factor.",
        "Make the slowest part of __getitem__ cheaper: decode once, store ready samples.",
    )  # fmt: skip
    clears = "Three windows of 50 steps without waiting."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._run = Streak()
        self._lost = 0.0

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if seen.data_time is not None or frame.telemetry:
            super().look(frame, seen)

    def judge(self, frame: Frame, windows: Windows) -> None:
        """See the class."""
        self.judged = True
        data = windows.data
        rhythm = _rhythm(data)
        share = windows.data_share() or 0.0
        waits = share >= 0.5 and sum(data) >= LEAST_MS * WINDOW
        run = self._run.see(waits or rhythm is not None)
        if not run:
            self._lost = 0.0
            self.clear()
            return
        self._lost += sum(data)
        if run < 3 or self._lost < MATERIAL_MS:
            return
        every = f", every {rhythm}th batch is late" if rhythm else ""
        self.alert(
            frame, "error" if share >= 0.75 else "warning", subject="data loader",
            title=f"The data loader starves the training{every}",
            fact=f"{share:.0%} of the time is spent waiting for data{every}; {self._lost / 1000:.1f} s so far.",
            inference=f"{rhythm} workers are too few." if rhythm else "Batches are made more slowly than used.",
            evidence=[evidence("telemetry", "data time", "relative: share of the step spent on data", share, 0.5, None,
                               frame.step)],
        )  # fmt: skip


def _rhythm(data: list[float]) -> int | None:
    middle = median(data)
    late = [i for i, value in enumerate(data) if value > max(2.0 * middle, LEAST_MS)]
    if len(late) < 4:
        return None
    gaps = [b - a for a, b in pairwise(late)]
    usual = sorted(gaps)[len(gaps) // 2]
    regular = sum(gap == usual for gap in gaps) >= 0.8 * len(gaps)
    return usual if regular and 2 <= usual <= 16 else None


class ThroughputRegression(WindowRule):
    """Steps have become slower than they were in this run.

    Sees: times of steps.

    Decides: the median of a window of 50 steps is more than 1.5 times that of the run's first five windows, in 3
    windows in a row, and at least a second is lost in a window.
    """

    name = "throughput_regression"
    needs = "times of at least 400 steps"
    consequence = "The rest of the run takes longer than its beginning promised."
    actions = (
        "Look for what changed at the onset: another job on the machine, thermal limits, a growing list, longer "
        "sequences.",
        "Compare data and compute time before and after.",
    )  # fmt: skip
    clears = "A window at the former pace."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._first: list[float] = []
        self._run = Streak()

    def judge(self, frame: Frame, windows: Windows) -> None:
        """See the class."""
        middle = windows.middle()
        if len(self._first) < 5:
            self._first.append(middle)
            return
        self.judged = True
        base = median(self._first)
        run = self._run.see(middle > 1.5 * base and (middle - base) * WINDOW >= MATERIAL_MS, frame.step)
        if not run:
            self.clear()
        elif run >= 3:
            times = ratio(middle, base)
            severe = times > 3 and not self.busy
            self.alert(
                frame, "error" if severe else "warning", since=self._run.since, subject="step time",
                title=f"Steps take {times:.1f} times as long as before",
                fact=f"The median step takes {middle:.0f} ms; in the run's first windows it took {base:.0f} ms.",
                inference=SHARED if self.busy else "Something slows the training down.",
                evidence=[evidence("telemetry", "step time", "relative: median step time by that of the beginning",
                                   times, 1.5, self._run.since, frame.step)],
            )  # fmt: skip
