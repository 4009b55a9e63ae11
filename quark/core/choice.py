"""Which runs to list: the filters of a folder and of a service, checked in one place so that both refuse alike."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..errors import SchemaValidationError, WrongTypeError
from ..records.base import parse_timestamp
from ..records.grammar import one_of, shown
from ..records.literals import RUN_STATUSES

Texts = str | Iterable[str] | None
Moment = str | datetime | None

TEXTS = ("ids", "project", "status", "tag", "name")
TIMES = ("started_after", "started_before")
MOST_TEXTS = 1000
SORT_FIELDS = ("started_at", "updated_at", "name", "project", "status", "id")
"""What runs can be sorted by; a minus sign before it turns the order round."""


def checked_choice(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters as every store takes them: lists of texts, RFC 3339 times; what is None restricts nothing.

    Raises:
        WrongTypeError, SchemaValidationError: a filter of a wrong type, or a value that no run can have.
    """
    made = {name: value for name, value in filters.items() if value is not None}
    for name in TEXTS:
        if name in made:
            made[name] = _texts(made[name], name)
    for status in made.get("status", ()):
        one_of(status, RUN_STATUSES, "status")
    for name in TIMES:
        if name in made:
            made[name] = _moment(made[name], name)
    if not isinstance(made.get("config", {}), Mapping):
        raise WrongTypeError(f"config must be a mapping of dotted paths to values, got {shown(made['config'])}")
    return made


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, (str, list, tuple, set, frozenset)):
        raise WrongTypeError(f"{name} must be a string or a list of strings, got {shown(value)}")
    texts = [value] if isinstance(value, str) else list(value)
    for text in texts:
        if not isinstance(text, str):
            raise WrongTypeError(f"{name} must be a string or a list of strings, got {shown(text)} in it")
        if "\0" in text:
            raise SchemaValidationError(f"{name} cannot hold the character NUL, got {shown(text)}")
    if len(texts) > MOST_TEXTS:
        raise SchemaValidationError(f"{name} takes {MOST_TEXTS} values at most, got {len(texts)}; ask several times")
    return sorted(set(texts)) if isinstance(value, (set, frozenset)) else list(dict.fromkeys(texts))


def _moment(value: Any, name: str) -> str:
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat()
    if not isinstance(value, str):
        raise WrongTypeError(f"{name} must be a datetime or RFC 3339 text, got {shown(value)}")
    try:
        parse_timestamp(value)
    except SchemaValidationError as error:
        raise SchemaValidationError(f"{name}: {error}") from error
    return value


def check_sort(sort: Any) -> str:
    """The order of a list of runs.

    Raises:
        WrongTypeError, SchemaValidationError: no text, or a field that runs cannot be sorted by.
    """
    known = f"use one of {', '.join(SORT_FIELDS)}, with - before it for descending"
    if not isinstance(sort, str):
        raise WrongTypeError(f"sort must be a string, got {shown(sort)}; {known}")
    if sort.removeprefix("-") not in SORT_FIELDS:
        raise SchemaValidationError(f"sort {shown(sort)} is not known; {known}")
    return sort
