"""The query in which runs are searched: ``status:failed lr<1e-3 max:val/acc>0.9 tag:x "text"``.

A query is a list of terms that must all hold; ``-`` before a term negates it. Text in double quotes is taken literally,
with ``\\"`` and ``\\\\`` for a quote and a backslash.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import SchemaValidationError, WrongTypeError
from ..records.base import parse_timestamp
from ..records.grammar import shown
from ..records.literals import RUN_STATUSES
from ..records.naming import metric_key
from .direction import direction_of

MAX_QUERY = 4096
MAX_TERMS = 50
MAX_COLUMN = 1024
WORDS = ("status", "project", "tag", "name", "id", "has")
"""What may stand before the colon of ``status:failed``."""

FIELDS = ("id", "name", "project", "status", "reason", "started_at", "updated_at", "ended_at", "created_at")
TIMES = ("started_at", "updated_at", "ended_at", "created_at")
REDUCTIONS = ("last", "min", "max", "best")
OPERATORS = ("<=", ">=", "!=", "<", ">", "=")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")

Reduction = Literal["last", "min", "max"]
Value = float | str | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """A value that runs are listed, compared or sorted by.

    Attributes:
        text: the column as it was written.
        field: a field of the run, such as ``started_at``.
        setting: the dotted path of a value of the configuration.
        metric: the key of a metric, reduced by ``reduction``. A column with a setting and a metric is the setting of
            those runs that have it, and the metric of the others.
    """

    text: str
    field: str | None = None
    setting: str | None = None
    metric: str | None = None
    reduction: Reduction = "last"


@dataclass(frozen=True, slots=True)
class Words:
    """Text that a run has: in its ``field``, or anywhere among id, name, project and tags for the field ``text``."""

    field: str
    any_of: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column compared with a value by one of ``OPERATORS``."""

    column: Column
    operator: str
    value: Value
    negated: bool = False


Term = Words | Comparison


def parse_query(text: Any) -> tuple[Term, ...]:
    """The terms of a query; none for an empty one, which every run matches.

    Raises:
        WrongTypeError, SchemaValidationError: the text is not a query.
    """
    if not isinstance(text, str):
        raise WrongTypeError(f"a query must be a string, got {shown(text)}")
    if len(text) > MAX_QUERY:
        raise SchemaValidationError(f"a query has at most {MAX_QUERY} characters, got {len(text)}")
    if _unstorable(text):
        raise SchemaValidationError("a query cannot hold NUL or half of a character; leave it out")
    terms = tuple(_term(token) for token in _tokens(text) if token != _AND)
    if len(terms) > MAX_TERMS:
        raise SchemaValidationError(f"a query has at most {MAX_TERMS} terms, got {len(terms)}")
    return terms


def parse_column(text: Any) -> Column:
    """The column that a text names: ``config.lr``, ``last:val/loss``, ``val/loss:min``, ``started_at``, ``lr``.

    A bare name is the setting of this name, else the last value of the metric. ``best`` is ``min`` or ``max``,
    whichever the name of the metric says.

    Raises:
        WrongTypeError, SchemaValidationError: the text names no column.
    """
    if not isinstance(text, str):
        raise WrongTypeError(f"a column must be a string, got {shown(text)}")
    if not text or len(text) > MAX_COLUMN or _unstorable(text):
        raise SchemaValidationError(
            f"a column is a name of 1 to {MAX_COLUMN} characters such as config.lr or min:val/loss, got {shown(text)}"
        )
    if text in FIELDS:
        return Column(text, field="started_at" if text == "created_at" else text)
    if text.startswith("config.") and len(text) > len("config."):
        return Column(text, setting=_setting(text.removeprefix("config.")))
    head, colon, rest = text.partition(":")
    if colon and head in REDUCTIONS and rest:
        return _metric(text, rest, head)
    rest, colon, tail = text.rpartition(":")
    if colon and tail in REDUCTIONS and rest:
        return _metric(text, rest, tail)
    setting = None if _unsearchable(text) else text
    return Column(text, setting=setting, metric=metric_key(text))


def _metric(text: str, name: str, reduction: str) -> Column:
    chosen = direction_of(name) if reduction == "best" else reduction
    if chosen is None:
        raise SchemaValidationError(
            f"whether a high or a low {name!r} is best does not follow from its name; use max:{name} or min:{name}"
        )
    return Column(text, metric=metric_key(name), reduction=chosen)  # type: ignore[arg-type]


