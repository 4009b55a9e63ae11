"""The page's JavaScript: its own tests, its types, and that what is committed is what its sources give."""

import filecmp
import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DASHBOARD = HERE.parents[1] / "quark" / "dashboard"
STATIC = DASHBOARD / "static"


def program(name: str) -> str:
    """Where a program is; the test is skipped without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing")
    return found


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the packages of the lock file."""
    npm, root = program("npm"), tmp_path_factory.mktemp("page")
    folder = root / "quark" / "dashboard"
    shutil.copytree(HERE / "js", root / "tests" / "dashboard" / "js")
    shutil.copytree(DASHBOARD, folder, ignore=shutil.ignore_patterns("node_modules", "*.py", "__pycache__"))
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode and ("ENOTFOUND" in done.stderr or "EAI_AGAIN" in done.stderr or "ECONNREFUSED" in done.stderr):
        pytest.skip("the registry of npm is missing: there is no network")
    assert done.returncode == 0, done.stderr
    return folder


def test_functions_of_the_page(sources: Path) -> None:
    """What the page computes and draws is right; node's own test runner says so."""
    tests = sorted(str(path) for path in (sources.parents[1] / "tests" / "dashboard" / "js").glob("*.test.mjs"))
    done = subprocess.run([program("node"), "--test", *tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_document_names_files_that_are_there() -> None:
    """The document loads the script and the style that are committed, and nothing inline."""
    text = (STATIC / "index.html").read_text("utf-8")
    for kind in ("js", "css"):
        (file,) = STATIC.glob(f"app.*.{kind}")
        assert f'"/static/{file.name}"' in text
    assert "style=" not in text
    assert text.count("<script") == text.count('<script type="module" src=')


def test_page_is_small() -> None:
    """All that is loaded before the data is less than 150 kB, as it is sent."""
    sent = [gzip.compress(path.read_bytes(), 9) for path in STATIC.iterdir() if path.suffix in (".js", ".css", ".html")]
    assert sum(map(len, sent)) < 150_000


@pytest.mark.slow
def test_committed_bundle_is_what_the_sources_give(sources: Path, tmp_path: Path) -> None:
    """``npm ci && node build.mjs`` gives the committed files, byte by byte."""
    subprocess.run([program("node"), "build.mjs", str(tmp_path)], cwd=sources, check=True, capture_output=True)
    names = sorted(path.name for path in STATIC.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert filecmp.cmpfiles(STATIC, tmp_path, names, shallow=False) == (names, [], [])


@pytest.mark.slow
def test_types_of_the_page(sources: Path) -> None:
    """The types that the sources name in their comments hold."""
    done = subprocess.run(
        [program("node"), "node_modules/typescript/bin/tsc", "-p", "jsconfig.json"],
        cwd=sources, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
