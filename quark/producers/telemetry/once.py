"""A source of telemetry that is missing is said once in a process, not once a sample."""

import logging

logger = logging.getLogger("quark")

_said: set[str] = set()


def warn_once(cause: str, message: str) -> None:
    """Warn unless this process was warned of ``cause`` before."""
    if cause not in _said:
        _said.add(cause)
        logger.warning("quark: %s", message)


def forget() -> None:
    """Let every cause be said again."""
    _said.clear()
