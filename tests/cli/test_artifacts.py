"""`quark artifacts`, and commands under the names of other tools."""

from pathlib import Path

import pytest

import quark

from .conftest import Command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a run, ``mine``, of two versions of a text and one JSON document; another is the working one."""
    with (
        quark.start_run(project="p", name="mine", storage_dir=tmp_path / "runs") as run,
        quark.ArtifactStore(run) as artifacts,
    ):
        artifacts.store("report", "notes/summary.txt", "old", step=1)
        artifacts.store("report", "notes/summary.txt", "new", step=2)
        artifacts.store("confusion", "matrix", {"rows": [1, 2]})
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "runs"


def test_artifacts_are_listed(command: Command, place: Path) -> None:
    """Name, type, step, size and id, and how one is copied."""
    out = command("artifacts", "list", "mine", "-d", place).out
    for word in ("notes/summary.txt", "confusion", f"quark artifacts get mine -d {place} ARTIFACT"):
        assert word in out
    document = command("artifacts", "list", "-d", place, "--json").json()
    assert [one["artifact_key"] for one in document["artifacts"]] == ["notes/summary.txt"] * 2 + ["matrix"]


@pytest.mark.parametrize("name", ["notes/summary.txt", "summary.txt"])
def test_the_latest_of_a_name_is_copied(command: Command, place: Path, name: str) -> None:
    """Into the working directory under its own name; an older one by its id."""
    answer = command("artifacts", "get", "mine", name, "-d", place)
    assert answer.code == 0 and Path("summary.txt").read_text() == "new"
    listed = command("artifacts", "list", "mine", "-d", place, "--json").json()["artifacts"]
    command("artifacts", "get", "mine", listed[0]["id"], "-d", place, "--out", "first.txt")
    assert Path("first.txt").read_text() == "old"


def test_the_bytes_are_those_that_were_stored(command: Command, place: Path) -> None:
    """A JSON document is not written anew, on standard output as in a file."""
    assert command("artifacts", "get", "mine", "matrix", "-d", place, "-o", "-").out == '{"rows":[1,2]}'
    document = command("artifacts", "get", "mine", "matrix", "-d", place, "-o", "m.json", "--json").json()
    assert Path(document["path"]).read_text() == '{"rows":[1,2]}'


def test_a_file_that_is_there_is_not_replaced(command: Command, place: Path) -> None:
    """Unless that is said."""
    Path("matrix").write_text("mine")
    answer = command("artifacts", "get", "mine", "matrix", "-d", place)
    assert (answer.code, Path("matrix").read_text()) == (2, "mine") and "--force" in answer.err
    assert command("artifacts", "get", "mine", "matrix", "-d", place, "--force").code == 0


def test_an_artifact_that_is_not_there_names_near_ones(command: Command, place: Path) -> None:
    """The error lists what there is."""
    assert "did you mean matrix" in command("artifacts", "get", "mine", "matrx", "-d", place).err
    assert (
        command("artifacts", "get", "mine", "zzz", "-d", place, "--json").json()["error"]["code"]
        == "artifact_not_found"
    )


@pytest.mark.parametrize("arguments", [("artifacts", "get", "mine", "matrix"), ("export", "mine")], ids=lambda a: a[0])
def test_a_directory_that_is_not_there_is_named(command: Command, place: Path, arguments: tuple[str, ...]) -> None:
    """The error names the file that was asked for, not a temporary one."""
    answer = command(*arguments, "-d", place, "-o", "nodir/file")
    assert answer.code == 1 and "nodir/file" in answer.err and ".tmp" not in answer.err


@pytest.mark.parametrize("word", ["ls", "list", "status"])
def test_runs_are_listed_under_other_names(command: Command, place: Path, word: str) -> None:
    """What people type first works."""
    assert command(word, "-d", place, "--json").json()["runs"] == command("runs", "-d", place, "--json").json()["runs"]


def test_a_command_of_other_tools_names_ours(command: Command) -> None:
    """Exit code 2 and what to type; a misspelt command gets the near one."""
    answer = command("diff")
    assert answer.code == 2 and "use quark compare" in answer.err
    assert "Did you mean 'show'" in command("shwo").err
