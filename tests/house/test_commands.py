"""What the README tells a newcomer to type is what the project's own check types."""

import os
import re
import tomllib

from .tree import ROOT

DEMO = 'pip install -c constraints.txt -e ".[demo]" && quark demo'
SUITE = 'pip install -c constraints.txt -e ".[dev]" && pytest -n auto --dist worksteal'
CI = ROOT / ".ci" / "run"


def test_the_readme_has_the_two_commands_as_blocks_of_their_own() -> None:
    """Each command alone is enough on a fresh machine, and can be copied whole."""
    blocks = re.findall(r"^```bash\n(.*?)\n```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks == [DEMO, SUITE]


def test_the_check_runs_the_readme_command() -> None:
    """The check is executable, stops at the first fault and runs the suite exactly as the README says."""
    text = CI.read_text("utf-8")
    assert os.access(CI, os.X_OK)
    assert "set -euo pipefail" in text
    assert SUITE in [line.strip() for line in text.splitlines()]


def test_every_direct_dependency_is_pinned() -> None:
    """What the suite ran with can be installed again: the core and everything that tests need has a version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["demo"], *extras["dev"], *extras["docs"], *extras["parquet"]]
    names = {_normal(re.split(r"[\[<>=!~ ]", item)[0]) for item in wanted} - {"quark-tracker"}
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    pins = {_normal(line.partition("==")[0]) for line in lines}
    assert names - pins == set()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_requirements_have_lower_bounds_only() -> None:
    """The package does not forbid versions that it has not met; but each major version of mcp renames everything."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    items = [*project["dependencies"], *(i for extra in project["optional-dependencies"].values() for i in extra)]
    assert [item for item in items if re.search(r"[<~!]|==", item)] == ["mcp>=2.3,<3"]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_all_integrations_are_one_extra() -> None:
    """``quark-tracker[all-integrations]`` installs every framework and dashboard that has an integration."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (named,) = extras["all-integrations"]
    places = (ROOT / "quark_integrations" / kind for kind in ("callbacks", "sinks"))
    found = {file.stem for place in places for file in place.iterdir() if not file.name.startswith("_")}
    assert set(named.partition("[")[2].rstrip("]").split(",")) == found & extras.keys() >= {"lightning", "wandb"}
