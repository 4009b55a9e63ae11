"""What went wrong and how often: counters for ``session.health()``, and warnings that do not flood."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..redaction import redact_text

logger = logging.getLogger("quark")

WARN_INTERVAL_S = 30.0


class Health:
    """Counts faults by cause and warns about each cause at most once per 30 s. It never raises."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, str] = {}
        self._warned: dict[str, float] = {}

    def report(self, cause: str, message: str, count: int = 1) -> None:
        """Count a fault; warn unless this cause was warned about in the last 30 s."""
        now = self._monotonic()
        with self._lock:
            self._counts[cause] += count
            self._last[cause] = message
            if len(self._warned) > 1000:
                self._warned.clear()
            last = self._warned.get(cause)
            if last is not None and now - last < WARN_INTERVAL_S:
                return
            self._warned[cause] = now
            total = self._counts[cause]
        times = f" ({total} times so far)" if total > count else ""
        logger.warning("quark: %s: %s%s", cause, redact_text(message), times)

    def count(self, cause: str) -> int:
        """How often a cause was reported."""
        with self._lock:
            return self._counts[cause]

    def to_dict(self) -> dict[str, Any]:
        """Counts and last messages by cause."""
        with self._lock:
            return {
                cause: {"count": n, "last": redact_text(self._last[cause])} for cause, n in sorted(self._counts.items())
            }
