"""Settings that know which of their fields were given: a limit that is set to its default is set all the same."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from .configs import Config


class GivenConfig(Config):
    """Settings that tell a field that was given, whatever its value, from one that was left out."""

    __slots__ = ("_given",)

    def __new__(cls, *unused: Any, **fields: Any) -> Self:
        """Note which fields are given."""
        made = super().__new__(cls)
        object.__setattr__(made, "_given", _given(cls, fields))
        return made

    def is_set(self, name: str) -> bool:
        """Whether the field was given, also if it was given its default."""
        return name in self._given

    def __reduce__(self) -> tuple[Any, ...]:
        return _built, (type(self), {name: getattr(self, name) for name in self._given})


def _given(cls: type[Config], fields: Mapping[str, Any]) -> frozenset[str]:
    """The fields that were given.

    ``dataclasses.replace`` gives all of them. Those that it carries over from an object on which they were left out are
    the very objects that the class has as defaults; whoever writes a whole table by hand makes numbers of his own.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if fields.keys() != defaults.keys():
        return frozenset(fields)
    own = {name for name, value in fields.items() if value is not defaults[name]}
    # Small whole numbers are one object wherever they are written: they follow the others.
    shared = {name for name, default in defaults.items() if isinstance(default, int)}
    return frozenset(fields if own >= fields.keys() - shared else own)


def _built(cls: type[GivenConfig], fields: Mapping[str, Any]) -> GivenConfig:
    return cls(**fields)
