"""The documentation is tested code: complete, fresh, and every Python block in it runs."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import quark
from quark.settings import SETTINGS

from .tree import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ALERT = "quark: warning: "
"""Live analysis of a training that goes wrong, as a page may show it; a complaint of Quark itself reads otherwise."""

SWITCHES = {name: "1" for name in SETTINGS if name.startswith("QUARK_CAPTURE_")}
"""What the suite switches off is on where the documentation is tried, as it is for its readers."""

LINK = re.compile(r"\]\(([^)#:\s]+\.md)(?:#[^)]*)?\)")


def generator() -> ModuleType:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words() -> set[str]:
    """Every identifier in the documentation."""
    return {word for page in PAGES for word in re.findall(r"\w+", page.read_text("utf-8"))}


def test_generated_pages_are_fresh() -> None:
    """The tables say what the code says."""
    stale = [name for name, text in generator().pages().items() if (DOCS / name).read_text("utf-8") != text]
    assert stale == [], "run: python docs/generate.py"


def test_every_public_name_is_documented() -> None:
    """No public name is a secret."""
    assert set(quark._HOMES) - words() == set()


def test_every_variable_is_documented() -> None:
    """No setting is a secret, and no page names one that does not exist."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert set(re.findall(r"\bQUARK_(?!TEST_)[A-Z_]*[A-Z]\b", text)) == set(SETTINGS)


def test_every_command_is_documented() -> None:
    """No command is a secret, and no page names one that does not exist."""
    import typer

    from quark.cli.entry import app

    commands = set(typer.main.get_command(app).commands)
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert set(re.findall(r"(?:`|^|&& |## )quark ([a-z]+)", text, re.MULTILINE)) == commands


def test_links_between_pages_hold() -> None:
    """No link leads nowhere."""
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text("utf-8"))]
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCK.search(page.read_text("utf-8"))], ids=lambda p: p.stem
)
def test_the_python_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """What a reader copies works, block after block, with warnings as errors."""
    script = tmp_path / "page.py"
    script.write_text("\n".join(BLOCK.findall(page.read_text("utf-8"))), "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script.name],
        cwd=tmp_path,
        env={**os.environ, **SWITCHES},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith(ALERT)]
    assert "warning" not in "\n".join(said).lower()


def test_every_page_is_in_the_navigation() -> None:
    """A page that nobody can reach is not documentation."""
    navigation = set(re.findall(r"([\w-]+\.md)", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert navigation == {page.name for page in DOCS.glob("*.md")}
