"""Run against an installed wheel with the core dependencies alone: every name, a tiny run, and its way back."""

import math
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

import quark


def check(good: bool, what: str) -> None:
    """Stop with a message: this file runs without pytest, and must not be silenced by ``python -O``."""
    if not good:
        sys.exit(f"wheel smoke test failed: {what}")


MOST_DISTRIBUTIONS = 36
MOST_BYTES = 165_000_000
INSTALLERS = {"pip", "setuptools", "wheel"}


def check_size() -> str:
    """A trainer's environment stays small: what only a service needs is in an extra."""
    installed = {found.metadata["Name"].lower(): found for found in distributions()}
    installed = {name: found for name, found in installed.items() if name not in INSTALLERS}
    files = [Path(str(file.locate())) for found in installed.values() for file in found.files or ()]
    size = sum(file.stat().st_size for file in files if file.is_file())
    check(len(installed) <= MOST_DISTRIBUTIONS, f"{len(installed)} distributions: {', '.join(sorted(installed))}")
    check(size <= MOST_BYTES, f"the installation has {size / 1e6:.0f} MB")
    return f"{len(installed)} distributions, {size / 1e6:.0f} MB"


def check_advice() -> None:
    """A command that needs an extra says which."""
    database = ["--db", "sqlite:///runs.db"]
    commands = {"service": (["serve", *database], ["keys", "list", *database]), "ui": (["ui"],)}
    for extra, arguments in ((extra, one) for extra, several in commands.items() for one in several):
        command = [sys.executable, "-I", "-m", "quark.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        advice = f'pip install "quark-tracker[{extra}]"'
        check(done.returncode != 0 and advice in " ".join(done.stderr.split()), f"quark {arguments[0]}: {done.stderr}")


def main() -> None:
    os.environ["QUARK_PROGRESS"] = "0"
    check("site-packages" in quark.__file__, f"quark was imported from {quark.__file__}, not from the wheel")
    for name in quark._HOMES:
        getattr(quark, name)
    with tempfile.TemporaryDirectory() as folder:
        with quark.start_run(project="wheel", config={"lr": 0.1}, storage_dir=folder) as run:
            for step in range(100):
                run.log({"train/loss": math.exp(-step / 50)}, step=step)
            run.add_log("half-way")
            with quark.ArtifactStore(run) as artifacts:
                kept = artifacts.store("note", "hello", "text")
                check(artifacts.load(kept) == "text", "an artifact did not come back")
        view = quark.open(folder).run(run.run_id)
        check(view.status == "completed", f"the status is {view.status!r}")
        check(len(view.series("train/loss").values) == 100, "metrics are missing")
        check(any(event.event_type == "user_log" for event in view.events()), "the log message is missing")
    check(not any(Path.cwd().glob("*.quark")), "files were left behind")
    check_advice()
    print(f"quark {quark.__version__}: {len(quark._HOMES)} names, 100 points, one artifact: all came back")
    print(f"the core: {check_size()}")


if __name__ == "__main__":
    main()
