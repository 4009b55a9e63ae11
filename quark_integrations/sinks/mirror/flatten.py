"""Nested configuration as the flat parameters that dashboards show."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MARK = "…"


@dataclass(slots=True)
class Flattened:
    """Flat parameters within a backend's limits.

    Attributes:
        values: text by dotted name, in the order of the configuration.
        whole: what had to be shortened or left out, by its full name with its whole value; it belongs in an artifact.
    """

    values: dict[str, str] = field(default_factory=dict)
    whole: dict[str, Any] = field(default_factory=dict)


def flatten(
    params: Mapping[str, Any],
    *,
    separator: str = ".",
    max_key: int = 250,
    max_value: int = 500,
    max_count: int = 10_000,
) -> Flattened:
    """Flatten ``params``: mappings are entered, everything else becomes one value as text.

    A value that is too long is cut and ends in a mark; a name that is too long, or one past ``max_count``, is left
    out. Both are in ``whole``, so that nothing is lost. Lists stay one value. Text stays as it is, other values are
    written as JSON. An empty mapping is the value ``{}``.
    """
    made = Flattened()
    leaves = (leaf for key, value in params.items() for leaf in _leaves(value, str(key), separator))
    for name, value in leaves:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if not name or len(name) > max_key or len(made.values) >= max_count or name in made.values:
            made.whole[name] = value
            continue
        if len(text) > max_value:
            made.whole[name] = value
            text = text[: max_value - len(MARK)] + MARK
        made.values[name] = text
    return made


def _leaves(value: Any, name: str, separator: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}{separator}{key}", separator)
    else:
        yield name, value
