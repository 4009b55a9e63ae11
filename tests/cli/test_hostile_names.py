"""Names that strangers chose reach the terminal as text: it never obeys them."""

import logging
import os
from pathlib import Path

import pytest

import quark
from quark import errors
from quark.errors import QuarkError, printable

from .conftest import Command

HOSTILE = "ev\x1b]0;PWNED\x07il \x9b2J\u202eflip"


def obeyed(text: str) -> list[str]:
    return [letter for letter in text if letter != "\n" and not letter.isprintable()]


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",), ("runs", "-d", HOSTILE), ("show", HOSTILE), ("show", HOSTILE, "-d", "good"), ("sync", HOSTILE),
        (HOSTILE,), ("runs", f"--{HOSTILE}"), ("runs", "--sort", HOSTILE, "-d", "good"),
        ("runs", "--config", HOSTILE, "-d", "good"), ("export", HOSTILE, "-d", "good"), ("tail", "-d", HOSTILE),
        ("runs", "--since", HOSTILE, "-d", "good"), ("compare", HOSTILE, HOSTILE, "-d", "good"),
    ],
)  # fmt: skip
def test_no_error_of_a_command_holds_a_terminal_escape(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Whether the name is that of a neighbouring directory, an argument or an option: it is shown, not obeyed."""
    monkeypatch.chdir(tmp_path)
    quark.start_run(project="p", storage_dir=tmp_path / HOSTILE).end_run()
    quark.start_run(project="p", storage_dir=tmp_path / "good").end_run()
    answer = command(*arguments)
    assert answer.code in (0, 1, 2)
    assert obeyed(answer.err) == obeyed(answer.out) == []


def test_every_error_of_the_tree_is_printable() -> None:
    """The text of an error never moves a cursor or turns the direction of writing; its arguments stay as they were."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QuarkError)]
    for kind in kinds:
        error = kind(HOSTILE)
        assert obeyed(str(error)) == [] and "PWNED" in str(error) and error.args == (HOSTILE,)


def test_log_messages_are_printable(caplog: pytest.LogCaptureFixture) -> None:
    """A warning that quotes a path from somebody else's folder is text, wherever the user's handlers send it."""
    logger = logging.getLogger("quark")
    logger.warning("quark: %s cannot be read", HOSTILE)
    logger.warning("quark: %d is no text", os.getpid())
    assert [obeyed(record.getMessage()) for record in caplog.records] == [[], []]
    assert "PWNED" in caplog.text


def test_printable_keeps_what_people_write() -> None:
    """Letters of all scripts, emoji, newlines and tabs stay; of the rest the code is shown."""
    assert printable("größe 温度 🙂\n\ttab") == "größe 温度 🙂\n\ttab"
    assert printable("\x1b[31m\udcff\x85") == r"\x1b[31m\udcff\x85"
