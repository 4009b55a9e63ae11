"""What the page on security promises is held by tests that exist."""

import ast
import re

from .tree import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAME = re.compile(r"`(test_\w+)`")


def test_every_promise_names_tests_that_exist() -> None:
    """Each row of the table of threats ends with its tests, and no name on the page leads nowhere."""
    rows = PAGE.partition("| threat | answer | held by |\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(rows) > 20
    assert [row for row in rows if not NAME.search(row.strip(" |").rpartition("|")[2])] == []
    known = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert set(NAME.findall(PAGE)) - known == set()
