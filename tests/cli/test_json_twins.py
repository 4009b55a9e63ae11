"""What a command prints for people it also gives to scripts, with ``--json``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import quark
from quark import ArtifactStore
from quark.cli.entry import app

from ..analysis.runs import falling
from .conftest import Command

WITHOUT = {
    "run": "its output is that of the command that it runs",
    "serve": "a server, which goes on until it is ended",
    "mcp": "speaks a protocol on standard output",
}
"""The commands that have no JSON, with the reason."""


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name."""
    for word, command in sorted(group.commands.items()):
        whole = f"{name} {word}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, whole)
        else:
            yield whole, command


ALL = dict(commands(typer.main.get_command(app)))


def test_every_command_has_json_or_a_reason() -> None:
    """A new command that prints something has a document for scripts too."""
    lacking = {name for name, one in ALL.items() if not any("--json" in option.opts for option in one.params)}
    assert lacking == WITHOUT.keys()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with everything that commands print: settings, metrics, artifacts, notes, events, printed lines."""
    found = tmp_path_factory.mktemp("twins")
    for name, lr in (("first", 0.125), ("second", 0.25)):
        losses = falling(200)
        losses[150] = 9.5 if name == "first" else losses[150]
        with quark.start_run(project="digits", name=name, tags=["tagged"], config={"lr": lr}, storage_dir=found) as run:
            for step, value in enumerate(losses):
                run.log({"train/loss": value, "Val Acc (top-1)": 0.875 if step == 77 else 0.5}, step=step)
            run.note("a note of it")
            run.summary["score"] = 0.375
            run.add_log("half of it is done", step=60)
            line = {"message": "a printed line", "stream": "stdout", "line": 0}
            run.emit(quark.EventRecord, {"event_type": "log_line", "severity": "info", "payload": line, "status": None})
            with ArtifactStore(run) as artifacts:
                artifacts.store("A Type", "A Name", {"x": 1}, step=33)
    return found


TWINS = [
    (("runs",), ("first", "second", "digits", "completed", "tagged")),
    (("runs", "--columns", "lr,Val Acc (top-1):max,nothing"), ("0.125", "0.875", "77", "no run listed has nothing")),
    (("show", "first"), (
        "first", "completed", "digits", "tagged", "0.125", "9.5", "Val Acc (top-1)", "0.875", "77", "199",
        "a note of it", "0.375", "half of it is done", "A Name", "A Type", "33", "score",
    )),
    (("tail", "first"), ("half of it is done", "199", "0.5", "train/loss")),
    (("tail", "first", "--output"), ("a printed line",)),
    (("analyze", "first"), ("loss_spike", "150", "warning", "The loss jumped", "optimization", "train/loss")),
    (("analyze", "first", "--abstained"), ("overfitting_onset",)),
    (("compare", "first", "second"), ("first", "second", "0.125", "0.25", "0.875", "77", "199", "train/loss")),
    (("compare", "first", "second", "first"), ("0.125", "0.25", "0.875", "77", "0.5")),
    (("artifacts", "list", "first"), ("A Name", "A Type", "33")),
    (("watch", "first"), ("first", "completed", "digits", "199", "9.5", "Val Acc (top-1)", "a printed line")),
    (("version",), (quark.__version__,)),
]  # fmt: skip
"""Command lines, and what the text says that the document must hold too."""


@pytest.mark.parametrize(("arguments", "facts"), TWINS, ids=lambda given: " ".join(given[:3]))
def test_the_document_holds_what_the_text_says(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    """The same runs, names as they were given, values, steps, and remarks."""
    where = () if arguments[0] == "version" else ("-d", place)
    monkeypatch.setenv("COLUMNS", "220")  # nothing is cut
    text = " ".join(command(*arguments, *where).out.split())
    document = json.dumps(command(*arguments, *where, "--json").json(), ensure_ascii=False)
    assert {fact for fact in facts if fact not in text} == set()
    assert {fact for fact in facts if fact not in document} == set()
