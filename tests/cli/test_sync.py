"""`quark sync`."""

from pathlib import Path

import quark

from .conftest import Command


def test_what_a_dead_process_left_is_delivered_once(command: Command, tmp_path: Path, killed: str) -> None:
    """The answer counts the records and says that the run vanished; a second sync finds nothing."""
    answer = command("sync", tmp_path)
    assert answer.code == 0 and f"{killed}:" in answer.out and "lost" in answer.out
    assert "nothing was left" in command("sync", "-d", tmp_path).out
    with quark.open(tmp_path) as store:
        assert store.run(killed).series("train/loss").steps.tolist() == list(range(100))


def test_json(command: Command, tmp_path: Path, killed: str) -> None:
    """One document: delivered by run, lost, alive, problems."""
    document = command("sync", tmp_path, "--json").json()
    assert document["lost"] == [killed] and document["delivered"][killed] >= 100 and document["problems"] == []


def test_a_run_that_goes_on_is_left_alone(command: Command, tmp_path: Path) -> None:
    """The journals of living processes are theirs."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        document = command("sync", tmp_path, "--json").json()
        assert document["alive"] == [run.run_id] and document["lost"] == []


def test_a_directory_that_is_not_there_is_an_error(command: Command, tmp_path: Path) -> None:
    """A misspelt directory is not answered with all is well."""
    answer = command("sync", tmp_path / "nope", "--json")
    assert answer.code == 1 and "nope" in answer.json()["error"]["message"]
