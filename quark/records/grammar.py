"""The rules of names, steps and JSON values, each with an error that says field, value and remedy."""

import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from numbers import Real
from typing import Any

import orjson

from ..errors import SchemaValidationError, WrongTypeError
from .foreign import clean_text, must_propagate, shown, type_name
from .literals import EVENT_SEVERITIES

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z")
_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_./-]*\Z")
MAX_KEY = 512
MAX_INT = 2**63 - 1
SMALL_INT = 2**30 - 1
"""Up to here CPython compares whole numbers without a call; nearly every step is one of these."""


def is_key(text: str) -> bool:
    """Whether a text follows the grammar of metric and artifact keys."""
    return len(text) <= MAX_KEY and _KEY.match(text) is not None


def is_event_type(text: str) -> bool:
    """Whether a text follows the grammar of event types."""
    return len(text) <= MAX_KEY and _EVENT_TYPE.match(text) is not None


def check_key(key: object, namespace: object = None, *, what: str = "metric key") -> str:
    """The full key of a metric or artifact: ``namespace/name``.

    Raises:
        WrongTypeError: not text.
        SchemaValidationError: a segment breaks the grammar, or the key is longer than 512 characters.
    """
    if not isinstance(key, str):
        raise WrongTypeError(f"{what} must be a string, got {shown(key)}; name it like 'train/loss'")
    full = key
    if namespace is not None:
        if not isinstance(namespace, str):
            raise WrongTypeError(f"namespace must be a string or None, got {shown(namespace)}")
        if key.startswith(namespace + "/"):
            raise SchemaValidationError(
                f"{what} {shown(key)} already starts with its namespace {shown(namespace)}; give it once"
            )
        full = f"{namespace}/{key}"
    if len(full) > MAX_KEY:
        raise SchemaValidationError(f"{what} has {len(full)} characters, at most {MAX_KEY} are allowed; shorten it")
    if not _KEY.match(full):
        raise SchemaValidationError(
            f"{what} {shown(full)} is not allowed: every part between slashes must start with a letter or digit "
            "and hold only letters, digits, '.', '_' and '-'; rename it like 'train/loss'"
        )
    return full


def check_event_type(event_type: object) -> str:
    """An event type: lower-case letter first, then lower-case letters, digits and ``_ . / -``."""
    if not isinstance(event_type, str):
        raise WrongTypeError(f"event_type must be a string, got {shown(event_type)}")
    if not is_event_type(event_type):
        raise SchemaValidationError(
            f"event_type {shown(event_type)} is not allowed: it must start with a lower-case letter and hold only "
            "lower-case letters, digits, '_', '.', '/' and '-'; rename it like 'checkpoint_saved'"
        )
    return event_type


def check_severity(severity: object) -> str:
    """One of the event severities."""
    return one_of(severity, EVENT_SEVERITIES, "severity")


def one_of(value: object, allowed: Iterable[str], field: str) -> str:
    """``value``, if it is one of the allowed words."""
    words = tuple(allowed)
    if not isinstance(value, str):
        raise WrongTypeError(f"{field} must be a string, got {shown(value)}; use one of {', '.join(words)}")
    if value not in words:
        raise SchemaValidationError(f"{field} {shown(value)} is not known; use one of {', '.join(words)}")
    return value


def check_index(value: object, field: str) -> int | None:
    """A step, an epoch or another counter: None, or a whole number of at least 0; NumPy integers are taken."""
    if value is None or (type(value) is int and 0 <= value <= MAX_INT):
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise WrongTypeError(f"{field} must be a whole number, got {shown(value)}; pass an int of at least 0")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except BaseException as error:
        if must_propagate(error):
            raise
        raise WrongTypeError(f"{field} must be a whole number, got {shown(value)} ({type_name(error)})") from error
    if not 0 <= number <= MAX_INT:
        raise SchemaValidationError(f"{field} must be between 0 and 2**63 - 1, got {shown(number)}")
    return number


def check_step(step: object) -> int:
    """The number of a step where there has to be one."""
    number = check_index(step, "step")
    if number is None:
        raise WrongTypeError("step must be a whole number, got None; pass the number of the step")
    return number


