"""Rules that look at what the batches are made of."""

import math
from collections import deque

from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Batch, Frame
from ..latch import Streak
from ..robust import Usual, log_of
from .base import BATCH, Rule, Seen, evidence, number

SOURCES = ("shard", "source", "dataset", "file")
"""The names under which a batch's metadata say where it comes from."""

MOST_CLASSES = 1000


class LabelSkew(Rule):
    """The mix of classes has changed: a sorted data set, a broken sampler, a shard of one class.

    Sees: class counts of batches (DataDiagnostics).

    Decides: the classes of the last 20 batches are held against those of all batches before by a G-test; the rule
    speaks when G is beyond the 1e-6 tail of chi-square and the mix differs by more than .25 (total variation) in 2
    windows. The second condition is what keeps batches that vary more than chance from being called skewed.

    Source: Sokal and Rohlf, Biometry (the G-test).
    """

    name = "label_skew"
    category = "generalization"
    scored = False
    topics = frozenset((BATCH,))
    needs = "class counts of at least 60 batches"
    consequence = "The network drifts towards the classes that it sees now and forgets the others."
    actions = ("Shuffle the data, across shards too.", "Check the sampler and its seed after a resume.")
    clears = "A window with the usual mix."
    WINDOW = 20

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._before: dict[str, float] = {}
        self._now: dict[str, float] = {}
        self._batches = 0
        self._windows = 0
        self._run = Streak()

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for batch in frame.batches:
            if not batch.class_counts:
                continue
            for name, count in batch.class_counts.items():
                if name in self._now or len(self._now) < MOST_CLASSES:
                    self._now[name] = self._now.get(name, 0.0) + count
            self._batches += 1
            if self._batches >= self.WINDOW:
                self._compare(frame)
                self._batches = 0
                self._now = {}

    def _compare(self, frame: Frame) -> None:
        self._windows += 1
        total, before = sum(self._now.values()), sum(self._before.values())
        skewed = False
        if self._windows > 2 and total > 0 and before > 0:
            self.judged = True
            classes = set(self._before) | set(self._now)
            shares = {name: (self._now.get(name, 0.0) / total, self._before.get(name, 0.0) / before)
                      for name in classes}  # fmt: skip
            distance = 0.5 * sum(abs(now - then) for now, then in shares.values())
            g = 2.0 * sum(
                self._now.get(name, 0.0) * math.log(now / max(then, 0.5 / before))
                for name, (now, then) in shares.items() if now > 0
            )  # fmt: skip
            freedom = max(len(classes) - 1, 1)
            limit = freedom + 5.0 * math.sqrt(2.0 * freedom) + 14.0  # beyond the 1e-6 tail of chi-square
            skewed = g > limit and distance > 0.25
            if self._run.see(skewed) >= 2:
                self._say(frame, shares, distance)
        if not skewed:
            self.clear()
            for name, count in self._now.items():
                if name in self._before or len(self._before) < MOST_CLASSES:
                    self._before[name] = self._before.get(name, 0.0) + count

    def _say(self, frame: Frame, shares: dict[str, tuple[float, float]], distance: float) -> None:
        name = max(shares, key=lambda one: shares[one][0] - shares[one][1])
        now, then = shares[name]
        self.alert(
            frame, "warning", subject=f"class {name}", title=f"The mix of classes has changed towards {name}",
            fact=f"Class {name} makes up {now:.0%} of the last {self.WINDOW} batches and {then:.0%} of those before.",
            inference="The batches are no longer drawn from the whole data set.",
            evidence=[evidence("batch", f"class {name}", "relative: total variation distance to the batches before",
                               distance, 0.25, None, frame.step)],
        )  # fmt: skip


class DeadShard(Rule):
    """One shard of the data does far worse than the others: it is corrupt, mislabelled or out of place.

    Sees: losses of batches and where they come from: the metadata `shard`, `source`, `dataset` or `file` of a batch.

    Decides: the loss of each source is followed as its distance (in logarithms) to the run's usual loss at the time.
    A source whose mean distance over at least 5 batches is more than 4 standard errors and more than 0.4 above that
    of the others is named.
    """

    name = "dead_shard"
    category = "generalization"
    scored = False
    topics = frozenset((BATCH,))
    needs = "batches with a shard or source in their metadata"
    consequence = "The network learns from broken data, or wastes its steps on it."
    actions = ("Look at samples of that source.", "Leave it out and compare.")
    clears = "A mean distance like that of the others."

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._usual = Usual(memory=50, floor=0.05)
        self._recent: deque[float] = deque(maxlen=31)
        self._sources: dict[str, tuple[int, float]] = {}

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for batch in frame.batches:
            source = _source(batch)
            if source is None or batch.loss <= 0:
                continue
            level = log_of(batch.loss)
            if len(self._recent) >= 10:
                expected = sorted(self._recent)[len(self._recent) // 2]
                self._take(frame, source, max(-3.0, min(3.0, level - expected)))
            self._recent.append(level)

    def _take(self, frame: Frame, source: str, distance: float) -> None:
        if source not in self._sources and len(self._sources) >= MOST_CLASSES:
            return
        count, mean = self._sources.get(source, (0, 0.0))
        count += 1
        mean += (distance - mean) / min(count, 50)
        self._sources[source] = count, mean
        self._usual.add(distance)
        if count < 5 or len(self._sources) < 3 or not self._usual.ready:
            return
        self.judged = True
        others = sorted(value for name, (_, value) in self._sources.items() if name != source)
        middle = others[len(others) // 2]
        over = mean - middle
        scale = max(self._usual.scale, 0.05)
        z = over / (scale / math.sqrt(min(count, 50)))
        if z <= 4.0 or over <= 0.4:
            self.clear(source)
            return
        self.alert(
            frame, "warning" if over < 1.1 else "error", subject=source, topic=source,
            title=f"{source} does far worse than the other sources",
            fact=f"Over {count} batches its loss was {number(math.exp(over))} times that of the others at the time.",
            inference="Its data are corrupt, mislabelled or of another kind.",
            evidence=[evidence("batch", source, "relative: standard errors above the other sources", z, 4.0, None,
                               frame.step)],
        )  # fmt: skip


def _source(batch: Batch) -> str | None:
    for name in SOURCES:
        value = batch.metadata.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return f"{name} {value}"
    return None
