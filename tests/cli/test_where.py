"""Commands in a directory whose runs are below it, and what they say when there is nothing."""

from pathlib import Path

import pytest

import quark

from .conftest import KILLED, Command


@pytest.fixture
def above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, whose subdirectory ``quark-runs`` holds the run ``mine``."""
    with quark.start_run(project="p", name="mine", storage_dir=tmp_path / "quark-runs") as run:
        run.log({"loss": 1.0}, step=0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words", [["runs"], ["show", "mine"], ["tail"], ["export"], ["analyze"], ["sync"], ["doctor"]], ids=" ".join
)
def test_a_command_finds_the_only_store_below(
    command: Command, above: Path, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It works without an option, and says which directory it used."""
    answer = command(*words)
    assert answer.code == 0
    assert "using those in" in caplog.text and "-d quark-runs" in caplog.text


def test_sync_delivers_what_lies_below(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill it must not say that nothing was left."""
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "quark-runs")], check=False)
    monkeypatch.chdir(tmp_path)
    out = command("sync").out
    assert "killed-run: " in out and "closed as failed (lost)" in out


def test_several_stores_are_listed(command: Command, above: Path) -> None:
    """``sync`` and ``runs`` ask which one; ``doctor`` names them and checks the working directory."""
    quark.start_run(project="p", storage_dir=above / "others").end_run()
    for name in ("runs", "sync"):
        answer = command(name)
        assert answer.code == 1 and "-d others, -d quark-runs" in answer.err
    answer = command("doctor", "--json")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert answer.code == 0 and "-d others, -d quark-runs" in checks["other stores"]["detail"]


def test_a_wrong_directory_names_the_right_one(command: Command, above: Path) -> None:
    """The error says what to type, not how the Python argument is called."""
    (above / "empty").mkdir()
    assert "-d quark-runs" in command("runs", "-d", above).err
    assert "-d DIR" in command("runs", "-d", "empty").err


def test_a_hint_repeats_the_directory(command: Command, above: Path) -> None:
    """What an error tells people to type works where they stand."""
    answer = command("show", "nobody")
    assert answer.code == 1 and "quark runs -d quark-runs" in answer.err
    assert "quark analyze mine -d quark-runs" in command("show", "mine").out
