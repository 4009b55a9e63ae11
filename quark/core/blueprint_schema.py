"""Checks a blueprint whole: every reference leads somewhere, none goes in circles, and its size is bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import shown

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MOST_BYTES = 256 << 10
MOST_DEPTH = 60
"""Schemas within each other, references followed."""
MOST_OBJECTS = 2000
"""Objects, true and false in a blueprint: each may be a schema, and to check one takes about half a millisecond."""
MOST_ITEMS = 1000
"""Members of one list, such as an enum."""
MOST_PATTERN = 1000
"""Characters of a regular expression."""
MOST_STEPS = 10_000
"""Schemas that one value may be held against."""

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_DATA = frozenset(("enum", "const", "default", "examples", "required", "$vocabulary"))
_IN_PLACE = frozenset((
    "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies", "extends", "disallow",
    "type",
))  # fmt: skip
"""Keywords whose schemas are for the same value, not for a part of it."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_schema(schema: object) -> dict[str, Any]:
    """A blueprint that can be used.

    Raises:
        WrongTypeError: no object.
        SchemaValidationError: no JSON Schema, one that refers to what is not in it, to itself, or is too large.
    """
    if not isinstance(schema, Mapping):
        raise WrongTypeError(f"a blueprint is a JSON Schema, an object; got {shown(schema)}")
    made = _copied(dict(schema))
    if not isinstance(made.get("$schema", ""), str):
        raise SchemaValidationError(f"the blueprint's $schema must be text, got {shown(made['$schema'])}")
    try:
        _check_keywords(made)
        _check_references(made)
    except SchemaValidationError:
        raise
    except RecursionError:
        raise SchemaValidationError("the blueprint is nested too deeply; flatten it") from None
    except Exception as error:
        raise SchemaValidationError(f"the blueprint is no JSON Schema ({type(error).__name__}: {error})") from error
    return made


def validator_of(schema: Mapping[str, Any]) -> "type[Validator]":
    """The validator of the draft that a schema names, else of the newest one."""
    from jsonschema.validators import Draft202012Validator, validator_for

    return validator_for(schema, default=Draft202012Validator)


