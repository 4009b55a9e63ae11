"""The series that a dashboard draws: metrics as they are, and layers and parameters as chosen."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from quark import LayerSummaryRecord, ParameterSummaryRecord, Record, RecordBatch

from .naming import rank_prefix

LAYER_FIELDS = ("mean", "std", "norm", "dead_unit_ratio", "saturation_ratio")
PARAMETER_FIELDS = ("weight_norm", "gradient_norm", "update_norm", "update_ratio")


class Point(NamedTuple):
    """One value of one series; ``time_ns`` is nanoseconds since 1970 UTC, ``sequence`` the number of its line."""

    key: str
    value: float
    step: int | None
    epoch: int | None
    time_ns: int
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class LayerSeries:
    """Which layers and parameters are drawn, and what of them.

    Attributes:
        names: shell patterns of module and parameter names; none: no such series at all.
        layer_fields, parameter_fields: which statistics become series.
    """

    names: Sequence[str] = ("*",)
    layer_fields: Sequence[str] = LAYER_FIELDS
    parameter_fields: Sequence[str] = PARAMETER_FIELDS

    def wants(self, name: str) -> bool:
        """Whether this layer or parameter is drawn."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)


def series_of(
    batch: RecordBatch, layers: LayerSeries, *, nonfinite: bool = False, names: Mapping[str, str] | None = None
) -> Iterator[Point]:
    """All points of a batch in the order of recording, those of other ranks than 0 below ``rank_<n>/``.

    Metrics have the names under which they were logged, as ``names`` gives them by key; telemetry arrives as metrics
    below ``system/`` already. A layer gives
    ``quark/layers/<module>/<activation or gradient>/<statistic>``, a parameter ``quark/params/<name>/<statistic>``;
    further calls of a module within the step have ``#<call>`` behind its name. A statistic that is null has no point.
    A metric that was NaN or infinite was recorded as an event; with ``nonfinite`` it is a point of its series.
    """
    prefix = rank_prefix(batch.origin.rank)
    named = (names or {}).get
    drawn: dict[int, Record] | None = None
    for line in batch.lines():
        if line.kind == "metric":
            if line.metric_key and line.value is not None:
                key = named(line.metric_key, line.metric_key)
                yield Point(prefix + key, line.value, line.step, line.epoch, line.time, line.sequence)
        elif line.kind == "metrics":
            for key, value in (line.values or {}).items():
                yield Point(prefix + named(key, key), value, line.step, line.epoch, line.time, line.sequence)
        elif nonfinite and line.kind == "event" and line.label == "metric_nonfinite":
            payload = msgspec.json.decode(line.body).get("payload") or {}
            if payload.get("value") in ("nan", "inf", "-inf") and isinstance(key := payload.get("key"), str):
                value = float(payload["value"])
                yield Point(prefix + named(key, key), value, line.step, line.epoch, line.time, line.sequence)
        elif line.kind in ("layer", "parameter") and line.label and layers.wants(line.label):
            if drawn is None:
                drawn = {r.sequence: r for r in batch.records() if isinstance(r, _DRAWN)}
            record = drawn.get(line.sequence)
            if record is not None:
                yield from _statistics(record, prefix, layers)


_DRAWN = (LayerSummaryRecord, ParameterSummaryRecord)


def _statistics(record: Any, prefix: str, layers: LayerSeries) -> Iterator[Point]:
    call = f"#{record.call_index}" if record.call_index else ""
    prefix = f"{prefix}{record.watcher}/" if record.watcher else prefix
    if isinstance(record, LayerSummaryRecord):
        stem, fields = f"quark/layers/{record.module_name}{call}/{record.summary_type}", layers.layer_fields
    else:
        stem, fields = f"quark/params/{record.parameter_name}{call}", layers.parameter_fields
    for name in fields:
        value = getattr(record, name)
        if value is not None:
            yield Point(f"{prefix}{stem}/{name}", value, record.step, record.epoch, record.time_ns, record.sequence)
