"""What goes to standard output: JSON documents for scripts, tables for people, and no control characters in either."""

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ..sinks.wording import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_TRICKS = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
STYLES = {"running": "cyan", "completed": "green", "failed": "red", "interrupted": "yellow"}
SEVERITIES = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim"}


def print_json(document: Any) -> None:
    """One JSON document; characters that a terminal would obey are written as escapes."""
    sys.stdout.write(json_text(document) + "\n")
    sys.stdout.flush()


def json_text(document: Any) -> str:
    """A JSON document as text, indented by two."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return _TRICKS.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(document, option=option).decode())


def console() -> "Console":
    """The terminal, or plain text where standard output is not one: there a line stays one, however long it is.

    NO_COLOR and TERM=dumb are honoured.
    """
    from rich.console import Console

    made = Console(highlight=False, markup=False, emoji=False)
    made.soft_wrap = not made.is_terminal
    return made


def text(value: object, style: str = "", limit: int = 300) -> "Text":
    """Recorded text, for a table or a line: stripped of control characters, never read as markup."""
    from rich.text import Text

    return Text(plain(value, limit), style=style)


def status_text(status: str, reason: str | None = None) -> "Text":
    """A status in its colour, with the reason where that says more."""
    usual = {"completed": "completed", "failed": "error", "interrupted": "interrupted"}
    more = f" ({reason})" if reason and reason != usual.get(status) else ""
    return text(status + more, STYLES.get(status, ""))


def counted(counts: Mapping[str, int]) -> str:
    """Records by kind in words: ``1,739 metric points, 2 artifacts``."""
    from ..records.base import noun_of
    from ..records.kinds import KINDS

    nouns = {kind: noun_of(KINDS[kind]) if kind in KINDS else f"{kind}s" for kind in counts}
    return ", ".join(f"{count:,} {nouns[kind]}" for kind, count in counts.items() if count) or "nothing"


def cut(value: object, style: str = "", limit: int = 300) -> "Text":
    """Recorded text for a flexible column of a table: what does not fit is cut, never wrapped."""
    made = text(value, style, limit)
    made.no_wrap, made.overflow = True, "ellipsis"
    return made


def table(*columns: str, right: tuple[str, ...] = (), flexible: tuple[str, ...] = ()) -> "Table":
    """A table without frames. ``right`` columns are aligned so; ``flexible`` ones give way first where it is narrow."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(
            column, justify="right" if column in right else "left", overflow="ellipsis",
            no_wrap=column not in flexible,
        )  # fmt: skip
    return made
