"""Records that are read as rows: alerts, events, health, phases, telemetry, batches and layers as tables."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from quark import RECORD_KINDS, Record

_EVERY = ("step", "epoch", "timestamp", "rank")
_BESIDE = {*_EVERY, "id", "run_id", "sequence", "schema_version"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one kind of records; every one begins with step, epoch, timestamp and rank."""

    name: str
    kind: str
    columns: tuple[str, ...]


_OWN = {
    table.kind: table
    for table in (
        Table("alerts", "alert", (
            *_EVERY, "severity", "rule_id", "category", "title", "summary", "fact", "inference", "evidence",
            "step_start", "step_end",
        )),
        Table("events", "event", (*_EVERY, "severity", "event_type", "status", "payload")),
        Table("health", "health", (*_EVERY, "score_key", "category", "score", "status", "evidence")),
        Table("phases", "phase", (*_EVERY, "phase_name", "display_name", "summary", "step_start", "step_end")),
        Table("telemetry", "telemetry", (
            *_EVERY, "boundary", "step_time_ms", "data_time_ms", "compute_time_ms", "cpu_usage_percent",
            "ram_usage_percent", "process_rss_bytes", "gpu_index", "gpu_utilization_percent", "gpu_memory_used_bytes",
            "gpu_memory_allocated_bytes", "gpu_memory_reserved_bytes", "gpu_memory_peak_allocated_bytes",
        )),
        Table("batches", "batch", (*_EVERY, "loss", "batch_size", "class_counts", "metadata")),
        Table("layers", "layer", (
            *_EVERY, "module_name", "module_type", "summary_type", "call_index", "tensor_shape", "mean", "std", "norm",
            "dead_unit_ratio", "saturation_ratio", "watcher",
        )),
        Table("parameters", "parameter", (
            *_EVERY, "parameter_name", "call_index", "weight_norm", "gradient_norm", "update_norm", "update_ratio",
            "watcher",
        )),
    )
}  # fmt: skip


def _announced(cls: type[Record]) -> Table:
    """The table of a kind that another package has added: its fields."""
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # every record is a dataclass
    return Table(cls.plural or f"{cls.kind}s", cls.kind, (*_EVERY, *(name for name in names if name not in _BESIDE)))


TABLES: dict[str, Table] = _OWN | {
    kind: _announced(cls) for kind, cls in RECORD_KINDS.items() if kind not in {*_OWN, "metric", "artifact"}
}
"""The table of each kind that has one; metrics are series, artifacts are files."""


def row_of(record: Record) -> list[Any]:
    """The row of a record in the order of its table's columns; structured values are JSON text, missing ones None."""
    plain = record.to_dict()
    plain["rank"] = record.origin.rank
    return [_cell(plain.get(column)) for column in TABLES[record.kind].columns]


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, ensure_ascii=False)
