"""Patterns that are compiled when they are first used: most runs meet few of the texts that need them."""

import re
from typing import Any


def lazy_pattern(text: str, flags: int = 0) -> "re.Pattern[str]":
    """What ``re.compile`` gives, compiled at its first use: all patterns of this room take 12 ms of a start."""
    made: Any = _LazyPattern(text, flags)
    return made


class _LazyPattern:
    """Stands for a pattern. After the first use its methods are the compiled pattern's own, at no further cost."""

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        compiled = re.compile(self._text, self._flags)
        if not name.startswith("_"):
            setattr(self, name, getattr(compiled, name))
        return getattr(compiled, name)
