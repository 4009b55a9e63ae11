"""Filters and orders of runs and records, checked in one place so that a folder and a service refuse the same."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from ..errors import SchemaValidationError, WrongTypeError
from ..records.base import field_names, parse_timestamp
from ..records.grammar import check_index, one_of, shown
from ..records.literals import CHECKPOINT_STATUSES, RUN_STATUSES
from ..records.run import RunRecord
from .query import parse_query

Texts = str | Iterable[str] | None
Moment = str | datetime | None
Numbers = int | Iterable[int] | None


class RunFilters(TypedDict, total=False):
    """Which runs to list; see ``Store.runs``."""

    ids: Texts
    project: Texts
    status: Texts
    tag: Texts
    name: Texts
    name_ilike: Texts
    config: Mapping[str, Any] | None
    started_after: Moment
    started_before: Moment
    where: str | None


class CheckpointFilters(TypedDict, total=False):
    """Which checkpoints to list; see ``Store.checkpoints``."""

    ids: Texts
    project: Texts
    run: Texts
    status: Texts


TEXTS = ("ids", "project", "status", "tag", "name", "name_ilike")
TIMES = ("started_after", "started_before")
MOST_TEXTS = 1000
LONGEST_PATTERN = 1000
MOST_OF_PATTERNS = 10_000
"""Characters of all patterns of a filter together: each of them is compared with each name."""

SORT_FIELDS = ("started_at", "updated_at", "name", "project", "status", "id")
"""What runs can be sorted by; a minus sign before it turns the order round."""

RUN_FIELDS = field_names(RunRecord)
"""What ``select`` may name."""

RECORD_SORT_FIELDS = ("arrival", "timestamp", "step", "epoch")
"""What records can be sorted by; those without a step or epoch come first, and last in descending order."""


def checked_choice(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters as every store takes them: lists of texts, RFC 3339 times; what is None restricts nothing.

    Raises:
        WrongTypeError, SchemaValidationError: a filter of a wrong type, or a value that no run can have.
    """
    unknown = filters.keys() - RunFilters.__annotations__.keys()
    if unknown:
        known = ", ".join(RunFilters.__annotations__)
        raise WrongTypeError(f"runs cannot be filtered by {', '.join(sorted(unknown))}; use {known}")
    made = {name: value for name, value in filters.items() if value is not None}
    for name in TEXTS:
        if name in made:
            made[name] = _texts(made[name], name)
    for status in made.get("status", ()):
        one_of(status, RUN_STATUSES, "status")
    _check_patterns(made.get("name_ilike", ()))
    for name in TIMES:
        if name in made:
            made[name] = check_moment(made[name], name)
    if "where" in made:
        parse_query(made["where"])  # refused here in the words of every store
    if not isinstance(made.get("config", {}), Mapping):
        raise WrongTypeError(f"config must be a mapping of dotted paths to values, got {shown(made['config'])}")
    return made


def checked_checkpoints(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters of checkpoints as every store takes them; what is None restricts nothing.

    Raises:
        WrongTypeError, SchemaValidationError: a filter of a wrong type, or a status that no checkpoint has.
    """
    known = CheckpointFilters.__annotations__
    unknown = filters.keys() - known.keys()
    if unknown:
        raise WrongTypeError(f"checkpoints cannot be filtered by {', '.join(sorted(unknown))}; use {', '.join(known)}")
    made = {name: _texts(value, name) for name, value in filters.items() if value is not None}
    for status in made.get("status", ()):
        one_of(status, CHECKPOINT_STATUSES, "status")
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


def _check_patterns(patterns: Collection[str]) -> None:
    for pattern in patterns:
        if len(pattern) > LONGEST_PATTERN:
            raise SchemaValidationError(f"name_ilike takes {LONGEST_PATTERN} characters at most, got {len(pattern)}")
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise SchemaValidationError(f"name_ilike cannot end in a single backslash, got {shown(pattern)}; double it")
    total = sum(map(len, patterns))
    if total > MOST_OF_PATTERNS:
        raise SchemaValidationError(
            f"the patterns of name_ilike have {total} characters together, at most {MOST_OF_PATTERNS} are allowed; "
            "ask several times"
        )


def check_fields(select: Any) -> tuple[str, ...] | None:
    """The fields of a run to read, each once; None for all.

    Raises:
        WrongTypeError, SchemaValidationError: a field that runs do not have.
    """
    if select is None:
        return None
    names = _texts(select, "select")
    for name in names:
        one_of(name, RUN_FIELDS, "select")
    return tuple(names)


def check_moment(value: Any, name: str) -> str:
    """A bound in time as RFC 3339 text; a datetime without a time zone is in UTC.

    Raises:
        WrongTypeError, SchemaValidationError: neither a datetime nor RFC 3339 text.
    """
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


def check_numbers(value: Any, name: str) -> int | tuple[int, ...] | None:
    """A step or an epoch, or several of them as a tuple.

    Raises:
        WrongTypeError, SchemaValidationError: a value that is no step, or more than ``MOST_TEXTS`` of them.
    """
    if not isinstance(value, (list, tuple, set, frozenset, range)):
        return check_index(value, name)
    if len(value) > MOST_TEXTS:
        raise SchemaValidationError(
            f"{name} takes {MOST_TEXTS} values at most, got {len(value)}; use {name}_min and {name}_max"
        )
    numbers = [check_index(one, name) for one in value]
    if None in numbers:
        raise WrongTypeError(f"{name} must be a whole number or a list of them, got None in it")
    return tuple(int(one) for one in numbers if one is not None)


def check_sort(sort: Any, fields: Collection[str] = SORT_FIELDS) -> str:
    """The order of a list: one of ``fields``, those of runs by default.

    Raises:
        WrongTypeError, SchemaValidationError: no text, or a field that the list cannot be sorted by.
    """
    known = f"use one of {', '.join(fields)}, with - before it for descending"
    if not isinstance(sort, str):
        raise WrongTypeError(f"sort must be a string, got {shown(sort)}; {known}")
    if sort.removeprefix("-") not in fields:
        raise SchemaValidationError(f"sort {shown(sort)} is not known; {known}")
    return sort
