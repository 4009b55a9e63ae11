"""What a stranger reads in this repository makes sense to a stranger."""

import re
from pathlib import Path

import pytest

from .tree import ROOT

FOLDERS = ("quark", "quark_integrations", "docs", "examples", "tests", ".ci")
KINDS = {".py", ".pyi", ".md", ".toml", ".txt", ".yml", ".yaml", ".c", ".html", ".js", ".css", ""}
HOMES = re.compile(r"(?<![\w.])/(?:" + "|".join(("work", "root", "opt")) + r")/\w")


def texts() -> list[Path]:
    """The text files of the project."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in KINDS and path.name[0] != "."]
    for folder in FOLDERS:
        paths = (ROOT / folder).rglob("*")
        found += [path for path in paths if path.is_file() and path.suffix in KINDS and "__pycache__" not in path.parts]
    return found


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_names_no_particular_machine(path: Path) -> None:
    """No path of the machine on which it was written; every line ends as lines end."""
    text = path.read_text("utf-8")
    assert HOMES.findall(text) == []
    assert "\r" not in text
    assert text == "" or text.endswith("\n")


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in (ROOT / "tests").rglob("*.py")}), ids=lambda p: p.name
)
def test_a_folder_of_tests_is_a_package(folder: Path) -> None:
    """Two areas may have files of the same name, and a test file may use the one beside it."""
    assert (folder / "__init__.py").exists()
