"""Quark's own database: runs, records, metric series and artifact files, in one directory."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .migrate import migrate_store as migrate_store
    from .store import SqlStore as SqlStore

# Lazily, because writing an artifact file needs none of the database's imports.
_HOMES = {"SqlStore": "store", "migrate_store": "migrate"}

__all__ = ["SqlStore", "migrate_store"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
