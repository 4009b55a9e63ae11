"""How far a value goes in a text: to its closing quote or bracket, its separator, or the end of its line."""

import re
from typing import NamedTuple

from .formats import HIDDEN
from .lazy import lazy_pattern
from .names import TEXT

_QUOTE = lazy_pattern(r"""[bfruBFRU]{0,2}(\\{0,4})(["'`])""")
_WITHIN = {mark: lazy_pattern(rf"(?:[^{mark}\\\n]|\\.)*+") for mark in "\"'`"}
_SCHEME = lazy_pattern(
    r"(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)(?:[ \t]{1,8}|%20)(?=[^\s,;])", re.IGNORECASE
)
_BARE = lazy_pattern(
    r"""(?:[^\s,;&|"'`<>()\[\]{}\\]
        |[,|](?![\s"'`]|[\w.\-]{1,40}[=:]|\Z)
        |&(?![\w.\-%]{1,40}=)
        |["'`)\]}>](?=[\w"'`)\]}>]{0,3}[\w])
        |[(\[{<]
        |\\(?![nrt"'`\\]))++""",
    re.VERBOSE,
)
_IN_QUERY = lazy_pattern(r"""[^\s&#"'`<>;\\]*+""")
_NEXT_FIELD = lazy_pattern(r";(?=[ \t]{0,4}(?:[A-Za-z][\w ]{0,40}=|[\"'`\n]|\Z))")
_FIELD = lazy_pattern(r"[^;\n\"'`=]{1,200}+")
_SPECIAL = lazy_pattern(r"<[^<>\s]{1,40}>|\[[A-Z]{2,12}\]")
_NUMBER = lazy_pattern(r"[+\-]?[\d_.]{1,24}(?:[eE][+\-]?\d{1,4})?[kKmMbBgG%]?[.:]?\Z")
_NOTHING = lazy_pattern(
    r"(?:none|null|nil|true|false|nan|[+\-]?inf(?:inity)?|str|bytes|int|float|bool|any|string|text|optional|\*{3,}|\.{3})(?:\[\w*\]?)?[?.:!]?\Z",
    re.IGNORECASE,
)
_EXPRESSION = lazy_pattern(
    r"(?:self|cls|args|opts?|cfg|config|conf|settings|params|hparams|kwargs)(?:\.\w{1,60}){1,5}\Z"
)
_BRACKETS = lazy_pattern(r"[\[\](){}]")


class Value(NamedTuple):
    """A part of a text."""

    start: int
    end: int


def value_from(
    text: str, start: int, line_end: int, level: int, *, query: bool = False, header: bool = False, within: str = ""
) -> Value | None:
    """The value that begins at ``start``; None if there is none, or one that hides nothing.

    Args:
        query: it is a parameter of a URL.
        header: it goes to the end of the line, or of the quotes around it.
        within: the quote before the name, if there is one.
    """
    if text.startswith(HIDDEN, start) or start >= line_end:
        return None
    if query:
        return _checked(text, start, _IN_QUERY.match(text, start, line_end), level)
    if header:
        close = text.find(within, start, line_end) if within else -1
        return Value(start, line_end if close < 0 else close)
    if level == TEXT and _SPECIAL.match(text, start, line_end):
        return None
    found = quoted_from(text, start, line_end) or _bracketed(text, start, line_end)
    if found is not None:
        return _worth(text, found, level)
    scheme = _SCHEME.match(text, start, line_end)
    bare = _BARE.match(text, scheme.end() if scheme else start, line_end)
    return _checked(text, start, _to_field(text, start, line_end) or bare, level)


def quoted_from(text: str, start: int, line_end: int) -> Value | None:
    """What lies between the quotes that open at ``start``; to the end of the line if they do not close."""
    opening = _QUOTE.match(text, start, line_end)
    if opening is None:
        return None
    begin, (escape, mark) = opening.end(), opening.groups()
    if not escape and text.startswith(mark * 2, begin) and mark != "`":  # three quotes
        close = text.find(mark * 3, begin + 2)
        return Value(begin + 2, close if 0 <= close < begin + 10_000 else line_end)
    if escape:
        close = text.find(escape + mark, begin, line_end)
        return Value(begin, line_end if close < 0 else close)
    return Value(begin, _WITHIN[mark].match(text, begin, line_end).end())  # type: ignore[union-attr]  # it may be empty


def _bracketed(text: str, start: int, line_end: int) -> Value | None:
    """A list or an object as a whole; to the end of the line if it does not close there."""
    if text[start] not in "[{(":
        return None
    depth = 0
    for bracket in _BRACKETS.finditer(text, start, line_end):
        depth += 1 if bracket.group() in "[{(" else -1
        if depth == 0:
            return Value(start, bracket.end())
    return Value(start, line_end)


def _to_field(text: str, start: int, line_end: int) -> re.Match[str] | None:
    """A value with spaces in a connection string: ``Password=two words;Server=...``."""
    field = _FIELD.match(text, start, line_end)
    return field if field and _NEXT_FIELD.match(text, field.end()) else None


def _checked(text: str, start: int, found: re.Match[str] | None, level: int) -> Value | None:
    return None if found is None else _worth(text, Value(start, found.end()), level)


def _worth(text: str, found: Value, level: int) -> Value | None:
    """The value, unless it is empty, a number that a name of this level does not hide, or plainly no secret."""
    value = text[found.start : found.end].strip()
    hidden = value.startswith(HIDDEN) or says_nothing(value, level, special=level == TEXT)
    return None if not value or hidden or _EXPRESSION.match(value) else found


def says_nothing(value: str, level: int, *, special: bool) -> bool:
    """Whether a text under a secret name is none: ``None``, ``true``, and of ``level`` TEXT a number.

    Args:
        value: the text.
        level: how much the name hides.
        special: a token of a vocabulary, ``<s>`` or ``[MASK]``, is none either.
    """
    if len(value) > 64:
        return False
    if (special and _SPECIAL.fullmatch(value)) or (level == TEXT and _NUMBER.match(value)):
        return True
    return bool(_NOTHING.match(value))
