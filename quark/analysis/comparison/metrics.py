"""Compares a metric of two runs: last values, common steps, the noise within the runs, steps to a target."""

from typing import Any

from ...core.reader import Series
from ...records.configs import MetricTargetSpec
from ...records.naming import metric_key
from ..roles import LEARNING_RATE, role_of
from .result import MetricDiff, MetricSide, TargetDiff
from .sides import Side

FEWEST = 8
"""Points from which the noise of a run is told."""

TAIL = 200
"""The noise is taken from so many of the last points at most, and from the last fifth of them."""


def metric_diffs(primary: Side, reference: Side, targets: tuple[MetricTargetSpec, ...]) -> tuple[MetricDiff, ...]:
    """Every metric of either run, by name; a metric with several targets is told once for each."""
    ours, theirs = set(primary.run.keys()), set(reference.run.keys())
    names = {metric_key(name): name for name in ours | theirs}
    wanted: dict[str, list[MetricTargetSpec | None]] = {}
    for target in targets:
        wanted.setdefault(names.get(metric_key(target.metric_key), target.metric_key), []).append(target)
    made: list[MetricDiff] = []
    for key in sorted(ours | theirs | set(wanted)):
        one = ordered(primary.run.series(key)) if key in ours else None
        other = ordered(reference.run.series(key)) if key in theirs else None
        made += [_diff(key, one, other, target) for target in wanted.get(key, [None])]
    return tuple(made)


def ordered(series: Series) -> Any:
    """Steps and finite values in the order of the steps, the last value of each; None if there are none.

    A metric without steps keeps its order, and its steps are -1.
    """
    import numpy as np

    kept = np.isfinite(series.values)
    steps, values = series.steps[kept], series.values[kept]
    if not len(values):
        return None
    if (steps >= 0).any():
        steps, values = steps[steps >= 0], values[steps >= 0]
        if not (np.diff(steps) > 0).all():
            order = np.argsort(steps, kind="stable")
            steps, values = steps[order], values[order]
            last = np.append(steps[1:] != steps[:-1], True)
            steps, values = steps[last], values[last]
    return steps, values


def _diff(key: str, one: Any, other: Any, target: MetricTargetSpec | None) -> MetricDiff:
    only = None if (one is None) == (other is None) else "reference" if one is None else "primary"
    reached = None if target is None else _reached(one, other, target)
    ours, theirs = _side(one), _side(other)
    if one is None or other is None or ours is None or theirs is None:
        return MetricDiff(metric_key=key, only_in=only, primary=ours, reference=theirs, time_to_target_step=reached)
    delta = _minus(ours.last, theirs.last)
    relative = None if delta is None or not theirs.last else finite(delta / abs(theirs.last))
    steps, at_last, at_mean = _common(one, other)
    band = None if _is_set(key) else noise_band(one[1], other[1])
    judged = delta if at_last is None else at_last
    return MetricDiff(
        metric_key=key, primary=ours, reference=theirs, delta_last=delta, delta_mean=_minus(ours.mean, theirs.mean),
        relative_delta_last=relative,
        common_steps=len(steps), last_common_step=int(steps[-1]) if len(steps) else None, delta_last_common=at_last,
        delta_mean_common=at_mean, noise_band=band,
        within_noise=None if band is None or judged is None else abs(judged) <= band, time_to_target_step=reached,
    )  # fmt: skip


def _is_set(key: str) -> bool:
    """Whether a metric is what a schedule sets: its course is no noise, and its differences are intended."""
    role = role_of(key)
    return role is not None and role[0] == LEARNING_RATE


def _side(found: Any) -> MetricSide | None:
    import numpy as np

    if found is None:
        return None
    steps, values = found
    with np.errstate(over="ignore"):
        mean = finite(values.mean())
    return MetricSide(
        count=len(values), first=float(values[0]), last=float(values[-1]), min=float(values.min()),
        max=float(values.max()), mean=mean, last_step=int(steps[-1]) if steps[-1] >= 0 else None,
    )  # fmt: skip


def _common(one: Any, other: Any) -> tuple[Any, float | None, float | None]:
    """The steps that both have, and the differences at the last of them and in the mean."""
    import numpy as np

    if one[0][0] < 0 or other[0][0] < 0:
        return one[0][:0], None, None
    if len(one[0]) == len(other[0]) and (one[0] == other[0]).all():
        steps, ours, theirs = one[0], one[1], other[1]
    else:
        steps, at, there = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
        ours, theirs = one[1][at], other[1][there]
    if not len(steps):
        return steps, None, None
    with np.errstate(over="ignore", invalid="ignore"):
        differences = ours - theirs
        return steps, finite(differences[-1]), finite(differences.mean())


def noise_band(ours: Any, theirs: Any) -> float | None:
    """Twice the deviation of the difference of two values, each scattered as at the end of its run."""
    import numpy as np

    if min(len(ours), len(theirs)) < FEWEST:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return finite(2.0 * np.hypot(scatter(ours), scatter(theirs)))


def scatter(values: Any) -> float:
    """The deviation of the last values of a run from the line through them."""
    import numpy as np

    tail = values[-min(max(len(values) // 5, FEWEST), TAIL):]  # fmt: skip
    size = float(np.abs(tail).max()) or 1.0
    at = np.arange(len(tail)) - (len(tail) - 1) / 2
    level = tail / size
    rests = level - level.mean() - at * float((at * level).sum() / (at * at).sum())
    return float(np.sqrt((rests * rests).sum() / (len(tail) - 2))) * size


def _reached(one: Any, other: Any, target: MetricTargetSpec) -> TargetDiff:
    ours, theirs = (None if side is None else _first(side, target) for side in (one, other))
    delta = None if ours is None or theirs is None else ours - theirs
    return TargetDiff(target_value=target.target_value, direction=target.direction, primary=ours, reference=theirs,
                      delta=delta)  # fmt: skip


def _first(side: Any, target: MetricTargetSpec) -> int | None:
    steps, values = side
    hit = values >= target.target_value if target.direction == "at_least" else values <= target.target_value
    place = int(hit.argmax())
    return int(steps[place]) if hit[place] and steps[place] >= 0 else None


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else finite(one - other)


def finite(value: Any) -> float | None:
    """The number, or None if it is beyond the largest float."""
    number = float(value)
    return number if -1.8e308 < number < 1.8e308 else None
