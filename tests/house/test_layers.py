"""Who may import whom: the house is built from the ground up, and no part reaches over its own roof."""

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter

from .tree import Import, Module, all_imports, imports, modules

GROUND = {"errors", "settings", "redaction", "records"}
BELOW_SINKS = GROUND | {"core", "delivery", "storage", "client"}
BELOW_SESSION = BELOW_SINKS | {"sinks", "drawing", "producers", "analysis"}
BELOW_CLI = BELOW_SESSION | {"session", "loop", "reading", "service", "dashboard"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "redaction": set(),
    "records": {"errors"},
    "core": GROUND,
    "delivery": GROUND | {"core"},
    "storage": GROUND | {"core"},
    "client": GROUND | {"core"},
    "sinks": BELOW_SINKS,
    "drawing": BELOW_SINKS | {"sinks"},
    "producers": BELOW_SINKS | {"sinks"},
    "analysis": BELOW_SINKS | {"sinks"},
    "session": BELOW_SESSION,
    "loop": BELOW_SESSION | {"session"},
    "reading": BELOW_SESSION | {"session"},
    "testing": BELOW_SINKS | {"sinks"},
    "service": BELOW_SESSION | {"session", "reading", "dashboard"},
    "dashboard": BELOW_SESSION | {"session", "reading"},
    "mcp": BELOW_SESSION | {"session", "reading"},
    "importing": BELOW_SESSION | {"session"},
    "launcher": BELOW_SESSION | {"session"},
    "demo": BELOW_SESSION | {"session", "reading"},
    "cli": BELOW_CLI | {"demo", "importing", "launcher", "mcp"},
    "quark": BELOW_CLI,
}
"""Each room and the rooms that it may import; its own room is always allowed."""

QUARK = [module for module in modules() if module.name.partition(".")[0] == "quark"]
INTEGRATIONS = [module for module in modules() if module not in QUARK]


def wrong_imports(group: list[Module], is_wrong: Callable[[Module, str], bool]) -> list[str]:
    """Each import in a group of modules whose target is wrong there."""
    return [
        f"{module.where(found.line)} imports {found.target}"
        for module in group
        for found in imports(module)
        if is_wrong(module, found.target)
    ]


def test_a_room_imports_only_the_rooms_below_it() -> None:
    """A part of the package depends on nothing that is built on top of it."""
    assert sorted({module.room for module in QUARK} - set(MAY_IMPORT)) == [], "give each room a place in MAY_IMPORT"

    def is_above(module: Module, target: str) -> bool:
        return target.startswith("quark.") and target.split(".")[1] not in MAY_IMPORT[module.room] | {module.room}

    assert wrong_imports(QUARK, is_above) == []


def test_nobody_inside_imports_the_package_root_or_the_integrations() -> None:
    """The root only hands out names and the integrations stand on it: neither is needed inside."""

    def is_on_top(module: Module, target: str) -> bool:
        return target == "quark" or target.split(".")[0] == "quark_integrations"

    assert wrong_imports(QUARK, is_on_top) == []


def test_integrations_use_public_names_only() -> None:
    """What third parties could not write, our own integrations do not write either."""
    public = {"quark", "quark.testing"}

    def is_private(module: Module, target: str) -> bool:
        return target.split(".")[0] == "quark" and target not in public

    assert wrong_imports(INTEGRATIONS, is_private) == []


def test_there_is_no_import_cycle() -> None:
    """No two modules need each other to be loaded. (Between rooms the plan above forbids late imports upwards too.)"""
    assert circle(lambda _, found: found.at_load) is None


def test_there_is_no_new_circle_of_any_sort() -> None:
    """No two modules need each other at all, be it late or for type checkers, but for those that are known."""

    def counts(module: Module, found: Import) -> bool:
        return not any({module.name, found.target} <= known for known in KNOWN_CIRCLES)

    assert circle(counts) is None


SESSION = {module.name for module in QUARK if module.room == "session"}
KNOWN_CIRCLES: list[set[str]] = [
    SESSION,  # the parts of a session know the class that they make up
    {"quark.cli.listing", "quark.cli.runs"},
    {"quark.producers.hooks.probe", "quark.producers.hooks.watched"},
    {"quark.reading.measured", "quark.reading.table", "quark.reading.view"},
    {"quark.storage.append", "quark.storage.belonging", "quark.storage.control", "quark.storage.lifecycle"},
    {"quark_integrations.callbacks.lightning.callback", "quark_integrations.callbacks.lightning.logger"},
]
"""Circles that late imports, or those for type checkers, still close; the list only gets shorter."""


def circle(counts: Callable[[Module, Import], bool]) -> list[str] | None:
    """Modules that need each other by the imports that count; None if there are none.

    The packages around a module are left out: their ``__init__`` is loaded before it in any case.
    """
    names = {module.name for module in modules()}
    edges = {
        module.name: {
            found.target
            for found in all_imports(module)
            if found.target in names and not f"{module.name}.".startswith(f"{found.target}.") and counts(module, found)
        }
        for module in modules()
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return None
