"""Files and functions stay small enough to be read in one go."""

import ast

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


def test_every_file_stays_below_its_cap() -> None:
    """A file holds one thing: past 400 lines it holds two."""
    sizes = {module.name: len(module.path.read_text("utf-8").splitlines()) for module in modules()}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES} == {}


def test_every_function_stays_below_its_cap() -> None:
    """No function is longer than 80 lines."""
    assert [found for module in modules() for found in lengths(module) if found[1] > FUNCTION_LINES] == []


def test_nearly_all_functions_are_short() -> None:
    """19 functions in 20 have at most 40 lines."""
    everything = [found for module in modules() for found in lengths(module)]
    long = [found for found in everything if found[1] > USUAL_FUNCTION_LINES]
    assert len(long) <= 0.05 * len(everything), long


def opens_with_a_sentence(module: Module) -> bool:
    """Whether its docstring begins with one; an empty module needs none."""
    sentence = ast.get_docstring(module.tree) or ""
    return not module.tree.body or sentence.partition("\n")[0].rstrip().endswith((".", ":"))


def test_every_module_says_what_it_is_and_has_a_telling_name() -> None:
    """A module that holds code opens with a sentence, and its name is not a drawer for odds and ends."""
    assert [module.name for module in modules() if VAGUE & set(module.name.split("."))] == []
    assert [module.name for module in modules() if not opens_with_a_sentence(module)] == []


def test_every_package_init_only_exports() -> None:
    """Logic lives in named modules: an ``__init__`` imports names, lists them and says what the package is."""
    allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.AnnAssign)
    lazy = {"__getattr__", "__dir__"}
    wrong = [
        module.where(node.lineno)
        for module in modules()
        if module.is_package and module.room != module.name
        for node in module.tree.body
        if not isinstance(node, allowed)
        and getattr(node, "name", None) not in lazy
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    assert wrong == []