def _copied(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as JSON gives it."""
    try:
        text = msgspec.json.encode(schema)
        made = msgspec.json.decode(text)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise SchemaValidationError(f"the blueprint is no JSON ({error}); use plain values") from None
    if len(text) > MOST_BYTES:
        raise SchemaValidationError(
            f"the blueprint has {len(text)} bytes, at most {MOST_BYTES} are allowed; shorten it"
        )
    return made


def _check_keywords(schema: dict[str, Any]) -> None:
    """Hold the schema against the schema of schemas, once it is known to be small enough for that."""
    from jsonschema import SchemaError

    if (objects := _check_size(schema, 0)) > MOST_OBJECTS:
        raise SchemaValidationError(
            f"the blueprint has {objects} objects, at most {MOST_OBJECTS} are allowed; shorten it"
        )
    try:
        validator_of(schema).check_schema(schema)
    except SchemaError as error:
        raise SchemaValidationError(f"the blueprint is no JSON Schema: {error.message[:300]}") from error
    for part in schemas_in(schema):
        if part is not schema and "$schema" in part:
            raise SchemaValidationError("only the whole blueprint names its draft; leave out the inner $schema")
        for pattern in [part.get("pattern"), *part.get("patternProperties", ())]:
            if isinstance(pattern, str):
                _check_pattern(pattern)


def _check_size(value: Any, depth: int) -> int:
    """How many schemas a value may hold, itself included; its depth and its lists are bounded."""
    if depth > 2 * MOST_DEPTH:
        raise SchemaValidationError(f"the blueprint is nested more than {2 * MOST_DEPTH} deep; flatten it")
    if isinstance(value, list) and len(value) > MOST_ITEMS:
        raise SchemaValidationError(f"the blueprint has a list of {len(value)} items, at most {MOST_ITEMS} are allowed")
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, (dict, bool)) + sum(_check_size(item, depth + 1) for item in items)


def _check_pattern(pattern: str) -> None:
    import re

    import regex

    try:
        if len(pattern) > MOST_PATTERN:
            raise ValueError(f"it has {len(pattern)} characters, at most {MOST_PATTERN} are allowed")
        re.compile(pattern)
        regex.compile(pattern)
    except (ValueError, OverflowError, re.error, regex.error) as error:
        told = pattern if len(pattern) <= 100 else pattern[:97] + "..."
        raise SchemaValidationError(f"the blueprint's pattern {told!r} cannot be used: {error}") from None


def schemas_in(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas in it; what an unknown keyword holds counts, for a reference may lead there."""
    if not isinstance(schema, dict):
        return
    yield schema
    for _, inner in _children(schema):
        yield from schemas_in(inner)


def _children(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for keyword, value in schema.items():
        if keyword in _DATA:
            continue
        if keyword in _MAPS and isinstance(value, dict):
            yield from ((keyword, inner) for inner in value.values())
        elif isinstance(value, dict):
            yield keyword, value
        elif isinstance(value, list):
            yield from ((keyword, inner) for inner in value if isinstance(inner, dict))


@dataclass(slots=True)
class _Schemas:
    """The schemas of a blueprint by the identity of their objects, and what each of them asks of the same value."""

    known: set[int] = field(default_factory=set)
    same: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)


def _check_references(schema: dict[str, Any]) -> None:
    """Resolve every reference as validation will, and follow what holds one value against schema after schema."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012, specification_with

    draft = specification_with(validator_of(schema).META_SCHEMA.get("$schema", ""), default=DRAFT202012)
    found = _Schemas({id(part) for part in schemas_in(schema)})
    _resolve(schema, Registry().resolver_with_root(draft.create_resource(schema)), draft, found)
    for part in schemas_in(schema):
        _count(part, found, 0)


def _resolve(schema: dict[str, Any], resolver: Any, draft: Any, found: _Schemas) -> None:
    same = found.same[id(schema)] = []
    for keyword in _REFERENCES:
        if isinstance(reference := schema.get(keyword), str):
            target = _target(reference, resolver)
            if isinstance(target, dict) and id(target) in found.known:
                same.append(target)
            elif not isinstance(target, bool):
                raise SchemaValidationError(f"the blueprint refers to {reference[:200]!r}, which is no schema")
    for keyword, inner in _children(schema):
        if isinstance(inner, dict):
            if keyword in _IN_PLACE:
                same.append(inner)
            _resolve(inner, resolver.in_subresource(draft.create_resource(inner)), draft, found)


def _target(reference: str, resolver: Any) -> Any:
    from referencing.exceptions import Unresolvable

    if not reference.startswith("#"):
        raise SchemaValidationError(
            f"the blueprint refers to {reference[:200]!r}; put what it needs into the blueprint itself, below $defs"
        )
    try:
        return resolver.lookup(reference).contents
    except (Unresolvable, LookupError, ValueError, TypeError, AttributeError):
        raise SchemaValidationError(
            f"the blueprint refers to {reference[:200]!r}, which is not in it; put it there, below $defs"
        ) from None


def _count(schema: dict[str, Any], found: _Schemas, depth: int) -> int:
    """How many schemas a value is held against, itself included."""
    known = found.steps.get(id(schema))
    if known is not None:
        return known
    if depth > MOST_DEPTH:
        raise SchemaValidationError(
            "the blueprint holds a value against itself without end: a reference leads back to where it is, or "
            f"{MOST_DEPTH} follow each other; let it lead to a part of the value, such as one of its properties"
        )
    steps = 1 + sum(_count(inner, found, depth + 1) for inner in found.same[id(schema)])
    if steps > MOST_STEPS:
        raise SchemaValidationError(
            f"the blueprint holds one value against more than {MOST_STEPS} schemas; use fewer allOf, anyOf and oneOf"
        )
    found.steps[id(schema)] = steps
    return steps
