"""Files and functions stay small enough to be read in one go."""

import ast

import pytest

from .tree import Module, modules

FILE_LINES = 400
FUNCTION_LINES = 80
USUAL_FUNCTION_LINES = 40
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def lengths(module: Module) -> list[tuple[str, int]]:
    """The functions of a module with their lines, docstring and decorators included."""
    return [
        (f"{module.where(node.lineno)} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_file_stays_below_its_cap(module: Module) -> None:
    """A file holds one thing: past 400 lines it holds two."""
    assert len(module.path.read_text("utf-8").splitlines()) <= FILE_LINES


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_function_stays_below_its_cap(module: Module) -> None:
    """No function is longer than 80 lines."""
    assert [found for found in lengths(module) if found[1] > FUNCTION_LINES] == []


def test_nearly_all_functions_are_short() -> None:
    """19 functions in 20 have at most 40 lines."""
    everything = [found for module in modules() for found in lengths(module)]
    long = [found for found in everything if found[1] > USUAL_FUNCTION_LINES]
    assert len(long) <= 0.05 * len(everything), long


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_module_says_what_it_is_and_has_a_telling_name(module: Module) -> None:
    """A module that holds code opens with a sentence, and its name is not a drawer for odds and ends."""
    assert not VAGUE & set(module.name.split("."))
    if module.tree.body:
        sentence = ast.get_docstring(module.tree) or ""
        assert sentence.partition("\n")[0].rstrip().endswith((".", ":")), "open the module with one sentence"


@pytest.mark.parametrize(
    "module", [module for module in modules() if module.is_package and module.room != module.name], ids=lambda m: m.name
)
def test_a_package_init_only_exports(module: Module) -> None:
    """Logic lives in named modules: an ``__init__`` imports names, lists them and says what the package is."""
    allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.AnnAssign)
    lazy = {"__getattr__", "__dir__"}
    wrong = [
        module.where(node.lineno)
        for node in module.tree.body
        if not isinstance(node, allowed)
        and getattr(node, "name", None) not in lazy
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    assert wrong == []
