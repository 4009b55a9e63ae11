"""What a comparison of two runs answers; every part is a value with ``to_dict``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...records.base import CURRENT_SCHEMA_VERSION, Document
from ...records.literals import ComparisonMode
from ...records.run import RunRecord

CAUTION = (
    "One run against one run cannot tell a better setting from a lucky seed: noise_band knows the variation within the "
    "runs only. ComparisonEngine.compare_group compares several seeds of each."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricSide(Document):
    """A metric in one run; a number beyond the largest float is None."""

    count: int
    first: float | None
    last: float | None
    min: float | None
    max: float | None
    mean: float | None
    last_step: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetDiff(Document):
    """The first step at which each run reached a target; None: never. ``delta`` is None if either did not."""

    target_value: float
    direction: str
    primary: int | None
    reference: int | None
    delta: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricDiff(Document):
    """A metric in both runs; deltas are primary minus reference.

    Attributes:
        only_in: ``primary`` or ``reference`` if the other has no such metric; else None.
        relative_delta_last: ``delta_last`` over the reference's absolute value; None where that is zero.
        common_steps: at how many steps both have a value.
        last_common_step, delta_last_common, delta_mean_common: the last of them, and the differences there.
        noise_band: twice the deviation that a difference of two last values has from the variation within the runs;
            None where either has fewer than eight points, and for learning rates, which are set and not measured.
        within_noise: whether the difference at the last common step (of the last values if there is none) lies in it.
        time_to_target_step: for a metric with a target.
    """

    metric_key: str
    only_in: str | None = None
    primary: MetricSide | None = None
    reference: MetricSide | None = None
    delta_last: float | None = None
    delta_mean: float | None = None
    relative_delta_last: float | None = None
    common_steps: int = 0
    last_common_step: int | None = None
    delta_last_common: float | None = None
    delta_mean_common: float | None = None
    noise_band: float | None = None
    within_noise: bool | None = None
    time_to_target_step: TargetDiff | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlertMark(Document):
    """An alert by what makes it the same in two runs, at its worst severity."""

    rule_id: str
    subject: str | None
    severity: str
    title: str
    step_start: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeverityChange(Document):
    """An alert that both runs have, with another severity."""

    rule_id: str
    subject: str | None
    reference: str
    primary: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlertDiff(Document):
    """The alerts that are kept with the runs.

    Attributes:
        added: alerts of the primary that the reference does not have; removed: the other way round.
        counts_by_severity: ``{"primary": {severity: count}, "reference": {...}}``.
        not_analyzed: the sides that keep neither alerts nor health scores: nobody looked.
    """

    added: tuple[AlertMark, ...] = ()
    removed: tuple[AlertMark, ...] = ()
    severity_changed: tuple[SeverityChange, ...] = ()
    counts_by_severity: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    not_analyzed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhaseSide(Document):
    """A phase in one run; if it comes back, from its first step to its last, its duration without what lies between."""

    present: bool
    step_start: int | None = None
    step_end: int | None = None
    duration: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhaseDiff(Document):
    """A phase in both runs; deltas in steps, None where either lacks it."""

    phase_name: str
    primary: PhaseSide
    reference: PhaseSide
    delta_start: int | None = None
    delta_end: int | None = None
    delta_duration: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerSide(Document):
    """Means of a layer's statistics over ``count`` summaries."""

    count: int
    mean: float | None = None
    std: float | None = None
    norm: float | None = None
    dead_unit_ratio: float | None = None
    saturation_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerSummaryDiff(Document):
    """A layer in both runs, at the steps at which both have a summary; over all steps where there are none.

    Attributes:
        only_in: ``primary`` or ``reference`` if the other has no such layer; else None.
        common_steps: at how many steps both were looked at.
        deltas: primary minus reference by statistic.
    """

    module_name: str
    summary_type: str
    only_in: str | None = None
    common_steps: int = 0
    primary: LayerSide | None = None
    reference: LayerSide | None = None
    deltas: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConfigDiff(Document):
    """A setting that differs, by its dotted path."""

    key: str
    only_in: str | None = None
    primary: Any = None
    reference: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunComparisonResult(Document):
    """What differs between two runs.

    Attributes:
        generated_at: RFC 3339 in UTC.
        mode: ``baseline`` if the reference is one, else ``pairwise``.
        caution: what one run against one cannot show.
    """

    generated_at: str
    mode: ComparisonMode
    primary: RunRecord
    reference: RunRecord
    metric_diffs: tuple[MetricDiff, ...] = ()
    alert_diff: AlertDiff = field(default_factory=AlertDiff)
    phase_diffs: tuple[PhaseDiff, ...] = ()
    layer_summary_diffs: tuple[LayerSummaryDiff, ...] = ()
    config_diffs: tuple[ConfigDiff, ...] = ()
    caution: str = CAUTION
    schema_version: int = CURRENT_SCHEMA_VERSION


RunComparisonResult.__module__ = "quark"
