"""One look at the machine: the fields of a record, and the same values under their metric keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MACHINE_FIELDS = ("cpu_usage_percent", "ram_usage_percent", "ram_used_bytes", "process_rss_bytes")
GPU_FIELDS = (
    "gpu_index", "gpu_utilization_percent", "gpu_memory_used_bytes", "gpu_memory_usage_percent",
    "gpu_memory_allocated_bytes", "gpu_memory_reserved_bytes", "gpu_memory_peak_allocated_bytes",
    "gpu_memory_fragmentation_ratio", "gpu_memory_inactive_split_bytes",
)  # fmt: skip

MIRRORED = {
    "cpu_usage_percent": "system/cpu/usage_percent",
    "ram_usage_percent": "system/ram/usage_percent",
    "ram_used_bytes": "system/ram/used_bytes",
    "process_rss_bytes": "system/process/rss_bytes",
    "gpu_utilization_percent": "system/gpu/utilization_percent",
    "gpu_memory_used_bytes": "system/gpu/memory_used_bytes",
    "gpu_memory_usage_percent": "system/gpu/memory_usage_percent",
    "gpu_memory_peak_allocated_bytes": "system/gpu/memory_peak_allocated_bytes",
    "gpu_memory_fragmentation_ratio": "system/gpu/memory_fragmentation_ratio",
    "gpu_memory_inactive_split_bytes": "system/gpu/memory_inactive_split_bytes",
}
"""The metric key under which a sampled field is mirrored."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read, and when.

    Attributes:
        fields: every sampled field of SystemTelemetryRecord; None where there is no value.
        metrics: the values by metric key, without those that are None.
        taken: the sampler's clock after reading, in seconds.
        complete: False while a value is still to come: a rate needs two looks, a driver time to start.
    """

    fields: dict[str, Any]
    metrics: dict[str, float]
    taken: float
    complete: bool = True


def make_sample(values: Mapping[str, Any], taken: float, *, complete: bool = True) -> Sample:
    """A sample of ``values``; fields that they lack are None."""
    fields = {name: values.get(name) for name in (*MACHINE_FIELDS, *GPU_FIELDS)}
    metrics: dict[str, Any] = {key: fields[name] for name, key in MIRRORED.items() if fields[name] is not None}
    return Sample(fields, metrics, taken, complete)


BLANK = make_sample({}, float("-inf"))
"""The sample of a machine of which nothing is known."""
