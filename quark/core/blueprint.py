"""Blueprints: the JSON Schema that the configurations of a project's runs must match."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import BlueprintError, SchemaValidationError, WrongTypeError
from ..records.grammar import shown

MOST_SHOWN = 20


def check_schema(schema: object) -> dict[str, Any]:
    """A blueprint that can be used.

    Raises:
        WrongTypeError: no object.
        SchemaValidationError: no JSON Schema, or one that refers to other documents, which are never fetched.
    """
    if not isinstance(schema, Mapping):
        raise WrongTypeError(f"a blueprint is a JSON Schema, an object; got {shown(schema)}")
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    made = dict(schema)
    try:
        validator_for(made).check_schema(made)
    except SchemaError as error:
        raise SchemaValidationError(f"the blueprint is no JSON Schema: {error.message}") from error
    for reference in _references(made):
        if not reference.startswith("#"):
            raise SchemaValidationError(
                f"the blueprint refers to {reference[:200]!r}; put what it needs into the blueprint itself, below $defs"
            )
    return made


def check_config(project: str, schema: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Hold a configuration against a blueprint.

    Raises:
        BlueprintError: it does not match; every field that is wrong is named.
    """
    from jsonschema.validators import validator_for

    fields: dict[str, str] = {}
    for error in validator_for(schema)(schema).iter_errors(config):
        for path, message in _faults(error):
            fields.setdefault(path, message)
    if not fields:
        return
    told = "; ".join(f"{path}: {message[:300]}" for path, message in sorted(fields.items())[:MOST_SHOWN])
    more = f"; and {len(fields) - MOST_SHOWN} more" if len(fields) > MOST_SHOWN else ""
    raise BlueprintError(f"the config does not match the blueprint of project {project!r}: {told}{more}", fields)


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
            if name not in known and not patterns:
                yield ".".join([*path, name]), "is not known to the blueprint"
        if patterns:
            yield ".".join(path) or "config", error.message
    else:
        yield ".".join(path) or "config", error.message


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
