"""The built wheel holds the packages, and nothing but the packages."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pathspec
import pytest

from .tree import PACKAGES, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("quark_tracker-*.whl")))


def test_every_module_and_data_file_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """What works in the checkout works installed: code, stub, type marker, migrations, all but the page's sources."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    left_out = pathspec.GitIgnoreSpec.from_lines(build["exclude"])
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files = {path for path in files if not left_out.match_file(path)}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == files
    assert "quark/dashboard/static/index.html" in files
    assert {"quark/py.typed", "quark/__init__.pyi"} <= files


def test_the_wheel_names_its_command_and_its_licence(wheel: zipfile.ZipFile) -> None:
    """``quark`` is on the path after an installation, and the licence travels along."""
    info = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "quark = quark.cli:main" in info["entry_points.txt"]
    assert "MIT License" in info["LICENSE"]
    assert "Name: quark-tracker" in info["METADATA"]
    assert "Requires-Python: >=3.11" in info["METADATA"]


def test_the_core_needs_no_extra(wheel: zipfile.ZipFile) -> None:
    """Nothing heavy comes uninvited: frameworks, pandas, and what only a service needs are extras."""
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    needs = [line for line in wheel.read(name).decode().splitlines() if line.startswith("Requires-Dist")]
    core = " ".join(line for line in needs if "extra ==" not in line)
    extras = "torch", "pandas", "litestar", "uvicorn", "uvloop", "httptools", "prometheus", "zstandard", "cryptography"
    assert [name for name in extras if name in core] == []
    assert "msgspec" in core
