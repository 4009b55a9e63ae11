"""Runs the tutorial's code and commands, and writes its picture and the outputs that it shows.

The outputs hold times and names of one run: run ``python docs/draw_tutorial.py`` by hand when the page has changed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = DOCS / "tutorial.md"
PICTURE = "learning-rates.svg"
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```text\n\$ quark (.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN_LINES = 22
OF_THIS_MACHINE = ("  host ", "  platform ")


def main() -> None:
    """Run all of the page in a directory of its own, then write what came of it."""
    text = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "train.py").write_text("\n".join(CODE.findall(text)), "utf-8")
        subprocess.run([sys.executable, "train.py"], cwd=directory, check=True)
        outputs = SHOWN.sub(lambda found: _shown(directory, found[1]), text)
        shutil.copy(directory / PICTURE, DOCS / "images" / PICTURE)
    PAGE.write_text(outputs, "utf-8")


def _shown(directory: Path, arguments: str) -> str:
    """The command with what it prints, cut where it is long. ``quark show`` is of the first run, as on the page."""
    run = ["lr-0.01"] if arguments == "show" else []
    printed = subprocess.run(
        [sys.executable, "-m", "quark.cli", *shlex.split(arguments), *run], cwd=directory, check=True, text=True,
        capture_output=True, env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    ).stdout  # fmt: skip
    lines = [line.rstrip() for line in printed.rstrip().splitlines() if not line.startswith(OF_THIS_MACHINE)]
    if len(lines) > SHOWN_LINES and arguments != "show":
        lines = [*lines[:SHOWN_LINES], "..."]
    return "\n".join(["```text", f"$ quark {arguments}", *lines, "```"])


if __name__ == "__main__":
    main()
