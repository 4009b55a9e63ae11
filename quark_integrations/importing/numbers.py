"""Numbers, steps and times as sources write them."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,30}")
_FLAGS = {"true": True, "false": False}
_UNITS = ((1e17, 1), (1e14, 10**3), (1e11, 10**6), (1e8, 10**9))
"""From which number on a time since 1970 counts nanoseconds, micro-, milliseconds, seconds; below is no wall time."""

DEEPEST = 16


def number_of(text: str) -> Any:
    """A cell of a table: a number, True or False, None if it is empty, else the text itself."""
    cell = text.strip()
    if not cell:
        return None
    if _WHOLE.fullmatch(cell) and not cell.startswith("-0"):
        return int(cell)
    if _NUMBER.fullmatch(cell):
        return float(cell)
    return _FLAGS.get(cell.lower(), text)


def position_of(value: Any) -> Any:
    """A step or an epoch: an int where it is whole, be it written 3, 3.0 or "3"; else as it is, None if empty."""
    if isinstance(value, str):
        value = number_of(value)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def time_of(value: Any) -> int | None:
    """A wall time in nanoseconds since 1970 UTC, from a number of seconds (or milli-, micro-, nanoseconds) or ISO 8601.

    None if it is neither, such as a number of seconds since the start.
    """
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return _moment(value) if isinstance(value, str) else None
    if not number.is_finite():
        return None
    for least, scale in _UNITS:
        if number >= least:
            made = int(number * scale)
            return made if made < 2**63 else None
    return None


def _moment(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return ((passed.days * 86400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000


def flattened(values: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested objects as ``outer/inner`` names; what is null was not logged. Later values replace earlier ones."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"
        if isinstance(value, Mapping) and depth < DEEPEST:
            made.update(flattened(value, f"{full}/", depth + 1))
        elif value is not None:
            made[full] = value
    return made
