"""Calls that the package never makes: those that run what they read, hide a fault or guard input by accident."""

import ast
from collections.abc import Iterator

from .tree import Module, imports, modules

UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
UNSAFE_CALLS = {
    "eval", "exec", "yaml.load", "yaml.unsafe_load", "torch.load", "os.system", "os.popen", "pandas.read_pickle",
}  # fmt: skip


def called(node: ast.Call) -> str:
    """The dotted name that is called; empty for anything else."""
    try:
        return ast.unparse(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else ""
    except RecursionError:
        return ""


def offences(module: Module) -> Iterator[str]:
    """Every place where the module breaks one of the rules."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert) and module.room != "testing":  # a contract is made of assertions
            yield f"{module.where(node.lineno)} assert: raise an error that says what to do"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{module.where(node.lineno)} bare except: name what may be caught"
        elif isinstance(node, ast.Call):
            literal = bool(node.args) and isinstance(node.args[0], ast.Constant)  # that is no more than code
            if called(node) in UNSAFE_CALLS and not literal:
                yield f"{module.where(node.lineno)} {called(node)}: it runs what it reads"
            if any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords):
                yield f"{module.where(node.lineno)} shell=: pass a list of arguments"
            if any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords):
                yield f"{module.where(node.lineno)} allow_pickle: it runs what it reads"


def test_no_forbidden_call() -> None:
    """No file, message or answer that Quark reads can run code, and no fault is swallowed unnamed."""
    assert [offence for module in modules() for offence in offences(module)] == []


def test_msgspec_is_not_asked_for_a_class_by_two_threads() -> None:
    """Whatever is converted to a class of ours is converted to ``ready(cls)``: see ``quark.records.ready``."""

    def shapes(call: ast.Call) -> Iterator[ast.expr]:
        yield from (word.value for word in call.keywords if word.arg == "type")
        name = called(call)
        if name.endswith("msgspec.convert"):
            yield from call.args[1:2]
        elif name in {"msgspec.json.Decoder", "msgspec.msgpack.Decoder"}:
            yield from call.args[:1]

    wrong = [
        module.where(node.lineno)
        for module in modules()
        if module.name not in {"quark.records.ready", "quark.testing.opened"}
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and called(node).startswith("msgspec.")
        for shape in shapes(node)
        if not ast.unparse(shape).startswith(("ready(", "_shape(", "dict"))
    ]
    assert wrong == []


def test_no_unsafe_serialisation() -> None:
    """Nothing is ever unpickled."""
    wrong = [
        module.where(found.line)
        for module in modules()
        for found in imports(module)
        if found.target.split(".")[0] in UNSAFE_MODULES
    ]
    assert wrong == []


def test_record_annotations_are_real() -> None:
    """Record classes are read by the decoder, so their annotations are objects and not text."""
    wrong = [
        module.where(node.lineno)
        for module in modules()
        if module.room == "records"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if "annotations" in [alias.name for alias in node.names]
    ]
    assert wrong == []
