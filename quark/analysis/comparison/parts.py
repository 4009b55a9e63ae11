"""Compares what is no metric: alerts, phases, layers, and the configuration."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from ...records.analysis import AlertRecord, HealthScoreRecord, PhaseRecord
from ...records.grammar import dotted
from ...records.layer import LayerSummaryRecord, qualified_name
from ...records.literals import PHASE_NAMES
from ...records.thresholds import PhaseAnalyzerConfig
from ..phases.analyzer import phases_of
from ..phases.course import courses_of
from ..rules.base import SEVERITIES
from .metrics import finite
from .result import AlertDiff, AlertMark, ConfigDiff, LayerSide, LayerSummaryDiff, PhaseDiff, PhaseSide, SeverityChange
from .sides import Side

STATISTICS = ("mean", "std", "norm", "dead_unit_ratio", "saturation_ratio")


def alert_diff(primary: Side, reference: Side) -> AlertDiff:
    """The alerts of both runs, each known by its rule and its subject."""
    ours, theirs = _marks(primary), _marks(reference)
    changed = tuple(
        SeverityChange(rule_id=key[0], subject=key[1], reference=theirs[key].severity, primary=mark.severity)
        for key, mark in ours.items()
        if key in theirs and theirs[key].severity != mark.severity
    )
    sides = {"primary": (primary, ours), "reference": (reference, theirs)}
    counts = {name: Counter(mark.severity for mark in marks.values()) for name, (_, marks) in sides.items()}
    return AlertDiff(
        added=tuple(mark for key, mark in ours.items() if key not in theirs),
        removed=tuple(mark for key, mark in theirs.items() if key not in ours),
        severity_changed=changed,
        counts_by_severity={name: {s: count[s] for s in SEVERITIES if count[s]} for name, count in counts.items()},
        not_analyzed=tuple(name for name, (side, marks) in sides.items() if not marks and not _scored(side)),
    )


def _marks(side: Side) -> dict[tuple[str, str | None], AlertMark]:
    made: dict[tuple[str, str | None], AlertMark] = {}
    for record in side.run.records(AlertRecord.kind):
        alert: Any = record
        key = (alert.rule_id, alert.subject)
        before = made.get(key)
        if before is None or SEVERITIES.index(alert.severity) > SEVERITIES.index(before.severity):
            made[key] = AlertMark(
                rule_id=alert.rule_id, subject=alert.subject, severity=alert.severity, title=alert.title,
                step_start=alert.step_start if before is None else before.step_start,
            )  # fmt: skip
    return made


def _scored(side: Side) -> bool:
    return next(iter(side.run.records(HealthScoreRecord.kind)), None) is not None


def phase_diffs(primary: Side, reference: Side) -> tuple[PhaseDiff, ...]:
    """The phases that are kept with the runs; those of a run that keeps none are found now."""
    ours, theirs = _phases(primary), _phases(reference)
    return tuple(
        _phase(name, ours.get(name), theirs.get(name)) for name in PHASE_NAMES if name in ours or name in theirs
    )


def _phases(side: Side) -> dict[str, list[tuple[int, int]]]:
    kept: list[Any] = list(side.run.records(PhaseRecord.kind))
    found = [(one.phase_name, one.step_start, one.step_end) for one in kept]
    if not found:
        config = PhaseAnalyzerConfig()
        spans = phases_of(courses_of(side.run, config), config.thresholds)
        found = [(one.name, one.step_start, one.step_end) for one in spans]
    made: dict[str, list[tuple[int, int]]] = {}
    for name, start, end in dict.fromkeys(found):
        made.setdefault(name, []).append((start, end))
    return made


def _phase(name: str, ours: list[tuple[int, int]] | None, theirs: list[tuple[int, int]] | None) -> PhaseDiff:
    one, other = _phase_side(ours), _phase_side(theirs)

    def delta(which: str) -> int | None:
        a, b = getattr(one, which), getattr(other, which)
        return None if a is None or b is None else a - b

    return PhaseDiff(phase_name=name, primary=one, reference=other, delta_start=delta("step_start"),
                     delta_end=delta("step_end"), delta_duration=delta("duration"))  # fmt: skip


def _phase_side(spans: list[tuple[int, int]] | None) -> PhaseSide:
    if not spans:
        return PhaseSide(present=False)
    return PhaseSide(
        present=True, step_start=min(start for start, _ in spans), step_end=max(end for _, end in spans),
        duration=sum(end - start + 1 for start, end in spans),
    )  # fmt: skip


class LayerMeans(msgspec.Struct, gc=False):
    """What a comparison reads of a LayerSummaryRecord."""

    module_name: str
    summary_type: str
    mean: float | None = None
    std: float | None = None
    norm: float | None = None
    dead_unit_ratio: float | None = None
    saturation_ratio: float | None = None
    watcher: str | None = None


Rows = tuple[Any, Any]
"""Steps of a layer's summaries, -1 for none, and their statistics: int64 [count], float64 [count, 5], null as NaN."""


