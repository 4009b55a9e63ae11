"""The names of the watchers of a run, which tell the networks of one run apart."""

import re
from typing import Any
from weakref import WeakKeyDictionary

from ...errors import SchemaValidationError, WrongTypeError
from ...records.grammar import shown

_of_run: "WeakKeyDictionary[Any, dict[str | None, list[Any]]]" = WeakKeyDictionary()
"""For each run the names that are in use: the network, once for each open watcher of it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def checked_name(name: Any) -> str | None:
    """``name``, if a watcher can have it.

    Raises:
        WrongTypeError: it is no text.
        SchemaValidationError: it has other characters than letters, digits, ``_`` and ``-``.
    """
    if name is not None and not isinstance(name, str):
        raise WrongTypeError(f"name must be text such as 'generator', got {shown(name)}")
    if name is not None and not _NAME.fullmatch(name):
        raise SchemaValidationError(
            f"name must be 1 to 100 letters, digits, '_' or '-', got {shown(name)}; use a name such as 'generator'"
        )
    return name


def register(handle: Any, name: str | None, network: Any) -> str | None:
    """Enter a watcher of a network; its name.

    The first network of a run needs no name. A further one is named after its class.

    Raises:
        SchemaValidationError: the name is that of another network that is watched.
    """
    names = _of_run.setdefault(handle, {})
    if name is None:
        name = _name_for(names, network)
    elif names.get(name, [network])[0] is not network:
        raise SchemaValidationError(
            f"name {name!r} is already that of another network watched in this run; give each network its own name"
        )
    names.setdefault(name, []).append(network)
    return name


def release(handle: Any, name: str | None) -> None:
    """A watcher is closed."""
    names = _of_run.get(handle, {})
    networks = names.get(name, [])
    if networks:
        networks.pop()
    if not networks:
        names.pop(name, None)


def _name_for(names: dict[str | None, list[Any]], network: Any) -> str | None:
    for name, networks in names.items():
        if networks[0] is network:
            return name
    if not names:
        return None
    base = name = type(network).__name__
    count = 1
    while name in names:
        count += 1
        name = f"{base}_{count}"
    return name
