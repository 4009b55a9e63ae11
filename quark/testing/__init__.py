"""Doubles and contract suites with which Quark tests itself, for sinks and stores of your own too."""

from .batches import (
    alert_line,
    event_line,
    make_batch,
    make_manifest,
    metric_lines,
    run_line,
    start_line,
    wide_lines,
)
from .handle import MemoryReader, MemoryRunHandle
from .sink import SinkContract, seen
from .store import StoreContract

__all__ = [
    "MemoryReader",
    "MemoryRunHandle",
    "SinkContract",
    "StoreContract",
    "alert_line",
    "event_line",
    "make_batch",
    "make_manifest",
    "metric_lines",
    "run_line",
    "seen",
    "start_line",
    "wide_lines",
]
