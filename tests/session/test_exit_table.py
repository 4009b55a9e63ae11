"""Every way out of every host, the whole table: status, reason, and that trackers hear of the end once."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark.session.sync import sync
from tests.children import child_environment

from . import ways

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
NONE = "-"
C, S, R, X, B, E, M, L = (
    "completed", "stopped", "stop_requested", "criterion_met", "interrupted", "error", "max_steps", "lost",
)  # fmt: skip

TABLE = {
    # way                       session, with, steps, asteps, Loop: with, for, async with, async for, workers;
    #                           Lightning, Transformers
    "it runs through":          (C, C, C, C, M, M, M, M, M, C, C),
    "criterion met":            (NONE, NONE, NONE, NONE, X, X, X, X, X, X, X),
    "break":                    (C, C, S, S, S, S, S, S, S, NONE, NONE),
    "return":                   (NONE, NONE, S, S, S, S, S, S, S, NONE, NONE),
    "stop()":                   (NONE, NONE, S, S, S, S, S, S, S, S, S),
    "stop request":             (NONE, NONE, R, R, R, R, R, R, R, R, R),
    "iterator dropped":         (NONE, NONE, S, S, NONE, S, NONE, S, NONE, NONE, NONE),
    "never iterated":           (NONE, NONE, NONE, NONE, S, S, S, S, S, NONE, NONE),
    "exception":                (E, E, E, E, E, E, E, E, E, E, E),
    "exception caught outside": (C, E, E, E, E, S, E, S, E, E, E),
    "task raises":              (NONE, NONE, NONE, NONE, E, E, E, E, E, NONE, E),
    "first task raises":        (NONE, NONE, NONE, NONE, E, E, E, E, E, NONE, E),
    "start refused":            (NONE, NONE, NONE, NONE, E, E, E, E, E, NONE, NONE),
    "started twice":            (NONE, NONE, NONE, NONE, M, M, M, M, M, NONE, NONE),
    "Ctrl-C":                   (B, B, B, B, B, B, B, B, B, B, B),
    "sys.exit":                 (B, B, B, B, B, B, B, B, B, B, B),
    "cancellation":             (NONE, NONE, NONE, B, NONE, NONE, B, B, NONE, NONE, NONE),
    "SIGTERM":                  (B, B, B, B, B, B, B, B, B, B, B),
    "kill -9":                  (L, L, L, L, L, L, L, L, L, L, L),
}  # fmt: skip
"""The stop reason of every way (row) out of every host (column); a dash where there is no such way."""

STATUS = {E: "failed", L: "failed", B: "interrupted"}
FRAMEWORKS = {"Lightning": "lightning.pytorch", "Transformers": "transformers"}
"""Hosts that are other people's packages."""

NO_FINAL_STATE = ("first task raises", "start refused", "never iterated")

CELLS = [
    pytest.param(way, host, reason, id=f"{way}: {host}", marks=[pytest.mark.torch] if host in FRAMEWORKS else [])
    for way, reasons in TABLE.items()
    for host, reason in zip(ways.HOSTS, reasons, strict=True)
    if reason != NONE
]

BY_THE_PROCESS = {
    ("exception", "Loop, for"), ("exception", "Loop, async for"), ("exception caught outside", "Loop, for"),
    ("exception caught outside", "Loop, async for"), ("sys.exit", "Loop, for"), ("sys.exit", "Loop, async for"),
    ("Ctrl-C", "Loop, for"), ("Ctrl-C", "Lightning"), ("never iterated", "Loop, for"),
    ("never iterated", "Loop, async for"),
}  # fmt: skip
"""Cells that only the end of the process decides; so are all of a session without with, and the signals."""

CODES = {
    ("SIGTERM", "Lightning"): 0, ("Ctrl-C", "Lightning"): 1, ("SIGTERM", "Transformers"): -signal.SIGTERM,
    ("kill -9", "Lightning"): -signal.SIGKILL, ("kill -9", "Transformers"): -signal.SIGKILL,
}  # fmt: skip
"""The exit codes of frameworks that a signal ends: those that they have without Quark."""


@pytest.mark.timeout(300)  # a process that imports a framework takes long beside other work
@pytest.mark.parametrize(("way", "host", "reason"), CELLS)
def test_a_way_out(tmp_path, way, host, reason):
    """The run has the true status and reason, in the store and for its trackers, which hear of it exactly once."""
    if host in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[host])
    store, diary = tmp_path / "store", tmp_path / "diary"
    if host == "session" or way in ("SIGTERM", "kill -9") or (way, host) in BY_THE_PROCESS:
        in_a_process(host, way, store, diary)
    else:
        with contextlib.suppress(ValueError, KeyboardInterrupt, SystemExit):
            ways.play(host, way, str(store), str(diary))
    sync(store)
    with quark.open(store) as opened:
        (run,) = opened.runs()
    told = diary.read_text().splitlines() if diary.exists() else []
    assert (run.status, run.reason) == (STATUS.get(reason, "completed"), reason)
    assert [line.split()[0] for line in told] == ([] if reason == L else [reason])
    assert all((line.split()[1] == "None") == (way in NO_FINAL_STATE) for line in told)


def in_a_process(host, way, store, diary):
    environment = child_environment()
    environment["PYTHONPATH"] = str(Path(quark.__file__).parents[1])
    command = [sys.executable, "-W", "error", ways.__file__, host, way, str(store), str(diary)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    loud = way == "exception" or (way == "Ctrl-C" and host != "Lightning")  # which turns it into an exit
    assert ("Traceback" in done.stderr) == loud, done.stderr
    assert done.returncode == CODES.get((way, host), done.returncode), done.stderr


def test_no_cell_is_forgotten():
    """The table has a column for every host."""
    assert {len(reasons) for reasons in TABLE.values()} == {len(ways.HOSTS)}


def table() -> str:
    """The table as it stands in the documentation."""
    lines = ["| Way out | " + " | ".join(ways.HOSTS) + " |", "| --- |" + " --- |" * len(ways.HOSTS)]
    for way, reasons in TABLE.items():
        lines.append(f"| {way} | " + " | ".join(NONE if r == NONE else f"`{r}`" for r in reasons) + " |")
    return "\n".join(lines) + "\n"


def test_the_documented_table_is_this_one():
    """docs/lifecycle.md shows exactly what is tested here."""
    assert table() in PAGE.read_text("utf-8"), "put this into docs/lifecycle.md:\n" + table()