def layer_diffs(primary: Side, reference: Side) -> tuple[LayerSummaryDiff, ...]:
    """Every layer of either run, activations and gradients apart, in the order in which they were recorded."""
    ours, theirs = _layers(primary), _layers(reference)
    return tuple(_layer(key, ours.get(key), theirs.get(key)) for key in dict.fromkeys((*ours, *theirs)))


def _layers(side: Side) -> dict[tuple[str, str], Rows]:
    import numpy as np

    steps: dict[tuple[str, str], list[int]] = {}
    values: dict[tuple[str, str], list[float | None]] = {}
    for _, _, _, _, step, _, one in side.run.items(LayerSummaryRecord.kind, LayerMeans):
        key = (qualified_name(one.watcher, one.module_name), one.summary_type)
        if key not in steps:
            steps[key], values[key] = [], []
        steps[key].append(-1 if step is None else step)
        # flat: a row of its own for each summary would keep the garbage collector busy
        values[key] += (one.mean, one.std, one.norm, one.dead_unit_ratio, one.saturation_ratio)
    return {
        key: (np.array(steps[key], np.int64), np.array(found, float).reshape(-1, len(STATISTICS)))
        for key, found in values.items()
    }


def _layer(key: tuple[str, str], ours: Rows | None, theirs: Rows | None) -> LayerSummaryDiff:
    import numpy as np

    if ours is None or theirs is None:
        one, other = (None if rows is None else _layer_side(rows[1]) for rows in (ours, theirs))
        return LayerSummaryDiff(
            module_name=key[0], summary_type=key[1], primary=one, reference=other,
            only_in="primary" if theirs is None else "reference",
        )  # fmt: skip
    steps = np.intersect1d(ours[0], theirs[0])
    steps = steps[steps >= 0]
    one, other = (_layer_side(rows[1][np.isin(rows[0], steps)] if len(steps) else rows[1]) for rows in (ours, theirs))
    deltas: dict[str, float | None] = {}
    for name in STATISTICS:
        a, b = getattr(one, name), getattr(other, name)
        deltas[name] = None if a is None or b is None else finite(a - b)
    return LayerSummaryDiff(module_name=key[0], summary_type=key[1], common_steps=len(steps), primary=one,
                            reference=other, deltas=deltas)  # fmt: skip


def _layer_side(statistics: Any) -> LayerSide:
    import numpy as np

    known = ~np.isnan(statistics)
    counts = known.sum(axis=0)
    with np.errstate(over="ignore"):
        # divided before it is summed: sums of values near the largest float are no floats
        means = np.where(known, statistics / np.maximum(counts, 1), 0.0).sum(axis=0)
    told = {name: finite(mean) if count else None for name, mean, count in zip(STATISTICS, means, counts, strict=True)}
    return LayerSide(count=len(statistics), **told)


def config_diffs(primary: Side, reference: Side) -> tuple[ConfigDiff, ...]:
    """The settings that differ, by dotted path."""
    ours, theirs = dict(dotted(primary.record.config)), dict(dotted(reference.record.config))
    made: list[ConfigDiff] = []
    for key in sorted({*ours, *theirs}):
        only = "primary" if key not in theirs else "reference" if key not in ours else None
        if only is not None or ours[key] != theirs[key]:
            made.append(ConfigDiff(key=key, only_in=only, primary=ours.get(key), reference=theirs.get(key)))
    return tuple(made)


def setting_of(config: Mapping[str, Any], path: str) -> Any:
    """The value of a setting by its dotted path; None if there is none."""
    return dict(dotted(config)).get(path)
