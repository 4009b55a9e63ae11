"""Secrets below their names: the indented lines that YAML puts under ``password: |`` or ``credentials:``."""

import re

from .extent import says_nothing
from .formats import HIDDEN
from .lazy import lazy_pattern
from .names import ALL, OPEN, secrecy
from .prose import looks_secret

_OPENS = lazy_pattern(
    r"""(?P<indent>[ \t]*(?:-[ \t]+)*)(?P<quote>["']?)(?P<name>[A-Za-z_][\w.\-]{0,100})(?P=quote)[ \t]?:[ \t]*
    (?P<bar>[|>][+\-0-9]{0,2})?[ \t]*(?:\#.*)?\r?\Z""",
    re.VERBOSE,
)
_BEFORE_VALUE = lazy_pattern(r"""[ \t]*(?:-[ \t]+)*(?:["']?[\w.\-]{1,100}["']?[ \t]?:[ \t]+)?""")
_MAY_OPEN = lazy_pattern(r":[ \t]*(?:[|>][+\-0-9]{0,2})?[ \t]*(?:#[^\n]*)?\r?\n[ \t\r\n]*[ \t\-]")


class Blocks:
    """Goes through a text line by line, and hides the lines that belong to a secret name above them."""

    def __init__(self) -> None:
        self._level = OPEN
        self._indent = -1
        self._text = False

    def without_blocks(self, line: str) -> str:
        """The next line, without its newline; hidden if it lies below a secret name."""
        if self._level != OPEN:
            if not line.strip():
                return line
            if self._is_below(line):
                return self._hidden(line)
            self._level = OPEN
        if line.rstrip().endswith(":") or "|" in line or ">" in line or "#" in line:
            opens = _OPENS.match(line)
            if opens is not None:
                self._level, self._indent = secrecy(opens["name"]), len(opens["indent"])
                self._text = opens["bar"] is not None
        return line

    def _is_below(self, line: str) -> bool:
        indent = len(line) - len(line.lstrip())
        return indent > self._indent or (not self._text and indent == self._indent and line.lstrip().startswith("- "))

    def _hidden(self, line: str) -> str:
        """A line of a text is hidden whole; of a list or mapping, a value of one word or in quotes.

        Several words are a sentence, as in the documentation of a parameter, and so may be any below a vague name.
        """
        if self._text:
            return line[: len(line) - len(line.lstrip())] + HIDDEN
        before = _BEFORE_VALUE.match(line)
        start = before.end() if before else 0
        value = line[start:].rstrip()
        bare = value.strip("\"'")
        sentence = " " in bare and bare == value
        vague = self._level != ALL and not looks_secret(bare)
        if sentence or vague or value.endswith(":") or says_nothing(bare, self._level, special=True):
            return line
        return line[:start] + HIDDEN


def without_blocks(text: str) -> str:
    """A text of several lines without what lies below secret names."""
    if not _MAY_OPEN.search(text):
        return text
    blocks = Blocks()
    return "\n".join(map(blocks.without_blocks, text.split("\n")))
