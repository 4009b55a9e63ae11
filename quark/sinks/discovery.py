"""Sinks by name: Quark's own, and those that other packages announce under the entry point group ``quark.sinks``."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..core.sink import Sink
from ..errors import ConfigurationError, MissingDependencyError
from ..records.grammar import shown

GROUP = "quark.sinks"

_OWN: dict[str, tuple[str, str]] = {
    "console": (".console", "ConsoleSink"),
    "jsonl": (".jsonl", "JsonlSink"),
    "memory": (".memory", "MemorySink"),
    "service": (".service", "ServiceSink"),
    "service-files": (".uploads", "ServiceFilesSink"),
    "store": (".store", "StoreSink"),
    "webhook": (".webhook", "WebhookSink"),
}


def sink_from(spec: Any) -> Any:
    """A sink from what a user wrote: a sink itself, a class, or a name such as ``"jsonl"``.

    Raises:
        ConfigurationError: no sink has this name, or it needs options.
        MissingDependencyError: the package that announced the name cannot be imported.
    """
    if isinstance(spec, str):
        return sink_from_spec(spec, {})
    if isinstance(spec, type):
        return _made(spec, spec.__name__, {})
    if not callable(getattr(spec, "write", None)):
        raise ConfigurationError(
            f"a sink is an object with write(batch), a class or a name, got {shown(spec)}; "
            f"known names: {', '.join(known_sinks())}"
        )
    return spec


def sink_from_spec(name: str, options: Mapping[str, Any]) -> Sink:
    """The sink of a name with the options that its ``spec()`` told.

    Raises:
        ConfigurationError: no sink has this name, or it does not take these options.
        MissingDependencyError: the package that announced the name cannot be imported.
    """
    return _made(sink_class(name), name, options)


def sink_class(name: str) -> type[Sink]:
    """The class of a name; Quark's own names come first.

    Raises:
        ConfigurationError: no sink has this name.
        MissingDependencyError: the package that announced it cannot be imported.
    """
    wanted = name.strip()
    if wanted in _OWN:
        module, attribute = _OWN[wanted]
        return getattr(import_module(module, __package__), attribute)
    entry = _announced().get(wanted)
    if entry is None:
        import difflib

        known = known_sinks()
        near = difflib.get_close_matches(wanted.lower(), known, n=len(known), cutoff=0.5)
        ordered = [*near, *(other for other in known if other not in near)]
        raise ConfigurationError(f"no sink is called {name!r}; known are {', '.join(ordered)}")
    try:
        made = entry.load()
    except Exception as error:
        raise MissingDependencyError(
            f"the sink {wanted!r} ({entry.value}) could not be imported: {type(error).__name__}: {error}; "
            "install what its package asks for, or remove it from the trackers"
        ) from error
    if not callable(getattr(made, "write", None)):
        raise ConfigurationError(f"the sink {wanted!r} ({entry.value}) has no write(batch); got {shown(made)}")
    return made


def known_sinks() -> list[str]:
    """All names that can be used, sorted."""
    return sorted({*_OWN, *_announced()})


def _announced() -> dict[str, Any]:
    from importlib.metadata import entry_points  # slow to import, and most runs give their sinks as objects

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _made(cls: Any, name: str, options: Mapping[str, Any]) -> Sink:
    try:
        return cls(**options)
    except TypeError as error:
        raise ConfigurationError(
            f"the sink {name!r} cannot be made with the options {sorted(options)}: {error}; make it and pass the object"
        ) from error
