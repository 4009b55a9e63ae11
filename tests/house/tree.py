"""The source tree as the house tests see it: its modules, and what each of them imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("quark", "quark_integrations")


@dataclass(frozen=True)
class Import:
    """One import statement.

    Attributes:
        target: the module that it reaches.
        at_load: whether it runs when the importing module is loaded.
        for_types: whether it is for type checkers alone.
    """

    target: str
    line: int
    at_load: bool
    for_types: bool = False


@dataclass(frozen=True)
class Module:
    """One Python file of a package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the house that it belongs to: the name below the package, or the package itself."""
        return self.name.split(".")[1] if "." in self.name else self.name

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    def where(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the packages."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(name, path, ast.parse(path.read_text("utf-8"))))
    return tuple(found)


def imports(module: Module) -> Iterator[Import]:
    """Its imports, those of type checkers left out, with the names resolved to modules where they are modules."""
    return (found for found in all_imports(module) if not found.for_types)


def all_imports(module: Module) -> Iterator[Import]:
    """Its imports, those of type checkers too."""
    names = {known.name for known in modules()}
    for node, at_load, for_types in _statements(module.tree, True, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_load, for_types)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(whole if whole in names else base, node.lineno, at_load, for_types)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _statements(node: ast.AST, at_load: bool, for_types: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        typed = for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield child, at_load and not typed, typed
        yield from _statements(child, at_load and not inside and not typed, typed)
