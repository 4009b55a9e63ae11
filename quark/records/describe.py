"""Puts a record or configuration class into words: each field's type, limits, default and meaning."""

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from .kinds import KINDS

_BOUNDS = {
    "ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}",
    "min_length": "at least {} long", "max_length": "at most {} long", "pattern": "matches {}",
}  # fmt: skip
_NAMES = {str: "text", int: "integer", float: "number", bool: "true/false", dict: "object", Any: "any"}


@dataclasses.dataclass(frozen=True, slots=True)
class FieldText:
    """One field in words; ``default`` is None where the field must be given."""

    name: str
    type: str
    limits: str
    default: str | None
    meaning: str


def fields_of(cls: type) -> tuple[FieldText, ...]:
    """The fields of a record or configuration class in words, in their order."""
    return tuple(
        FieldText(field.name, _type(field.type), _limits(field.type), _default(field), meaning_of(field.type))
        for field in dataclasses.fields(cls)
    )


def meaning_of(annotation: Any) -> str:
    """The description that stands nearest to the outside of an annotation; empty if there is none."""
    for meta in reversed(_metas(annotation)):
        if meta.description:
            return meta.description
    for part in get_args(_bare(annotation)):
        found = meaning_of(part) if not isinstance(part, str) else ""
        if found:
            return found
    return ""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of every record kind, by the name of its class, with shared definitions under ``$defs``."""
    schemas, definitions = msgspec.json.schema_components(KINDS.values(), ref_template="#/$defs/{name}")
    return {"anyOf": list(schemas), "$defs": definitions}


def _metas(annotation: Any) -> list[Meta]:
    return [meta for meta in getattr(annotation, "__metadata__", ()) if isinstance(meta, Meta)]


def _bare(annotation: Any) -> Any:
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


def _parts(annotation: Any) -> list[Any]:
    """The members of a union; the annotation itself if it is none."""
    bare = _bare(annotation)
    return list(get_args(bare)) if isinstance(bare, types.UnionType) or get_origin(bare) is Union else [annotation]


def _type(annotation: Any) -> str:
    parts = _parts(annotation)
    if len(parts) > 1:
        return " or ".join("null" if part is type(None) else _type(part) for part in parts)
    bare = _bare(parts[0])
    origin, inner = get_origin(bare), get_args(bare)
    if origin is Literal:
        return " ".join(f"`{word}`" for word in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin in (dict, Mapping):
        return "object" if _bare(inner[1]) is Any else f"object of {_type(inner[1])}"
    return _NAMES.get(bare, getattr(bare, "__name__", str(bare)))


def _limits(annotation: Any) -> str:
    return ", ".join(dict.fromkeys(_bounds(annotation)))


def _bounds(annotation: Any) -> Iterator[str]:
    for meta in _metas(annotation):
        for name, words in _BOUNDS.items():
            limit = getattr(meta, name)
            if limit is not None:
                yield "not empty" if (name, limit) == ("min_length", 1) else words.format(limit)
    bare = _bare(annotation)
    each = "each " if get_origin(bare) in (tuple, dict) else ""
    for part in get_args(bare):
        if not isinstance(part, str):
            yield from (each + bound for bound in _bounds(part))


def _default(field: "dataclasses.Field[Any]") -> str | None:
    if field.default is not dataclasses.MISSING:
        return _shown(field.default)
    return "{}" if field.default_factory is not dataclasses.MISSING else None


def _shown(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}()"
    return repr(value)
