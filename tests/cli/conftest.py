"""A store with two runs, and the command line inside this process."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

import quark
from quark import ArtifactStore
from quark.cli import run as run_command

NASTY = "tab\there \x1b[31mred\x1b[0m \x07bell \x9b2J \u202eflip [bold]markup[/bold]"


@dataclass
class Answer:
    """What a command did: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return orjson.loads(self.out)


Command = Callable[..., Answer]


@pytest.fixture
def command(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line: ``command("runs", "--json")``. The terminal is 100 columns wide and has no colour."""
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Answer:
        capsysbinary.readouterr()
        code = run_command([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        return Answer(code, out.decode(), err.decode())

    return call


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage directory with a completed run, ``good-run``, and a failed one with a hostile name, ``nasty-run``."""
    place = tmp_path_factory.mktemp("storage")
    config = {"lr": 0.1, "optimizer": {"name": "adamw"}}
    with (
        quark.start_run(
            project="digits", name="cnn", config=config, tags=["first"], storage_dir=place, run_id="good-run"
        ) as run,
        ArtifactStore(run) as artifacts,
    ):
        for step in range(50):
            run.log({"train/loss": 1.0 / (step + 1), "train/accuracy": step / 50}, step=step, epoch=step // 25)
        run.log({"val/loss": 0.25}, epoch=1)
        run.add_log("Half of it is done.", step=25)
        artifacts.store("checkpoint_metadata", "trainer/last", {"step": 49}, step=49)
    with (
        pytest.raises(ValueError),
        quark.start_run(
            project="digits", name=NASTY, tags=[NASTY], config={"note": NASTY}, storage_dir=place, run_id="nasty-run"
        ) as run,
    ):
        run.add_log(NASTY, payload={"formula": "=HYPERLINK(1)", "nul": "a\0b"})
        run.log({"a": -1.5}, step=0)
        raise ValueError(NASTY)
    return place


KILLED = """
import os, signal, sys
import quark
run = quark.start_run(project="p", storage_dir=sys.argv[1], run_id="killed-run")
for step in range(100):
    run.log({"train/loss": 1.0 / (step + 1)}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> str:
    """The id of a run in ``tmp_path`` whose process was killed after 100 steps, and whose journal waits."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    return "killed-run"
