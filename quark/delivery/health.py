"""What went wrong and how often: counters for ``session.health()``, and warnings that do not flood."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..records.foreign import suppress_foreign
from ..redaction import redact_text

logger = logging.getLogger("quark")

WARN_INTERVAL_S = 30.0
MOST_SUBJECTS = 500
"""Different subjects (metric keys) of a cause that are counted one by one; what comes after them is in the total."""

OTHERS = "(others)"


class Health:
    """Counts faults by cause and warns about each. It never raises.

    A cause without a subject is warned about at most once per 30 s; with subjects, such as the keys of refused metrics,
    once for each of them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.RLock()  # a signal handler may report while its thread is here
        self._counts: Counter[str] = Counter()
        self._subjects: dict[str, Counter[str]] = {}
        self._last: dict[str, str] = {}
        self._warned: dict[str, float] = {}

    def report(self, cause: str, message: str, count: int = 1, *, subject: str | None = None) -> None:
        """Count a fault; warn if this is news."""
        with self._lock:
            self._counts[cause] += count
            self._last[cause] = message
            total = self._counts[cause]
            news = self._is_due(cause) if subject is None else self._is_new(cause, subject, count)
        if news:
            times = f" ({total} times so far)" if total > count and subject is None else ""
            with suppress_foreign():  # a handler of the program's own logging
                logger.warning("quark: %s: %s%s", cause, redact_text(message), times)

    def _is_due(self, cause: str) -> bool:
        now = self._monotonic()
        if len(self._warned) > 1000:
            self._warned.clear()
        last = self._warned.get(cause)
        if last is not None and now - last < WARN_INTERVAL_S:
            return False
        self._warned[cause] = now
        return True

    def _is_new(self, cause: str, subject: str, count: int) -> bool:
        known = self._subjects.setdefault(cause, Counter())
        if subject in known:
            known[subject] += count
            return False
        if len(known) >= MOST_SUBJECTS:
            known[OTHERS] += count
            return self._is_due(cause)
        known[subject] = count
        return True

    def count(self, cause: str) -> int:
        """How often a cause was reported."""
        with self._lock:
            return self._counts[cause]

    def total(self, prefix: str) -> tuple[int, Counter[str]]:
        """How often the causes that begin with ``prefix`` were reported, in all and by subject."""
        with self._lock:
            number = sum(count for cause, count in self._counts.items() if cause.startswith(prefix))
            by_subject: Counter[str] = Counter()
            for cause, subjects in self._subjects.items():
                if cause.startswith(prefix):
                    by_subject.update(subjects)
            return number, by_subject

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock, and is not here to release it."""
        self._lock = threading.RLock()

    def to_dict(self) -> dict[str, Any]:
        """Counts and last messages by cause; ``subjects`` where a cause has any."""
        with self._lock:
            made: dict[str, Any] = {}
            for cause, number in sorted(self._counts.items()):
                made[cause] = {"count": number, "last": redact_text(self._last[cause])}
                if cause in self._subjects:
                    made[cause]["subjects"] = {redact_text(name): n for name, n in self._subjects[cause].items()}
            return made
