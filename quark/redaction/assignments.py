"""Values that a name before them says are secret: ``password=x``, ``"token": "x"``, ``--api-key x``, ``Cookie: x``."""

import re

from .extent import Value, quoted_from, value_from
from .formats import HIDDEN
from .lazy import lazy_pattern
from .names import ALL, NEEDS_PARENT, OPEN, TEXT, last_segment, secrecy
from .prose import without_spoken

MARKS = (
    "token", "pass", "secret", "key", "auth", "cred", "pwd", "pw", "cookie", "jwt", "otp", "dsn", "hook", "bearer",
    "sig",
    "code", "phrase", "pin", "csrf", "xsrf", "senha", "wort", "netrc", "contra", "sas",
    "conn",
)  # fmt: skip
"""A text without any of these holds no secret name, unless it holds a name in another alphabet."""

_PHRASES = (*MARKS, "--user ", "identified by", "curl ")
_SIGN = lazy_pattern(r"[=:>,\s]")
_NAME = lazy_pattern(
    r"""(?<![\w.\-])(?:
        (?P<name>[\w.\-]++)(?P<close>\\{0,4}["'`]?\]?)
            (?:[ \t]{0,8}(?P<sign>=>|:=|={1,3}|:(?![:/\\]))[ \t]{0,20} | (?P<tag>>) | (?P<list>,?[ \t]{0,8})(?=["']))
        |-{1,2}(?P<option>[A-Za-z][\w.\-]*+)[ \t]{1,8})""",
    re.VERBOSE,
)
_BEFORE = lazy_pattern(r"(?:[A-Za-z][\w\-]{0,30} ){1,2}\Z")
_PAIR = lazy_pattern(
    r"""\b(?:name|key|header|variable|option)\\{0,4}["']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,4}["'](?P<name>[\w.\-]{1,100})
        \\{0,4}["'][ \t]{0,4},?[ \t]{0,4}\\{0,4}["']?(?:value|val)\\{0,4}["']?[ \t]{0,4}[:=][ \t]{0,4}
        \\{0,4}["'](?P<value>[^"'\\\n]++)""",
    re.VERBOSE | re.IGNORECASE,
)
_SUBCOMMAND = lazy_pattern(r"(?:token|log[io]n|logout|whoami|2fa)(?![\w.\-=:])")
_WITHOUT_SIGN = (
    ("login", lazy_pattern(r"(\blogin[ \t]{1,8}\S{1,100}[ \t\n]{1,8}password[ \t]{1,8})\S++")),  # .netrc
    ("pass:", lazy_pattern(r"""(-pass(?:in|out|word)?[ =]["']?pass:)[^\s"']++""")),  # openssl
    ("identified by", lazy_pattern(r"""(\bidentified by ["'])[^"'\n]++""", re.IGNORECASE)),
    ("--user", lazy_pattern(r"""(--user[ =]["']?(?!\d+:\d)[^\s:"'/]{1,100}:)[^\s"']++""")),
    ("curl ", lazy_pattern(r"""((?<=\s)-[A-Za-z]{0,6}[uU] ?["']?(?!\d+:\d)[^\s:"'/]{1,100}:)[^\s"']++""")),
)
_QUERY_NAMES = frozenset(
    [
        "sig",
        "signature",
        "key",
        "x-amz-signature",
        "x-amz-credential",
        "x-goog-signature",
        "x-goog-credential",
        "hmac",
        "code",
        "sign",
        "awsaccesskeyid",
        "googleaccessid",
    ]
)
"""Parameters of a URL that are secret there, and need not be elsewhere."""


_HEADERS = frozenset(["authorization", "proxy-authorization", "x-authorization", "cookie", "set-cookie"])
"""Headers whose value goes to the end of the line: it is made of several words."""

_QUOTES = ('"', "'", "`")
_MAY_CHANGE = frozenset(("?", "&", ";", " "))
"""After these a name may be secret that is not so by itself: a parameter of a URL, the last of several words."""


def without_assigned(text: str) -> str:
    """A text without the values that a secret name, option or header stands before."""
    if not _SIGN.search(text):
        return text
    lowered = text.lower()
    if not any(mark in lowered for mark in _PHRASES) and text.isascii():
        return text
    if "val" in lowered:
        text = _PAIR.sub(_without_pair, text)
    for mark, pattern in _WITHOUT_SIGN:
        if mark in lowered:
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return without_spoken(_without_named(text))


def _without_named(text: str) -> str:
    made: list[str] = []
    kept = place = 0
    ends = _LineEnds(text)
    while found := _NAME.search(text, place):
        place = found.end()
        name = found["name"] or found["option"]
        before = text[found.start() - 1 : found.start()]
        level = secrecy(name)
        if level == OPEN and before not in _MAY_CHANGE:
            continue
        value = _value(text, found, name, before, level, ends.end(place))
        if value is not None:
            made += (text[kept : value.start], HIDDEN)
            kept = place = value.end
    return "".join(made) + text[kept:] if made else text


def _value(text: str, found: re.Match[str], name: str, before: str, level: int, line_end: int) -> Value | None:
    end = found.end()
    if found["sign"]:
        if before in ("?", "&", ";") and name.lower() in _QUERY_NAMES:
            return value_from(text, end, line_end, ALL, query=True)
        level = _level(text, found, name, before, level)
        if level == OPEN:
            return None
        header = found["sign"] == ":" and not found["close"] and last_segment(name).lower() in _HEADERS
        return value_from(
            text,
            end,
            line_end,
            level,
            query=before in ("?", "&"),
            header=header,
            within=before if before in _QUOTES else "",
        )
    if level == OPEN:
        return None
    if found["tag"]:
        close = text.find("<", end, line_end) if before == "<" else -1
        return Value(end, close) if close > end else None
    if found["option"]:
        return None if text.startswith("--", end) else value_from(text, end, line_end, level)
    if name.startswith("-") or (level == ALL and not found["list"].startswith(",")):
        return quoted_from(text, end, line_end)  # ``['--api-key', 'x']``, ``PASSWORD 'x'``
    return None


def _level(text: str, found: re.Match[str], name: str, before: str, level: int) -> int:
    """How secret the value after a name is, with the words before it: ``API key: x``, ``pad token: x``."""
    if found["sign"] == ":":
        name = last_segment(name)  # a file or a module before a colon: ``credentials.py:12: ...``
        if name.lower() == "auth" and _SUBCOMMAND.match(text, found.end()):
            return OPEN  # ``heroku auth:token``
        if before in ("/", "@") and text[found.end() - 1] not in " \t":
            return OPEN  # ``registry/auth:latest``
        level = secrecy(name)
    if before == " " and level != ALL and (level == TEXT or name.lower() in NEEDS_PARENT):
        start = found.start()
        words = _BEFORE.search(text, max(0, start - 64), start)
        if words:
            level = secrecy(f"{words.group().strip()}_{name}".replace(" ", "_"))
    return level


def _without_pair(found: re.Match[str]) -> str:
    if secrecy(found["name"]) == OPEN:
        return found.group()
    return found.group()[: found.start("value") - found.start()] + HIDDEN


class _LineEnds:
    """Where the line of a place ends, looked for once a line: to do so at each name would be quadratic."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = -1

    def end(self, place: int) -> int:
        """The end of the line in which ``place`` lies."""
        if place > self._end:
            found = self._text.find("\n", place)
            self._end = len(self._text) if found < 0 else found
        return self._end