def whole(value: Any) -> Any:
    """A float that is a whole number as an int, such as 5 for 5.0; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def index_or_none(value: object) -> int | None:
    """A step or epoch for a record that was not recorded; None for what is none."""
    return value if type(value) is int and 0 <= value <= MAX_INT else None


def check_position(step: object, epoch: object) -> tuple[int | None, int | None]:
    """Step and epoch of a metric: at least one of them is given."""
    checked = check_index(step, "step"), check_index(epoch, "epoch")
    if checked == (None, None):
        raise SchemaValidationError("a metric needs a step or an epoch, got neither; pass step=... or epoch=...")
    return checked


def to_float(value: Any, field: str = "value") -> float:
    """A number as a float: Python, Decimal, NumPy and torch scalars; True is 1.0. It may be non-finite.

    Raises:
        WrongTypeError: not a real scalar, such as text, a complex number or an array of several elements.
    """
    if type(value) is float:
        return value
    if isinstance(value, (int, Decimal, Real)):
        return _converted(value, field)
    if hasattr(value, "item") and getattr(value, "shape", None) is not None:
        if not isinstance(value.shape, tuple) or math.prod(value.shape) != 1:
            raise WrongTypeError(
                f"{field} must be one number, got {type(value).__name__} of shape {tuple(value.shape)}; "
                "log its mean, or an artifact"
            )
        return _converted(value.item(), field)
    raise WrongTypeError(f"{field} must be a number, got {shown(value)}; {_advice(value)}")


def _advice(value: object) -> str:
    if value is None:
        return "leave it out where there is no value"
    if isinstance(value, str):
        return "log text as an event"
    if isinstance(value, (Sequence, Set)) and not isinstance(value, (bytes, bytearray, memoryview)):
        return "log its mean, or an artifact"
    return "convert it to a number, or save it to a file for run.log_artifact"


def _converted(value: Any, field: str) -> float:
    if isinstance(value, complex):
        raise WrongTypeError(f"{field} must be a real number, got {shown(value)}; log its real part or its modulus")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except BaseException as error:
        if must_propagate(error):
            raise
        raise WrongTypeError(f"{field} must be a number, got {shown(value)} ({type_name(error)})") from error


def check_json(value: object, field: str) -> dict[str, Any]:
    """A JSON object, copied as it is now: string keys, finite numbers, no cycles.

    NumPy values and tuples become their JSON likes; lone surrogates become U+FFFD.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise WrongTypeError(f"{field} must be a mapping with string keys, got {shown(value)}")
    return clean_json(dict(value), field)


def clean_json(value: Any, field: str, depth: int = 0) -> Any:
    """``value`` as plain JSON values, or an error that names the place."""
    if value is None or type(value) in (bool, int, str):
        return _clean_scalar(value, field)
    if depth > 100:
        raise SchemaValidationError(f"{field} is nested more than 100 deep, or holds itself; flatten it")
    if isinstance(value, Mapping):
        made = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise WrongTypeError(f"{field} must have string keys, got the key {shown(key)}; use str(key)")
            name = clean_text(key)
            made[name] = item if is_plain(item) else clean_json(item, f"{field}.{name[:80]}", depth + 1)
        return made
    if isinstance(value, (list, tuple, set, frozenset)):
        return [
            item if is_plain(item) else clean_json(item, f"{field}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    return _clean_scalar(value, field)


def is_plain(value: Any) -> bool:
    """Whether it is JSON as it stands. Nearly everything is, and to name its place would cost more than to look."""
    kind = type(value)
    if kind is str:
        return value.isascii()
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return -(2**63) <= value < 2**64
    return value is None or kind is bool


def _clean_scalar(value: Any, field: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean_text(str.__str__(value))
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else _finite(value, field)
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return clean_json(value.tolist(), field, 1)
    if isinstance(value, (float, Decimal, Real)):
        return _finite(value, field)
    raise WrongTypeError(f"{field} must be JSON-serializable, got {shown(value)}; convert it to text or numbers")


def _finite(value: Any, field: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SchemaValidationError(
            f"{field} must be finite, got {shown(value)}; JSON has no such number, use a string"
        )
    return number


def to_json(value: Any) -> bytes:
    """Checked JSON values as bytes."""
    return orjson.dumps(value)


def dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names with their values; an empty mapping is a value."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
