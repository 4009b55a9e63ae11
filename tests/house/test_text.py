"""What a stranger reads in this repository makes sense to a stranger."""

import re
from collections.abc import Iterator
from pathlib import Path

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


def faults(text: str) -> Iterator[str]:
    """What is wrong with the text of a file."""
    yield from (f"names a path of one machine: {path}" for path in HOMES.findall(text))
    if "\r" in text:
        yield "has carriage returns"
    if text and not text.endswith("\n"):
        yield "does not end with a newline"


def test_no_file_names_a_particular_machine() -> None:
    """No file holds a path of the machine on which it was written; every line ends with a newline alone."""
    everything = [(path, fault) for path in texts() for fault in faults(path.read_text("utf-8"))]
    assert [f"{path.relative_to(ROOT)} {fault}" for path, fault in everything] == []


def test_every_folder_of_tests_is_a_package() -> None:
    """Two areas may have files of the same name, and a test file may use the one beside it."""
    folders = sorted({path.parent for path in (ROOT / "tests").rglob("*.py")})
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
