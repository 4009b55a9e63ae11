"""Doubles and contract suites with which Quark tests itself, for sinks and stores of your own too."""

from .batches import alert_line, event_line, make_batch, make_manifest, metric_lines, run_line, wide_lines

__all__ = [
    "alert_line",
    "event_line",
    "make_batch",
    "make_manifest",
    "metric_lines",
    "run_line",
    "wide_lines",
]
