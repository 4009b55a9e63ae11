"""Patterns of SQL's ILIKE, compared in Python: databases differ in which letters they know the case of."""

import re
from collections.abc import Callable, Iterable

_TOKEN = re.compile(r"\\(.)|(%+)|(_)|([^\\%_]+)", re.DOTALL)


def like(patterns: Iterable[str]) -> Callable[[str | None], bool]:
    """Whether a text matches any of the patterns, whatever the case of its letters; None matches none.

    ``%`` stands for any text and ``_`` for one character; a backslash makes what follows it plain.
    """
    compiled = [_compiled(pattern) for pattern in patterns]
    return lambda text: text is not None and any(one.match(text) for one in compiled)


def _compiled(pattern: str) -> re.Pattern[str]:
    """What stands between two ``%`` is matched at its first place only, so nothing is tried over and over."""
    parts = [""]
    for escaped, anything, single, plain in _TOKEN.findall(pattern):
        if anything:
            parts.append("")
        else:
            parts[-1] += "." if single else re.escape(escaped or plain)
    first, *others = parts
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    last = f".*{others[-1]}" if others else ""
    return re.compile(rf"{first}{middle}{last}\Z", re.IGNORECASE | re.DOTALL)
