"""What a watcher says once: a warning for the person at the terminal and an event in the run."""

import logging
from collections.abc import Mapping
from typing import Any

from ...core.handle import RunHandle
from ...errors import ClosedError
from ..events import log_event

MOST_NAMES = 500
"""So many names an event holds; their number is given in full."""

_SHOWN = 3
logger = logging.getLogger("quark")


def notice(
    handle: RunHandle, event_type: str, message: str, payload: Mapping[str, Any], *, step: int | None = None
) -> None:
    """Warn, and record an event of severity warning whose payload holds the message too."""
    logger.warning("quark: %s", message)
    try:
        log_event(handle, event_type, severity="warning", step=step, payload={"message": message, **payload})
    except ClosedError as error:
        handle.refuse(error, what=event_type)


def some(names: list[str]) -> str:
    """The first few of many names, for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
