"""How long an answer asks to be left alone: the header ``Retry-After`` in seconds."""

import time


def retry_after_s(text: str | None, longest_s: float) -> float:
    """Seconds that a ``Retry-After`` asks for, as number or date, from 0 to ``longest_s``; 0 where it says nothing."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        from email.utils import parsedate_to_datetime  # slow to import, and dates are rare

        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, OSError):
            return 0.0
    return min(max(seconds, 0.0), longest_s) if seconds == seconds else 0.0
