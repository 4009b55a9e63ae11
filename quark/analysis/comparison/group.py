"""Compares many runs with many: the mean difference of a metric with the interval that its seeds leave."""

import math
import zlib
from dataclasses import dataclass

from ...errors import ConfigurationError
from ...records.base import Document
from .metrics import finite, ordered
from .parts import setting_of
from .quantiles import t_quantile
from .resampling import RESAMPLES, bootstrap_interval
from .sides import Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupMetricDiff(Document):
    """A metric over two groups of runs: the mean of the runs' final levels, primary minus reference.

    Attributes:
        primary_count, reference_count: runs that have the metric.
        low, high: confidence interval of ``delta`` by Student's t; None where the runs do not give one.
        excludes_zero: whether that interval lies on one side of zero.
        method: ``paired t``, ``Welch t``, or why there is no interval.
        bootstrap_low, bootstrap_high: the interval by resampling runs, or pairs where they are paired, which does not
            take them as normally distributed; None if neither side has two runs.
    """

    metric_key: str
    primary_count: int
    reference_count: int
    primary_mean: float | None
    reference_mean: float | None
    delta: float | None
    low: float | None
    high: float | None
    excludes_zero: bool | None
    method: str
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupComparisonResult(Document):
    """What differs between two groups of runs.

    Attributes:
        paired_by: the setting whose values pair the runs; None if they are not paired.
        confidence: of each single interval; of twenty at .95 one misses its truth.
        resamples, seed: of the bootstrap.
    """

    primary: tuple[str, ...]
    reference: tuple[str, ...]
    paired_by: str | None
    confidence: float
    metric_diffs: tuple[GroupMetricDiff, ...] = ()
    resamples: int = RESAMPLES
    seed: int = 0


GroupComparisonResult.__module__ = "quark"


def group_result(
    ours: list[Side], theirs: list[Side], pair_by: str | None, confidence: float, seed: int = 0
) -> GroupComparisonResult:  # fmt: skip
    """Both groups compared in every metric that both have.

    Raises:
        ConfigurationError: a group is empty, the confidence is not between 0 and 1, or the seed is below zero.
    """
    if not ours or not theirs:
        raise ConfigurationError("compare_group needs one run at least on each side; got none")
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"confidence must lie between 0 and 1, such as 0.95; got {confidence!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"seed must be a whole number from 0 on, got {seed!r}")
    pairs = _pairs(ours, theirs, pair_by)
    keys = set().union(*(side.run.keys() for side in ours)) & set().union(*(side.run.keys() for side in theirs))
    diffs = tuple(_diff(key, ours, theirs, pairs, confidence, seed) for key in sorted(keys))
    return GroupComparisonResult(
        primary=tuple(side.record.id for side in ours), reference=tuple(side.record.id for side in theirs),
        paired_by=pair_by if pairs else None, confidence=confidence, metric_diffs=diffs, seed=seed,
    )  # fmt: skip


def _pairs(ours: list[Side], theirs: list[Side], pair_by: str | None) -> list[tuple[int, int]]:
    """Which runs belong together; none unless every run has a value of its own and a partner with the same."""
    if pair_by is None:
        return []
    values = [[repr(setting_of(side.record.config, pair_by)) for side in group] for group in (ours, theirs)]
    one, other = values
    usable = "None" not in one and len(set(one)) == len(one) and sorted(one) == sorted(other)
    return [(place, other.index(value)) for place, value in enumerate(one)] if usable else []


def _diff(
    key: str, ours: list[Side], theirs: list[Side], pairs: list[tuple[int, int]], confidence: float, seed: int
) -> GroupMetricDiff:  # fmt: skip
    a, b = ([_level(side, key) for side in group] for group in (ours, theirs))
    ones, others = ([value for value in levels if value is not None] for levels in (a, b))
    together = [(x, y) for i, j in pairs if (x := a[i]) is not None and (y := b[j]) is not None]
    complete = len(together) == len(pairs)
    one, other = _mean(ones), _mean(others)
    delta = None if one is None or other is None else finite(one - other)
    paired = [x - y for x, y in together] if pairs and complete and len(pairs) > 1 else None
    if paired is not None:
        method, half = "paired t", _half_paired(paired, confidence)
    elif min(len(ones), len(others)) > 1:
        method, half = "Welch t", _half_welch(ones, others, confidence)
    else:
        method, half = "no interval: one run on a side says nothing of how seeds vary", None
    half = None if half is None or delta is None else finite(half)
    low, high = (None, None) if half is None or delta is None else (finite(delta - half), finite(delta + half))
    drawn = _resampled(paired, ones, others, confidence, [seed, zlib.crc32(key.encode("utf-8", "surrogatepass"))])
    return GroupMetricDiff(
        metric_key=key, primary_count=len(ones), reference_count=len(others), primary_mean=one, reference_mean=other,
        delta=delta, low=low, high=high, method=method,
        excludes_zero=None if low is None or high is None else low > 0 or high < 0,
        bootstrap_low=drawn[0], bootstrap_high=drawn[1],
    )  # fmt: skip


def _resampled(
    paired: list[float] | None, ones: list[float], others: list[float], confidence: float, seed: list[int]
) -> tuple[float | None, float | None]:
    """The bootstrap interval; a metric has draws of its own, which do not depend on what other metrics there are."""
    if paired is not None and not all(math.isfinite(one) for one in paired):
        return None, None
    sides = (ones, others) if paired is None else (paired, None)
    found = bootstrap_interval(*sides, confidence, seed)
    return (None, None) if found is None else (finite(found[0]), finite(found[1]))


def _level(side: Side, key: str) -> float | None:
    """The final level of a metric: the mean of the last twentieth of its points."""
    if key not in side.run.keys():  # noqa: SIM118  it is no dictionary
        return None
    found = ordered(side.run.series(key))
    if found is None:
        return None
    tail = found[1][-max(len(found[1]) // 20, 1):]  # fmt: skip
    return finite((tail / len(tail)).sum())


def _mean(values: list[float]) -> float | None:
    return finite(math.fsum(value / len(values) for value in values)) if values else None


def _variance(values: list[float]) -> float:
    size = max(abs(value) for value in values) or 1.0
    scaled = [value / size for value in values]
    mean = math.fsum(scaled) / len(scaled)
    return math.fsum((value - mean) ** 2 for value in scaled) / (len(scaled) - 1) * size * size


def _half_paired(differences: list[float], confidence: float) -> float:
    """Half the interval of the mean of paired differences (Student, 1908)."""
    if not all(math.isfinite(one) for one in differences):
        return math.inf
    count = len(differences)
    return t_quantile((1 + confidence) / 2, count - 1) * math.sqrt(_variance(differences) / count)


def _half_welch(ones: list[float], others: list[float], confidence: float) -> float:
    """Half the interval of the difference of two means whose variances may differ (Welch, 1947)."""
    a, b = _variance(ones) / len(ones), _variance(others) / len(others)
    if a + b == 0 or not math.isfinite(a + b):
        return a + b
    share, rest = a / (a + b), b / (a + b)
    freedom = 1 / (share**2 / (len(ones) - 1) + rest**2 / (len(others) - 1))
    return t_quantile((1 + confidence) / 2, freedom) * math.sqrt(a + b)
