"""Blueprints: the JSON Schema that the configurations of a project's runs must match."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from ..errors import BlueprintError, SchemaValidationError, WrongTypeError
from .blueprint_schema import check_schema, schemas_in, validator_of

MOST_SHOWN = 20
MOST_FAULTS = 1000
"""Faults that are looked at; a config has seldom more than a few."""

CHECK_S = 1.0
"""Seconds of computing that holding a config against its blueprint may take: a training must not wait for it."""

PATTERN_S = 0.25
"""Seconds of computing for one text and one regular expression."""


class _TooLongError(Exception):
    """The blueprint asks for more work than a start may take."""


def check_config(project: str, schema: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Hold a configuration against a blueprint, in bounded time whatever the blueprint is.

    Raises:
        BlueprintError: it does not match, and every field that is wrong is named; or the blueprint cannot be used.
    """
    fields: dict[str, str] = {}
    try:
        usable = check_schema(schema)  # an older release, or another program, may have stored it unchecked
        for error in islice(_errors(usable, config), MOST_FAULTS):
            for path, message in _faults(error):
                fields.setdefault(path, message)
    except Exception as error:  # noqa: BLE001  a blueprint is a stranger's program: whatever it does is told, not raised
        known = isinstance(error, (_TooLongError, SchemaValidationError, WrongTypeError))
        reason = str(error) if known else f"checking it failed ({type(error).__name__})"
        raise BlueprintError(
            f"the blueprint of project {project!r} cannot be used: {reason}; set another one with: quark blueprint set"
        ) from None
    if not fields:
        return
    named = "; ".join(f"{path}: {message[:300]}" for path, message in sorted(fields.items())[:MOST_SHOWN])
    more = f"; and {len(fields) - MOST_SHOWN} more" if len(fields) > MOST_SHOWN else ""
    raise BlueprintError(f"the config does not match the blueprint of project {project!r}: {named}{more}", fields)


def _errors(schema: dict[str, Any], config: Mapping[str, Any]) -> Iterator[Any]:
    """What is wrong with a config, by a validator that gives up in time; ``schema`` is changed."""
    from jsonschema.validators import extend
    from referencing import Registry

    cls = validator_of(schema)
    _resolve_key_patterns(schema, config)
    for part in schemas_in(schema):
        part.pop("$schema", None)  # it would bring back the validator without bounds
    end = time.thread_time() + CHECK_S
    bounded = {**cls.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique_items}
    made = extend(cls, {keyword: _until(end, check) for keyword, check in bounded.items()})
    yield from made(schema, registry=Registry()).iter_errors(config)


def _until(end: float, check: Callable[..., Any]) -> Callable[..., Any]:
    def bounded(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if time.thread_time() > end:
            raise _TooLongError(f"to hold this config against it takes more than {CHECK_S:g} s")
        return check(validator, value, instance, schema)

    return bounded


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
    """Each item is looked at once, where jsonschema compares them in pairs."""
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list) and len({_hashable(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _hashable(value: Any) -> Any:
    """Equal for what is equal as JSON: 1 is 1.0, but true is not 1."""
    if isinstance(value, dict):
        return "object", frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list):
        return "list", tuple(_hashable(item) for item in value)
    return isinstance(value, bool), value


def _matches(pattern: str, text: str) -> bool:
    import regex

    try:
        return regex.search(pattern, text, timeout=PATTERN_S) is not None
    except TimeoutError:
        raise _TooLongError(
            f"its pattern {pattern[:100]!r} takes too long for a text of {len(text)} characters"
        ) from None


def _resolve_key_patterns(schema: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Replace patterns for keys by the keys of the config that they match, for jsonschema searches without a bound."""
    end = time.thread_time() + CHECK_S
    keys = sorted(set(_keys(config)))
    for part in schemas_in(schema):
        patterns = part.get("patternProperties")
        if isinstance(patterns, dict):
            made = {}
            for number, (pattern, inner) in enumerate(patterns.items()):
                matching = []
                for key in keys:
                    if time.thread_time() > end:
                        raise _TooLongError(f"its patterns take more than {CHECK_S:g} s for the keys of this config")
                    if _matches(pattern, key):
                        matching.append(re.escape(key))
                made[rf"(?#{number})\A(?:{'|'.join(matching)})\Z" if matching else f"(?#{number})(?!)"] = inner
            part["patternProperties"] = made


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _keys(item)


def _faults(error: Any) -> Iterator[tuple[str, str]]:
    """The fields that an error is about: what is missing is named itself, and so is what should not be there."""
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield ".".join([*path, name]), "is missing"
    elif error.validator == "additionalProperties" and error.validator_value is False:
        known = error.schema.get("properties", {})
        patterns = error.schema.get("patternProperties", {})
        for name in error.instance:
            if name not in known and not any(re.search(pattern, name) for pattern in patterns):
                yield ".".join([*path, name]), "is not known to the blueprint"
    else:
        yield ".".join(path) or "config", error.message
