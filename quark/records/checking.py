"""Holds one value against the declared type of its field, with an error that names field, value and remedy."""

from typing import Any

import msgspec

from ..errors import SchemaValidationError, WrongTypeError
from .base import Document
from .grammar import clean_json, shown
from .ready import ready


def checked(owner: str, field: str, declared: Any, value: Any) -> Any:
    """``value`` as the type ``declared``: constrained, finite, lists frozen to tuples.

    Args:
        owner: name of the class, for the message.
        field: name of the field, for the message.
        declared: the annotation of the field, with its constraints.
        value: what was given.

    Raises:
        WrongTypeError: the value is of another type.
        SchemaValidationError: it breaks a constraint, is not finite or cannot be written as JSON.
    """
    base = getattr(declared, "__origin__", declared)
    if base is Any or (isinstance(value, Document) and isinstance(base, type) and isinstance(value, base)):
        return value
    if isinstance(value, Document):
        raise WrongTypeError(f"{owner}.{field} cannot be {shown(value)}; pass {getattr(base, '__name__', base)}(...)")
    plain = clean_json(_plain(value), f"{owner}.{field}")
    try:
        return msgspec.convert(plain, type=ready(declared))
    except msgspec.ValidationError as error:
        reason = str(error)
        # msgspec says ", got `type`" for a wrong type only; a broken constraint has no such part.
        kind = WrongTypeError if ", got `" in reason else SchemaValidationError
        raise kind(f"{owner}.{field} cannot be {shown(value)}: {_lower(reason)}; see the field in docs/") from error


def _plain(value: Any) -> Any:
    """A document, or a sequence of them, as dictionaries; anything else as it is."""
    if isinstance(value, Document):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
