"""How long a run took, or has been running."""

import time

from ..records.base import parse_timestamp
from ..records.run import RunRecord


def elapsed_s(run: RunRecord, now_ns: int | None = None) -> float | None:
    """Seconds from the start to the end, or to ``now_ns`` while it runs; None where the end is not known."""
    if run.ended_at is not None:
        end = parse_timestamp(run.ended_at)
    elif run.status == "running":
        end = time.time_ns() if now_ns is None else now_ns
    else:
        return None
    return max(0.0, (end - parse_timestamp(run.started_at)) / 1e9)
