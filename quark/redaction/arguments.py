"""Secrets in command lines, and in lists that are made like them: options with values, and pairs of name and value."""

import re
from collections.abc import Iterable
from typing import Any

from .extent import says_nothing
from .formats import HIDDEN
from .names import ALL, OPEN, TEXT, secrecy
from .text import redact_text

_HEADER = re.compile(r"[\w.\-]{1,100}:[ \t]")
_OPTION = re.compile(r"[-+]{1,2}[A-Za-z_]")


_SHORT_OPTIONS = {
    "sshpass": "-p", "mysql": "-p", "mysqldump": "-p", "mysqladmin": "-p", "mariadb": "-p", "redis-cli": "-a",
    "login": "-p",
    "ldapsearch": "-w", "ldapmodify": "-w", "mongosh": "-p", "mongo": "-p", "mongodump": "-p", "sqlcmd": "-P",
    "bcp": "-P",
}  # fmt: skip
"""Options of well-known programs that take a password and do not say so; ``login`` is that of docker and its like."""

_WITH_USER = ("curl", "wget", "http", "https", "httpie")
"""Programs that take ``-u user:password``."""


def redact_arguments(arguments: Iterable[str]) -> list[str]:
    """A command line without the values of options that hold secrets, ``--key=value`` and ``--key value`` alike."""
    given = [str.__str__(item) if isinstance(item, str) else _shown(item) for item in arguments]
    programs = {argument.rpartition("/")[2] for argument in given if not argument.startswith("-")}
    short = {_SHORT_OPTIONS[program] for program in programs if program in _SHORT_OPTIONS}
    with_user = not programs.isdisjoint(_WITH_USER)
    made: list[str] = []
    hiding, several = OPEN, False
    for place, argument in enumerate(given):
        if hiding != OPEN and not argument.startswith("-" if several and made[-1] == HIDDEN else "--"):
            made.append(HIDDEN if hides_text(argument, hiding, numbers=True) else argument)
            hiding = hiding if several else OPEN
            continue
        if with_user and place and given[place - 1] in ("-u", "-U", "--user") and ":" in argument:
            made.append(f"{argument.partition(':')[0]}:{HIDDEN}")
        elif argument[:2] in short and len(argument) > 2:
            made.append(argument[:2] + HIDDEN)
        else:
            made.append(_argument(argument))
        hiding = ALL if argument in short else _awaits_secret(argument)
        several = argument.endswith("s")  # ``--tokens a b``
    return made


def redact_items(values: list[Any]) -> list[Any]:
    """The items of a list without what follows a secret option, ``["--api-key", x]``, or stands beside a secret name.

    Names and values are beside each other in lists of pairs, ``[["Authorization", x], ...]``.
    """
    made = list(values)
    pairs = all(_is_pair(item) for item in values)
    for place, item in enumerate(values):
        if type(item) is str:
            level = _awaits_secret(item)
            follows = place + 1 < len(values) and type(values[place + 1]) in (str, int, float)
            if level != OPEN and follows and not str(values[place + 1]).startswith("--"):
                made[place + 1] = HIDDEN if hides(values[place + 1], level) else values[place + 1]
        elif pairs and secrecy(item[0]) != OPEN:
            made[place] = [item[0], HIDDEN if hides(item[1], secrecy(item[0])) else item[1]]
    if len(values) == 2 and _is_pair(values) and secrecy(values[0]) == ALL and hides(values[1], ALL):
        made[1] = HIDDEN
    return made


def hides(value: Any, level: int) -> bool:
    """Whether a value that stands alone is hidden under a name of this level."""
    if isinstance(value, str):
        return hides_text(value, level)
    if isinstance(value, (int, float)):
        return level == ALL and value not in (0, 1)
    return value is not None


def hides_text(text: str, level: int, *, numbers: bool = False) -> bool:
    """Whether a text is hidden under a name of this level; with ``numbers``, numbers written as text may stay."""
    if not text or text == HIDDEN:
        return False
    return not says_nothing(text.strip(), level if numbers else ALL, special=level == TEXT)


def _is_pair(item: Any) -> bool:
    return type(item) in (list, tuple) and len(item) == 2 and type(item[0]) is str


def _argument(argument: str, deeper: int = 2) -> str:
    """One argument; ``--env=HF_TOKEN=x`` holds another in its value."""
    option, equals, value = argument.partition("=")
    if "://" in option or "?" in option or " " in option or not deeper:
        return redact_text(argument)
    if equals and value:
        level = secrecy(option.lstrip("-+~"))
        hidden = level != OPEN and hides_text(value, level, numbers=True)
        return f"{option}={HIDDEN if hidden else _argument(value, deeper - 1)}"
    header = _HEADER.match(argument)
    if header and secrecy(header.group()[:-2]) != OPEN:
        return header.group() + HIDDEN
    return redact_text(argument)


def _awaits_secret(argument: str) -> int:
    """How secret the argument after this one is."""
    if not _OPTION.match(argument) or "=" in argument or " " in argument:
        return OPEN
    return secrecy(argument.lstrip("-+"))


def _shown(given: object) -> str:
    try:
        return str(given)
    except Exception as error:  # noqa: BLE001  a command line may hold any object, and its text may raise anything
        return f"<{type(given).__name__} whose text raises {type(error).__name__}>"
