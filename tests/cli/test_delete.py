"""`quark delete`, `quark restore` and `quark purge`."""

import sys
from pathlib import Path

import pytest

import quark

from .conftest import Command


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """A directory with the ended runs ``one`` and ``two``."""
    for name in ("one", "two"):
        with quark.start_run(project="p", name=name, run_id=f"{name}-run", storage_dir=tmp_path) as run:
            run.log({"loss": 1.0}, step=0)
    return tmp_path


def held(place: Path) -> list[str]:
    """The runs that are in the list."""
    with quark.open(place) as store:
        return [view.id for view in store.runs(sort="id")]


def test_a_deleted_run_is_gone_and_can_be_had_back(command: Command, two_runs: Path) -> None:
    """Named by its name, hidden, brought back by its id; the answers say what was done."""
    told = command("delete", "one", "-d", two_runs, "--yes")
    assert (told.code, held(two_runs)) == (0, ["two-run"])
    assert "quark restore one-run" in told.out
    assert command("restore", "one-run", "-d", two_runs, "--json").json() == {"restored": "one-run"}
    assert held(two_runs) == ["one-run", "two-run"]


def test_what_was_deleted_is_purged_when_it_is_old_enough(command: Command, two_runs: Path) -> None:
    """What is younger than the span stays; what was purged does not come back, and its files are gone."""
    with quark.open(two_runs) as store:
        files = Path(store.run("one-run").record.run_path)
    files.mkdir(parents=True, exist_ok=True)
    answer = command("delete", "one-run", "two-run", "one", "-d", two_runs, "--yes", "--json")
    assert answer.json() == {"deleted": ["one-run", "two-run"]}
    assert command("restore", "two-run", "-d", two_runs).code == 0
    assert command("purge", "-d", two_runs, "--yes", "--json").json() == {"purged": []}
    assert command("purge", "-d", two_runs, "--older-than", "0s", "-y", "--json").json() == {"purged": ["one-run"]}
    assert command("restore", "one-run", "-d", two_runs, "--json").json()["error"]["code"] == "run_not_found"
    assert (held(two_runs), files.exists()) == (["two-run"], False)


def test_deleted_runs_are_listed_and_restored_by_their_name(command: Command, two_runs: Path) -> None:
    """What is hidden can be found again, under the name that people know; the list of runs goes on without it."""
    assert "no runs match" in command("runs", "--deleted", "-d", two_runs).out
    command("delete", "one", "two", "-d", two_runs, "--yes")
    out = command("runs", "--deleted", "-d", two_runs).out
    assert "one-run" in out and "quark restore RUN" in out
    document = command("runs", "--deleted", "-d", two_runs, "--json").json()
    assert [run["name"] for run in document["runs"]] == ["two", "one"]
    assert command("restore", "one", "-d", two_runs).out == "one-run is back: one\n"
    assert held(two_runs) == ["one-run"]
    assert len(command("runs", "--deleted", "-d", two_runs, "--json").json()["runs"]) == 1


def test_a_name_that_no_deleted_run_has_or_several_have_restores_none(command: Command, two_runs: Path) -> None:
    """The error lists the ids, or says where the deleted runs are listed."""
    for number in range(2):
        quark.start_run(project="p", name="twin", run_id=f"twin-{number}", storage_dir=two_runs).end_run()
    command("delete", "twin-0", "twin-1", "-d", two_runs, "--yes")
    answer = command("restore", "twin", "-d", two_runs)
    assert answer.code == 1 and "twin-1, twin-0" in answer.err
    assert f"quark runs --deleted -d {two_runs}" in command("restore", "nobody", "-d", two_runs).err
    assert command("restore", "twin-1", "-d", two_runs).code == 0


def test_purged_runs_are_not_among_the_deleted_ones(command: Command, two_runs: Path) -> None:
    """What cannot come back is not offered."""
    command("delete", "one", "-d", two_runs, "--yes")
    command("purge", "--older-than", "0s", "-y", "-d", two_runs)
    assert command("runs", "--deleted", "-d", two_runs, "--json").json()["runs"] == []


def test_filters_do_not_go_with_deleted_runs(command: Command, two_runs: Path) -> None:
    """A filter that would be ignored is refused."""
    assert command("runs", "--deleted", "--project", "p", "-d", two_runs).code == 2


@pytest.mark.parametrize("arguments", [("delete", "one-run"), ("purge", "--older-than", "0s")])
def test_nothing_is_done_unasked(command: Command, two_runs: Path, arguments: tuple[str, ...]) -> None:
    """Where nobody can be asked the command says to add --yes, and nothing is touched."""
    told = command(*arguments, "-d", two_runs)
    assert (told.code, "--yes" in told.err) == (2, True)
    assert command(*arguments, "-d", two_runs, "--json").json()["error"]["code"] == "usage"
    assert held(two_runs) == ["one-run", "two-run"]


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, ["one-run", "two-run"]), ("y", 0, ["two-run"])])
def test_at_a_terminal_it_asks(
    command: Command, two_runs: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[str]
) -> None:
    """The question names what goes; only a yes does it. (The terminal is a double: there is none in a test.)"""
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: (asked.append(question), answer == "y")[1])
    assert command("delete", "one", "-d", two_runs).code == code
    assert asked == [f"Delete one-run (one) from {two_runs}?"]
    assert held(two_runs) == left


def test_a_running_run_is_refused_before_any_is_deleted(command: Command, two_runs: Path) -> None:
    """One of several that still goes on keeps all of them."""
    with quark.start_run(project="p", run_id="live", storage_dir=two_runs) as run:
        run.flush()
        told = command("delete", "one-run", "live", "-d", two_runs, "--yes", "--json")
        assert (told.code, told.json()["error"]["code"]) == (1, "invalid_run_state")
    assert held(two_runs) == ["live", "one-run", "two-run"]


def test_a_span_that_is_none_is_a_usage_error(command: Command, two_runs: Path) -> None:
    """The message says what a span looks like."""
    told = command("purge", "--older-than", "soon", "--yes", "-d", two_runs)
    assert (told.code, "7d" in told.err) == (2, True)
