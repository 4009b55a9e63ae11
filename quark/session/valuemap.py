"""A mapping whose values are attributes too, as in other trackers: ``run.config.lr = 0.1``."""

from collections.abc import MutableMapping
from typing import Any

from ..records.jsonable import json_object


def entries(*given: Any, strict: bool) -> dict[str, Any]:
    """What ``update`` was given, as a dictionary: a mapping, pairs, or outside strict mode a namespace or a dataclass.

    Raises:
        TypeError, ValueError: it is none of these.
    """
    try:
        return dict(*given)
    except (TypeError, ValueError):
        if len(given) != 1:
            raise
        return json_object(given[0], "what is given to update", strict=strict)


class ValueMap(MutableMapping[str, Any]):
    """Assigning an attribute sets the value of that name, unless the name begins with an underscore."""

    __module__ = "quark"

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self[name] = value

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no value {name!r}", name=name, obj=self)
