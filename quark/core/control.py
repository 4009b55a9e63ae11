"""What a store knows of a run beyond its records: signs of life, and what was asked of it from afar."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import shown

DEFAULT_GRACE_S = 600.0
LEAST_GRACE_S = 1.0
MOST_GRACE_S = 30 * 86400.0

GROUP_TAG = "run-group"
"""Marks the run of a group: a request that it stops is passed on to its members, the runs whose parent it is."""

Alive = Callable[[str], bool]
"""Whether a process that writes the run lives, where that can be seen directly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunControl:
    """Signs of life of a run, and the requests that wait for it. Times are RFC 3339 by the clock of the store.

    Attributes:
        last_seen: when its last heartbeat came; None if none did.
        stale: whether it runs and was silent for three of its heartbeats.
        stop_requested_at: when it was asked to stop; None if it was not, or has ended since.
        stop_grace_s: seconds that it was given to end by itself.
        stop_step: in a distributed job the step before which all ranks agreed to stop; it outlives the end, for a
            rank that is late.
        restart_requested_at: when ``quark run`` was asked to start it anew.
        restart_grace_s: seconds that it was given to end for that.
    """

    __module__ = "quark"

    last_seen: str | None = None
    stale: bool = False
    stop_requested_at: str | None = None
    stop_grace_s: float | None = None
    stop_step: int | None = None
    restart_requested_at: str | None = None
    restart_grace_s: float | None = None


class Pulse(Protocol):
    """Where a live run says that it lives and hears what is asked of it."""

    longest_pause_s: float
    """Seconds between two beats at most: to listen costs little here."""

    def beat(self, run_id: str, interval_s: float, stop_step: int | None = None) -> RunControl | None:
        """Tell and hear; ``stop_step``: what rank 0 proposes to all ranks. None: the run is not known there yet."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


def check_grace(seconds: object) -> float:
    """A grace period in seconds, given as a number of them or as a timedelta.

    Raises:
        WrongTypeError, SchemaValidationError: neither of them, below one second, or above thirty days.
    """
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise WrongTypeError(f"grace_period_s must be a number of seconds or a timedelta, got {shown(seconds)}")
    if not LEAST_GRACE_S <= seconds <= MOST_GRACE_S:
        raise SchemaValidationError(
            f"grace_period_s must be between {LEAST_GRACE_S:g} and {MOST_GRACE_S:g} seconds, got {shown(seconds)}"
        )
    return float(seconds)
