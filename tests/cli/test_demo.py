"""`quark demo`: the first thing that a newcomer runs."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import quark

DEMO = [sys.executable, "-m", "quark.cli", "demo"]


@pytest.mark.slow
@pytest.mark.torch
def test_a_real_training_is_recorded_and_shown(tmp_path: Path) -> None:
    """Digits are learned to over 95 %; all kinds of records are in the store, and what it says to run next runs."""
    done = subprocess.run(DEMO, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("val/accuracy", "█", "kept in:", "quark show", "quark runs", "completed"):
        assert word in done.stdout
    (tmp_path / "pandas.py").write_text("raise ImportError('the extra demo does not install pandas')")
    suggested = [line.partition("  #")[0].strip() for line in done.stdout.partition("what to run next")[2].splitlines()]
    for line in filter(None, suggested):
        program, *arguments = shlex.split(line)
        if arguments[0] == "ui":  # runs until Ctrl+C; the tests of the pages open it
            continue
        command = [sys.executable, *(["-m", "quark.cli"] if program == "quark" else []), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        assert ran.returncode == 0, (line, ran.stderr)
    with quark.open(tmp_path / "quark-demo") as store:
        (view,) = store.runs()
        assert view.status == "completed"
        assert view.latest()["val/accuracy"][1] > 0.95
        assert view.counts()["telemetry"] >= 1 and view.counts()["layer"] >= 1 and view.counts()["parameter"] >= 1
        assert view.events("new_best")
        matrix = view.load(view.artifacts(artifact_type="confusion_matrix")[0])["matrix"]
        assert sum(map(sum, matrix)) == 360


@pytest.mark.torch
def test_json_is_one_document(tmp_path: Path) -> None:
    """The outcome for scripts."""
    done = subprocess.run(
        [*DEMO, "--epochs", "1", "--storage-dir", str(tmp_path), "--json"], capture_output=True, text=True, check=True
    )
    outcome = json.loads(done.stdout)
    assert outcome["epochs"] == 1 and outcome["steps"] == 23


@pytest.mark.parametrize("missing", ["torch", "sklearn"])
def test_a_missing_package_is_one_line_with_the_remedy(tmp_path: Path, missing: str) -> None:
    """No traceback: what is missing, and the pip line."""
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\nfrom quark.cli import main\n"
        f"sys.argv = ['quark', 'demo', '-d', {str(tmp_path)!r}]\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and 'pip install "quark-tracker[demo]"' in done.stderr
    assert list(tmp_path.iterdir()) == []
