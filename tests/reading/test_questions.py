"""The page "Ask your runs": every question of it, asked of a folder and of a service."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from quark.cli import run as run_command

from ..client.conftest import Service

PAGE = (Path(__file__).parents[2] / "docs" / "ask-your-runs.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([^|]*\?) \| `(.*?)` \| `(.*?)` \|$", PAGE, re.MULTILINE)
RECORDING = PAGE.partition("```python\n")[2].partition("store = ")[0]

ANSWERS: dict[str, tuple[str, str]] = {
    "Which runs are there, and how did they end?": ("failed", "('too-large', 'failed'), ('lr-0.001'"),
    "Which run was best?": ("0.9 at 20", "'lr-0.01'"),
    "How good was it, and at which step?": (
        "0.9 at 20", "BestValue(key='val/acc', value=0.9, step=20, epoch=None, mode='max')"
    ),
    "What differs between these runs?": ("0.81 at 20", "best.val/acc"),
    "Which runs failed, and why?": ("too-large", "[('too-large', 'error')]"),
    "Which runs used this setting?": ("lr-0.1", "['lr-0.1']"),
    "Is the training healthy?": ("overall", "status='healthy'"),
    "What was logged last?": ("run_ended", "(29, 0.25"),
    "What is the whole curve?": ("train/loss", "array([1.        , 0.90909091"),
    "Was anything not recorded?": ("1 values refused (val/acc 1)", "1"),
    "Which checkpoint do I go on from?": ("lr-0.01.pt", "'lr-0.01.pt'"),
    "Which files did it leave?": ("labels.txt", "['labels.txt']"),
    "What did I write down?": ("a first try of 0.01", "(('a first try of 0.01',), {'test/acc': 0.9})"),
    "Which runs did I delete?": ("no runs match", "[]"),
}  # fmt: skip
"""What the command and the line of Python say, or a part of it."""


@dataclass
class Recorded:
    """The runs of the page: where commands are typed, the environment there, and what the lines of Python gave."""

    place: Path
    environment: dict[str, str]
    answers: list[str]


@pytest.fixture(scope="module", params=["folder", "service"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """The page's program, run in a directory of its own, with a line of output for each question."""
    place = tmp_path_factory.mktemp(request.param)
    opening, environment = "quark.open()", {}
    service = Service(place / "service") if request.param == "service" else None
    try:
        if service is not None:
            service.start()
            opening = "quark.connect()"
            environment = {
                "QUARK_PERSISTENCE_URL": service.url, "QUARK_USER_KEY": service.key, "QUARK_STORAGE_DIR": "quark-runs"
            }  # fmt: skip
        asked = "".join(f"print(repr(({python})).replace(chr(10), ' '))\n" for _, _, python in ROWS)
        done = subprocess.run(
            [sys.executable, "-c", f"{RECORDING}\nstore = {opening}\n{asked}store.close()\n"], cwd=place, check=True,
            env={**os.environ, **environment}, capture_output=True, text=True,
        )  # fmt: skip
        yield Recorded(place, environment, done.stdout.splitlines())
    finally:
        if service is not None:
            service.stop(9)


@pytest.mark.parametrize("question", [question for question, _, _ in ROWS])
def test_a_question_has_an_answer(
    recorded: Recorded, question: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One command and one line of Python, as they stand on the page."""
    number = [row[0] for row in ROWS].index(question)
    by_command, by_python = ANSWERS[question]
    assert by_python in recorded.answers[number]
    monkeypatch.chdir(recorded.place)
    monkeypatch.setenv("COLUMNS", "140")
    for name, value in recorded.environment.items():
        monkeypatch.setenv(name, value)
    program, *arguments = shlex.split(ROWS[number][1])
    code = run_command(arguments)
    assert (program, code) == ("quark", 0)
    assert by_command in capfd.readouterr().out


def test_the_page_has_at_least_twelve_questions() -> None:
    """Each of them is asked here."""
    assert len(ROWS) >= 12 and [question for question, _, _ in ROWS] == list(ANSWERS)
