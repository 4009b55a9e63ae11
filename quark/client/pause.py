"""A break after a failure: however often something is tried, a service in trouble is asked seldom."""

import random
from typing import Any

from .refusals import LONGEST_WAIT_S, RefusedError, ServiceUnavailableError

FIRST_S = 0.05
LONGEST_S = 1.0
"""The worker's own back-off goes further, to half a minute; this bound also holds while somebody waits for a flush."""


class Pause:
    """Refuses at once, without asking, until the moment that the last failure calls for; full jitter."""

    def __init__(self, clock: Any, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.Random()
        self._failures = 0
        self._until = 0.0
        self._error: ServiceUnavailableError | RefusedError | None = None

    def check(self) -> None:
        """Raise the last failure again while the break lasts, with what is left of it as ``retry_after_s``."""
        left = self._until - self._clock.monotonic()
        if self._error is not None and left > 0:
            raise ServiceUnavailableError(str(self._error), status=self._error.status, retry_after_s=left)

    def failed(self, error: ServiceUnavailableError | RefusedError) -> None:
        """Begin a break: as long as the service asks for, else a random time below a bound that doubles."""
        self._failures += 1
        ceiling = min(LONGEST_S, FIRST_S * 2 ** min(self._failures, 16))
        wait = max(min(error.retry_after_s, LONGEST_WAIT_S), self._rng.uniform(0, ceiling))
        self._error = error
        self._until = self._clock.monotonic() + wait

    def passed(self) -> None:
        """The service answered."""
        self._failures = 0
        self._error = None
