"""Importers by name, as packages announce them under the entry point group ``quark.importers``."""

from typing import Any

from ..errors import ConfigurationError, MissingDependencyError
from .source import Importer

GROUP = "quark.importers"


def importer(name: str) -> Importer:
    """The importer of a kind of source.

    Raises:
        ConfigurationError: no importer has this name.
        MissingDependencyError: the package that announced it cannot be imported.
    """
    announced = _announced()
    entry = announced.get(name)
    if entry is None:
        known = ", ".join(sorted(announced)) or "none; reinstall Quark, whose importers are entry points"
        raise ConfigurationError(f"no importer is called {name!r}; known are {known}")
    try:
        return entry.load()
    except Exception as error:
        raise MissingDependencyError(
            f"the importer {name!r} ({entry.value}) could not be imported: {type(error).__name__}: {error}; "
            "install what its package asks for"
        ) from error


def _announced() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}
