"""Any Python value as plain JSON values; what JSON cannot hold becomes the text that its author would recognise."""

import enum
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from decimal import Decimal
from itertools import count, islice
from numbers import Real
from types import SimpleNamespace
from typing import Any

from ..errors import SchemaValidationError, WrongTypeError
from .foreign import described, has_more, must_propagate, suppress_foreign, type_name
from .grammar import check_json, clean_text, is_plain, shown

DEEPEST = 100
"""Levels of nesting that are kept; what lies below is kept as text."""

MOST_REPEATED = 100_000
"""How often mappings and lists that were met before are written out again: a few that hold each other twice could
otherwise fill the memory."""

LONGEST_UNKNOWN = 10_000_000
"""Items that are taken from a collection of an unknown make, which might never end."""


def jsonable(value: Any) -> Any:
    """``value`` as JSON values: dictionaries with string keys, lists, text, finite numbers, True, False and None.

    It never raises for what it is given. Mappings, namespaces, dataclasses, named tuples and the models of attrs,
    pydantic and OmegaConf become dictionaries; sequences, sets, arrays and tensors lists (sets sorted); an enum
    member its value; NaN and infinities, whole numbers beyond 64 bits, paths, dates, dtypes and devices their text;
    classes and functions their full name. An object that cannot be read is named by its type.

    Raises:
        SchemaValidationError: the same mappings and lists occur in it more than 100,000 times.
    """
    return _Converter().value(value, 0)


def json_object(value: object, field: str, *, strict: bool, otherwise: str | None = None) -> dict[str, Any]:
    """An argument that is a JSON object, as a copy: checked in strict mode, else converted as ``jsonable`` does.

    Args:
        otherwise: outside strict mode, the key under which a value is kept that is no object. Entries that hold each
            other without end are replaced by their type and size then, and raise without it.

    Raises:
        WrongTypeError: it is no object: text, a number, a list. In strict mode also for what JSON cannot hold.
        SchemaValidationError: strict mode, and a number is not finite, or the value holds itself or too much.
    """
    if strict or value is None:
        if has_more(value, LONGEST_UNKNOWN):
            raise SchemaValidationError(f"{field} holds more than {LONGEST_UNKNOWN:,} values; store it as an artifact")
        return check_json(value, field)
    try:
        converted = _Converter().value(value, 0)
        if not isinstance(converted, dict):
            converted = _Converter().attributes(value) or converted
    except SchemaValidationError:
        if otherwise is None:
            raise
        converted = _one_by_one(value)
    if isinstance(converted, dict):
        return converted
    if otherwise is None:
        raise WrongTypeError(f"{field} must be a mapping, got {shown(value)}; pass a dictionary")
    return {otherwise: converted}


def _one_by_one(value: object) -> Any:
    """The entries of a mapping that can be converted, and in place of the others what they are."""
    if not isinstance(value, Mapping):
        return described(value)
    made: dict[str, Any] = {}
    for key, item in tuple(value.items()):
        try:
            made |= _Converter().value({key: item}, 0)
        except SchemaValidationError:
            made[_key(key)] = described(item)
    return made


