"""Secrets in command lines, and in lists that are made like them: options with values, and pairs of name and value."""

from collections.abc import Iterable
from typing import Any

from .commands import is_command, secret_places
from .extent import says_nothing
from .formats import HIDDEN
from .lazy import lazy_pattern
from .names import ALL, OPEN, TEXT, secrecy
from .programs import SEPARATE, SETTING, SHORT_OPTIONS, WITH_USER, is_key_of_login, is_user_option, program_of
from .text import redact_text

_HEADER = lazy_pattern(r"[\w.\-]{1,100}:[ \t]")
_NAME = lazy_pattern(r"[A-Za-z_][\w.\-]{0,100}:?")
_OPTION = lazy_pattern(r"[-+]{1,2}[A-Za-z_]")


_SETTERS = frozenset(("set", "config", "configure", "setx", "export", "setenv", "modify"))
"""What takes a name and a value as two arguments, as ``--set`` and ``--header`` do."""


def redact_arguments(arguments: Iterable[str]) -> list[str]:
    """A command line without the values of options that hold secrets, ``--key=value`` and ``--key value`` alike."""
    given = [str.__str__(item) if isinstance(item, str) else _shown(item) for item in arguments]
    programs = {program_of(argument) for argument in given if not argument.startswith("-")}
    short = {option for program in programs for option in SHORT_OPTIONS.get(program, ())}
    sets = not programs.isdisjoint(SETTING) and not programs.isdisjoint(_SETTERS)
    with_user = not programs.isdisjoint(WITH_USER)
    placed = {place.argument: place for place in secret_places(given, [program_of(argument) for argument in given])}
    made: list[str] = []
    hiding, several = OPEN, False
    for place, argument in enumerate(given):
        if hiding != OPEN and not argument.startswith("-" if several and made[-1] == HIDDEN else "--"):
            made.append(HIDDEN if hides_text(argument, hiding, numbers=True) else argument)
            hiding = hiding if several else OPEN
            continue
        before = given[place - 1] if place else ""
        if with_user and ":" in argument and (is_user_option(before) or argument.startswith(("-u", "-U"))):
            made.append(f"{argument.partition(':')[0]}:{HIDDEN}")
        elif place in placed:
            _, start, end = placed[place]
            made.append(f"{argument[:start]}{HIDDEN}{argument[end:]}")
        elif argument[:2] in short - SEPARATE and len(argument) > 2:
            made.append(argument[:2] + HIDDEN)
        elif is_key_of_login(given, place):
            made.append(HIDDEN)
        else:
            made.append(_argument(argument))
        hiding = (
            ALL
            if argument in short
            else max(_awaits_secret(argument), _names_secret("set" if sets else before, argument))
        )
        several = argument.endswith("s")  # ``--tokens a b``
    return made


def redact_items(values: list[Any]) -> list[Any]:
    """The items of a list without what follows a secret option, ``["--api-key", x]``, or stands beside a secret name.

    Names and values are beside each other in lists of pairs, ``[["Authorization", x], ...]``.
    """
    if all(type(item) is str for item in values) and any(_is_program(item) for item in values):
        return redact_arguments(values)
    made = list(values)
    pairs = all(_is_pair(item) for item in values)
    for place, item in enumerate(values):
        if type(item) is str:
            before = values[place - 1] if place else ""
            level = max(_awaits_secret(item), _names_secret(before, item))
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
        level = secrecy(option.rpartition(",")[2].lstrip("-+~"))  # of ``mount -o user=a,pass=x`` too
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


def _names_secret(before: Any, argument: str) -> int:
    """How secret the argument after a name is, where the one before it takes both: ``--header Authorization X``."""
    takes_both = type(before) is str and (_OPTION.match(before) or before in _SETTERS) and "=" not in before
    argument = argument.rpartition("/:")[2]  # of ``npm config set //registry/:_authToken x``
    if not takes_both or not _NAME.fullmatch(argument) or _awaits_secret(before) != OPEN:
        return OPEN
    return ALL if secrecy(argument) == ALL else OPEN


def _is_program(item: str) -> bool:
    name = program_of(item)
    return name in SHORT_OPTIONS or name in WITH_USER or is_command(name)


def _shown(given: object) -> str:
    try:
        return str(given)
    except Exception as error:  # noqa: BLE001  a command line may hold any object, and its text may raise anything
        return f"<{type(given).__name__} whose text raises {type(error).__name__}>"