def _setting(path: str) -> str:
    if _unsearchable(path):
        raise SchemaValidationError(
            f"a setting is a dotted path without quotes, backslashes and control characters, got {shown(path)}"
        )
    return path


def _unstorable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


def _unsearchable(path: str) -> bool:
    return any(letter in '"\\' or letter < " " for letter in path) or not all(path.split("."))


Letter = tuple[str, bool]
"""A character and whether it stands in quotes."""


_AND: list[Letter] = [("A", False), ("N", False), ("D", False)]
"""What may stand between two terms: all of them hold with or without it."""


def _tokens(text: str) -> Iterator[list[Letter]]:
    """The terms of a query as characters: those in quotes, or behind a backslash there, mean nothing but themselves."""
    token: list[Letter] = []
    quoted = began = False
    letters = iter(text)
    for letter in letters:
        if letter == '"':
            quoted, began = not quoted, True
        elif quoted and letter == "\\":
            token.append((next(letters, "\\"), True))
        elif not quoted and letter.isspace():
            if began:
                yield token
            token, began = [], False
        else:
            token.append((letter, quoted))
            began = True
    if quoted:
        raise SchemaValidationError(f"a quote of the query is not closed: {shown(text)}")
    if began:
        yield token


def _term(token: list[Letter]) -> Term:
    negated = len(token) > 1 and token[0] == ("-", False)
    if negated:
        token = token[1:]
    for at, (letter, quoted) in enumerate(token):
        if not quoted and letter in "<>=!":
            after = token[at + 1 : at + 2] == [("=", False)]
            operator = letter + "=" if after else letter
            if operator in OPERATORS:
                return _comparison(_text(token[:at]), operator, token[at + len(operator) :], negated)
    at = next((at for at, letter in enumerate(token) if letter == (":", False)), None)
    if at is None:
        return Words("text", (_text(token),), negated)
    field = _text(token[:at])
    if field not in WORDS:
        raise SchemaValidationError(
            f"a query has no field {field[:80]!r}; use one of {', '.join(WORDS)}, compare with one of "
            f"{' '.join(OPERATORS)}, or put text that has a colon in double quotes"
        )
    return Words(field, _checked(field, _alternatives(token[at + 1 :])), negated)


def _alternatives(token: list[Letter]) -> tuple[str, ...]:
    parts: list[list[Letter]] = [[]]
    for letter in token:
        if letter == (",", False):
            parts.append([])
        else:
            parts[-1].append(letter)
    return tuple(_text(part) for part in parts)


def _checked(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not text:
            raise SchemaValidationError(f'{field}: needs text behind the colon, such as {field}:x or {field}:"a b"')
        if field == "status" and text not in RUN_STATUSES:
            raise SchemaValidationError(f"status must be one of {', '.join(RUN_STATUSES)}, got {shown(text)}")
        if field == "has":
            parse_column(text)
    return texts


def _comparison(name: str, operator: str, token: list[Letter], negated: bool) -> Comparison:
    text = _text(token)
    if not name or (not text and not token):
        raise SchemaValidationError(f"{name}{operator}{text}: a comparison needs a column and a value, such as lr<1e-3")
    column = parse_column(name)
    value: Value = text if any(quoted for _, quoted in token) else _value(text)
    if column.field in TIMES:
        value = _moment(column.text, text)
    elif column.field is not None:
        value = text
    if operator not in ("=", "!=") and (value is None or isinstance(value, bool)):
        raise SchemaValidationError(f"{name}{operator}{text}: {text} has no order; compare it with = or !=")
    if column.metric is not None and column.setting is None and (isinstance(value, bool) or not _is_number(value)):
        raise SchemaValidationError(f"{name}{operator}{text}: a metric is compared with a number, got {shown(text)}")
    return Comparison(column, operator, value, negated)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float))


def _value(text: str) -> Value:
    if _NUMBER.match(text):
        number = float(text)
        if math.isinf(number):
            raise SchemaValidationError(f"the number {shown(text)} is out of range")
        return number
    return {"true": True, "false": False, "null": None}.get(text, text)


def _moment(name: str, text: str) -> int:
    """A time in nanoseconds; a date is its first moment in UTC."""
    try:
        return parse_timestamp(text)
    except SchemaValidationError as error:
        raise SchemaValidationError(
            f"{name} is compared with a date or RFC 3339 time such as 2026-11-28, got {shown(text)}"
        ) from error


def _text(token: list[Letter]) -> str:
    return "".join(letter for letter, _ in token)