class _Converter:
    def __init__(self) -> None:
        self._open: set[int] = set()  # the containers that are being converted, by identity
        self._met: set[int] = set()
        self._repeated = 0

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if value.isascii() else clean_text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**64 else _digits(value)
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if depth > DEEPEST:
            return described(value)
        if kind is dict:
            return self._inside(value, self._mapping, tuple(value.items()), depth)
        if kind is list or kind is tuple:
            return self._inside(value, self._sequence, tuple(value), depth)
        with suppress_foreign():
            return self._other(value, depth)
        return self._given_up(value)

    def _given_up(self, value: Any) -> str:
        if self._repeated > MOST_REPEATED:
            raise SchemaValidationError(
                f"the value holds the same mappings or lists more than {MOST_REPEATED:,} times; give each of them once"
            )
        return described(value)

    def _inside(self, owner: Any, convert: Callable[[Any, int], Any], items: tuple[Any, ...], depth: int) -> Any:
        """The ``items`` of the container ``owner``, unless it holds itself."""
        identity = id(owner)
        if identity in self._met:
            if identity in self._open:
                return "<holds itself>"
            self._repeated += 1
            if self._repeated > MOST_REPEATED:
                return self._given_up(owner)
        self._met.add(identity)
        self._open.add(identity)
        try:
            return convert(items, depth)
        finally:
            self._open.discard(identity)

    def _sequence(self, items: Iterable[Any], depth: int) -> list[Any]:
        return [item if is_plain(item) else self.value(item, depth + 1) for item in items]

    def _mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in items:
            name = key if type(key) is str and key.isascii() else _key(key)
            if name in made:  # 1 and "1" are two keys in Python
                name = next(free for n in count(2) if (free := f"{name}_{n}") not in made)
            made[name] = item if is_plain(item) else self.value(item, depth + 1)
        return made

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, enum.Enum):
            return self.value(value.value, depth + 1)
        if isinstance(value, str):
            return clean_text(str.__str__(value))
        if isinstance(value, int):
            return self.value(int.__int__(value), depth)
        if isinstance(value, float):
            return self.value(float.__float__(value), depth)
        pairs = _pairs(value)
        if pairs is not None:
            return self._inside(value, self._mapping, pairs, depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return described(bytes(value[:LONGEST_UNKNOWN]) if isinstance(value, memoryview) else value)
        if hasattr(value, "tolist") and hasattr(value, "shape"):
            return self.value(value.tolist(), depth + 1)
        if isinstance(value, (Sequence, Set, deque)):
            return self._inside(value, self._sequence, _items(value), depth)
        if isinstance(value, (Decimal, Real)):
            number = float(value)
            return number if math.isfinite(number) else str(value)
        return _name(value)

    def attributes(self, value: Any) -> dict[str, Any] | None:
        """The public attributes of an object that is used as a configuration: of a class too; None without any."""
        if value is None or isinstance(value, (str, bytes, int, float, Sequence, Set)):
            return None
        with suppress_foreign():
            convert = getattr(value, "to_dict", None)
            if callable(convert) and not isinstance(value, type):
                converted = self.value(convert(), 0)
                return converted if isinstance(converted, dict) else None
            classes = value.__mro__ if isinstance(value, type) else type(value).__mro__
            found = {name: item for made in reversed(classes) for name, item in vars(made).items()}
            found = {name: item for name, item in found.items() if not hasattr(item, "__get__")}
            found |= {} if isinstance(value, type) else vars(value)
            shown_ones = {name: item for name, item in found.items() if not name.startswith("_")}
            return self._mapping(shown_ones.items(), 0) if shown_ones else None
        return None


def _pairs(value: Any) -> tuple[tuple[Any, Any], ...] | None:
    """Names and values of what is a mapping at heart; None for anything else."""
    if isinstance(value, Mapping):
        return tuple((key, _item(value, key)) for key in islice(value, LONGEST_UNKNOWN))
    argparse = sys.modules.get("argparse")  # a namespace cannot exist before it is imported
    if isinstance(value, SimpleNamespace) or (argparse is not None and isinstance(value, argparse.Namespace)):
        return tuple(vars(value).items())
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return tuple((field.name, _attribute(value, field.name)) for field in fields(value))
    attrs = getattr(type(value), "__attrs_attrs__", None)
    if attrs is not None:
        return tuple((field.name, _attribute(value, field.name)) for field in attrs)
    names = getattr(type(value), "model_fields", None) or getattr(type(value), "__fields__", None)
    if isinstance(names, Mapping):  # pydantic: a model gives its fields, extra ones too, as pairs
        return tuple(value)
    names = getattr(value, "_fields", None) if isinstance(value, tuple) else None
    if names is not None:
        return tuple(zip(names, value, strict=False))
    return None


def _item(values: Mapping[Any, Any], key: Any) -> Any:
    """The item of a mapping; where it cannot be worked out, what was written there (``???``, ``${model.size}``)."""
    with suppress_foreign():
        return values[key]
    omegaconf = sys.modules.get("omegaconf")
    with suppress_foreign():
        if omegaconf is not None:
            return omegaconf.OmegaConf.to_container(values, resolve=False)[key]
    return "<cannot be read>"


def _attribute(value: Any, name: str) -> Any:
    with suppress_foreign():
        return getattr(value, name)
    return "<cannot be read>"


def _items(values: Any) -> tuple[Any, ...]:
    items = tuple(islice(values, LONGEST_UNKNOWN))
    if not isinstance(values, Set):
        return items
    try:  # a set has another order in every process, and two runs are compared by their configuration
        return tuple(sorted(items))
    except BaseException as error:
        if must_propagate(error):
            raise
    return tuple(sorted(items, key=described))


def _key(key: Any) -> str:
    return clean_text(str.__str__(key)) if isinstance(key, str) else described(key)


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # beyond sys.get_int_max_str_digits()
        return described(hex(number))


def _name(value: Any) -> str:
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "named_parameters"):  # the text of a network would be pages
        return type_name(value)
    return described(value)


jsonable.__module__ = "quark"
