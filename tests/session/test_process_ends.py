"""How a process ends, row by row: a run that nobody ended has a true status, and the exception that it rests on."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import quark
from quark.session.sync import sync
from tests.children import child_environment

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
BEGIN = """
import asyncio, atexit, contextlib, itertools, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
import quark

def start():
    run = quark.start_run(project="ends", storage_dir=STORE)
    run.log({"loss": 1.0})
    return run

def ends_well(how=None):
    start()
    if how == "raises":
        raise ValueError("in the child")
    if how == "exits":
        sys.exit(3)
    if how == "catches and exits":
        try:
            raise ValueError("in the child")
        except ValueError:
            sys.exit(1)

def batches():
    with start() as run:
        yield from range(3)

def in_thread(function, **options):
    thread = threading.Thread(target=function, **options)
    thread.start()
    return thread

def fails(run):
    run.log({"loss": 0.5})
    raise ValueError("no")

def forked(leave):
    child = os.fork()
    if not child:
        run = start()
        exec(leave)
    os.waitpid(child, 0)

def child(method, how=None):
    process = get_context(method).Process(target=ends_well, args=(how,))
    process.start()
    process.join()
    sys.exit(process.exitcode or None)

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")

if __name__ == "__main__":
"""
C, S, B, E = "completed", "stopped", "interrupted", "error"
STATUS = {C: "completed", S: "completed", B: "interrupted", E: "failed"}
COMMAND = """
import click

@click.command()
def main():
    start()
    {}

main([])
"""

ROWS: dict[str, tuple[str, int, str, str | None]] = {
    # what happens: (script, exit code, reason, what is kept of the exception)
    "the script runs through": ("start()", 0, C, None),
    "an exception": ("start()\nraise ValueError('no')", 1, E, "ValueError: no"),
    "an exception whose `__str__` raises": ("start()\nraise Odd", 1, E, "Odd: (its text is not known"),
    "the same, out of a `with` block": ("with start():\n    raise Odd", 1, E, "Odd: (its text is not known"),
    "an exception whose `__str__` raises KeyboardInterrupt, out of a `with` block": (
        "Odd.__str__ = lambda self: signal.raise_signal(signal.SIGINT)\n"
        "try:\n    with start():\n        raise Odd\nexcept KeyboardInterrupt:\n    pass", 0, E, None),
    "exits that are each other's cause": (
        "one, two = SystemExit(1), SystemExit(2)\ntwo.__cause__ = one\nwith start():\n    raise one from two",
        1, B, "SystemExit: 1"),
    "`raise SystemExit(1)`": ("start()\nraise SystemExit(1)", 1, B, "SystemExit"),
    "`exit(1)`": ("start()\nexit(1)", 1, B, "SystemExit: 1"),
    "`quit(3)`": ("start()\nquit(3)", 3, B, "SystemExit: 3"),
    "`sys.exit('message')`": ("start()\nsys.exit('bad input')", 1, B, "SystemExit: bad input"),
    "`sys.exit(0)`": ("start()\nsys.exit(0)", 0, B, "SystemExit: 0"),
    "`exit(2)`, imported before the run": ("from sys import exit as leave\nstart()\nleave(2)", 2, B, "SystemExit"),
    "an exit that is caught": (
        "run = start()\ntry:\n    sys.exit(1)\nexcept SystemExit:\n    pass\nrun.log({'loss': 0.5})", 0, C, None),
    "an exit that is caught, then an exception": (
        "start()\ntry:\n    sys.exit(1)\nexcept SystemExit:\n    pass\nraise ValueError('no')", 1, E, "ValueError: no"),
    "`except Exception: sys.exit(1)`": (
        "start()\ntry:\n    raise ValueError('no')\nexcept Exception:\n    sys.exit(1)", 1, E, "ValueError: no"),
    "`except Exception: exit(1)`": (
        "start()\ntry:\n    raise ValueError('no')\nexcept Exception:\n    exit(1)", 1, E, "ValueError: no"),
    "`raise SystemExit(1) from error` in a `with` block": (
        "with start():\n    try:\n        raise ValueError('no')\n    except ValueError as error:\n"
        "        raise SystemExit(1) from error", 1, E, "ValueError: no"),
    "`except KeyboardInterrupt: sys.exit(1)`": (
        "start()\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    sys.exit(1)",
        1, B, "KeyboardInterrupt"),
    "`sys.exit(main())`, which returns None": ("sys.exit(ends_well())", 0, C, None),
    "`sys.exit(main())`, which returns 1": (
        "def main():\n    start()\n    return 1\nsys.exit(main())", 1, B, "SystemExit"),
    "a click command returns": (COMMAND.format(""), 0, C, None),
    "a click command fails": (COMMAND.format("raise click.ClickException('no')"), 1, E, "ClickException: no"),
    "a click command exits": (COMMAND.format("click.get_current_context().exit(0)"), 0, B, "SystemExit: 0"),
    "`sys.excepthook` replaced before": (
        "sys.excepthook = lambda *_: None\nstart()\nraise ValueError('no')", 1, E, "ValueError: no"),
    "`sys.excepthook` replaced after": (
        "start()\nsys.excepthook = lambda *_: None\nraise ValueError('no')", 1, E, "ValueError: no"),
    "`sys.excepthook = sys.__excepthook__`": (
        "start()\nsys.excepthook = sys.__excepthook__\nraise ValueError('no')", 1, E, "ValueError: no"),
    "SIGTERM, and a handler set after the start raises SystemExit(143)": (
        "start()\ndef leave(*_): raise SystemExit(143)\nsignal.signal(signal.SIGTERM, leave)\n"
        "signal.raise_signal(signal.SIGTERM)", 143, B, "SystemExit"),
    "the thread of the run raises": (
        "def work():\n    start()\n    raise ValueError('no')\nin_thread(work).join()", 0, E, "ValueError: no"),
    "the thread of the run exits": (
        "def work():\n    start()\n    sys.exit(2)\nin_thread(work).join()", 0, B, "SystemExit: 2"),
    "the thread of the run returns": ("in_thread(ends_well).join()", 0, C, None),
    "the thread of the run returns, then the main thread raises": (
        "in_thread(ends_well).join()\nraise ValueError('no')", 1, E, "ValueError: no"),
    "the thread of the run still runs": (
        "begun = threading.Event()\ndef work():\n    start()\n    begun.set()\n    time.sleep(60)\n"
        "in_thread(work, daemon=True)\nbegun.wait()", 0, B, "InterruptedError: the program ended while"),
    "a thread that uses the run raises": (
        "run = start()\ndef work():\n    run.log({'loss': 2.0})\n    raise ValueError('no')\nin_thread(work).join()",
        0, E, "ValueError: no"),
    "the same, in a `with` block": (
        "with start() as run:\n    def work():\n        run.log({'loss': 2.0})\n        raise ValueError('no')\n"
        "    in_thread(work).join()", 0, E, "ValueError: no"),
    "another thread raises": (
        "start()\ndef work(): raise ValueError('no')\nin_thread(work).join()", 0, C, None),
    "a task of a thread pool returns": (
        "with ThreadPoolExecutor(1) as pool: pool.submit(ends_well).result()", 0, C, None),
    "a task of a thread pool raises": (
        "with ThreadPoolExecutor(1) as pool: pool.submit(ends_well, 'raises').exception()",
        0, E, "RuntimeError: an exception left the code that began the run"),
    "a task of a process pool returns": (
        "with ProcessPoolExecutor(1) as pool: pool.submit(ends_well).result()", 0, C, None),
    "a task of a process pool raises": (
        "with ProcessPoolExecutor(1) as pool: pool.submit(ends_well, 'raises').exception()",
        0, E, "RuntimeError: an exception left the code that began the run"),
    "a task of `multiprocessing.Pool` raises": (
        "pool = get_context('fork').Pool(1)\nwith contextlib.suppress(ValueError):\n"
        "    pool.apply(ends_well, ('raises',))\npool.close()\npool.join()",
        0, E, "RuntimeError: an exception left the code that began the run"),
    "a task of a thread pool that uses the run raises, and nobody asks for it": (
        "run = start()\nwith ThreadPoolExecutor(1) as pool: pool.submit(fails, run)", 0, E, "ValueError: no"),
    "the same, in a `with` block, and the future is kept": (
        "with start() as run, ThreadPoolExecutor(1) as pool: kept = pool.submit(fails, run)", 0, E, "ValueError: no"),
    "the same, and its exception is asked for": (
        "run = start()\nwith ThreadPoolExecutor(1) as pool: pool.submit(fails, run).exception()", 0, C, None),
    "the same, and a callback asks for it": (
        "run = start()\nwith ThreadPoolExecutor(1) as pool:\n"
        "    pool.submit(fails, run).add_done_callback(lambda future: future.exception())", 0, C, None),
    "a task of a thread pool that does not use the run raises": (
        "start()\nwith ThreadPoolExecutor(1) as pool: pool.submit(int, 'x')", 0, C, None),
    "an asyncio task that uses the run raises, and nobody awaits it": (
        "async def work(): fails(run)\nasync def main():\n    asyncio.create_task(work())\n"
        "    await asyncio.sleep(0)\nrun = start()\nasyncio.run(main())", 0, E, "ValueError: no"),
    "a task of a `ThreadPool` that uses the run raises, and nobody gets it": (
        "run = start()\nwith ThreadPool(1) as pool:\n    pool.apply_async(fails, (run,))\n    pool.close()\n"
        "    pool.join()", 0, E, "ValueError: no"),
    "an `os.fork` child leaves by `os._exit(0)`": ("forked('os._exit(0)')", 0, C, None),
    "the same, by `os._exit(3)`": ("forked('os._exit(3)')", 0, B, "SystemExit: 3"),
    "the same, by `except Exception: os._exit(3)`": (
        "forked('try: fails(run)\\nexcept Exception: os._exit(3)')", 0, E, "ValueError: no"),
    "the same, out of a loop over `run.steps`": (
        "forked('for _ in run.steps(range(3)): os._exit(0)')", 0, S, None),
    "a generator with the run, and `break`": ("for batch in batches(): break", 0, S, None),
    "a generator with the run is closed": ("source = batches()\nnext(source)\nsource.close()", 0, S, None),
    "a generator with the run, and the loop over it raises": (
        "for batch in batches(): raise ValueError('no')", 1, E, "RuntimeError: an exception in the body of the loop"),
    "the same, with `contextlib.closing`": (
        "with contextlib.closing(batches()) as source:\n    for batch in source: raise ValueError('no')",
        1, E, "ValueError: no"),
    **{f"a process ({method}) {how or 'returns'}": (f"child({method!r}, {how!r})", code, reason, kept)
       for method in ("fork", "spawn", "forkserver")
       for how, code, reason, kept in (
           (None, 0, C, None),
           ("raises", 1, E, "ValueError: in the child"),
           ("exits", 3, B, "SystemExit: 3"),
           ("catches and exits", 1, E, "ValueError: in the child"))},
}  # fmt: skip
"""Every row is a script that ends without ``end_run``."""


def play(tmp_path: Path, body: str, *, options: tuple[str, ...] = (), text: str | None = None):
    """Run a script in a process of its own; the process that has ended, and its one run."""
    script = tmp_path / "script.py"
    script.write_text(f"STORE = {str(tmp_path / 'store')!r}{BEGIN}{textwrap.indent(body, '    ')}\n")
    environment = child_environment()
    environment["PYTHONPATH"] = str(Path(quark.__file__).parents[1])
    command = [sys.executable, "-W", "error", *options, str(script)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, check=False, input=text
    )
    sync(tmp_path / "store")
    with quark.open(tmp_path / "store") as store:
        (view,) = store.runs()
        kept = [event.payload["message"] for event in view.events() if event.event_type.startswith("runtime_")]
    return done, view, kept


@pytest.mark.parametrize("row", ROWS)
def test_a_process_ends(tmp_path, row):
    """Status, reason and the exception that was behind the end are those of the table; so is the exit code."""
    body, code, reason, message = ROWS[row]
    done, view, kept = play(tmp_path, body)
    assert done.returncode == code, done.stderr
    assert (view.status, view.reason) == (STATUS[reason], reason), done.stderr
    assert len(kept) == (message is not None) and all(text.startswith(message) for text in kept), kept


PROMPT = {
    "an exception at the prompt": ("1 / 0", E, "ZeroDivisionError: division by zero"),
    "nothing happens": ("1", B, "InterruptedError: the interactive session ended while the run was open"),
    "exit() at the prompt": ("exit()", B, "InterruptedError: the interactive session ended while the run was open"),
}


@pytest.mark.parametrize("way", PROMPT)
def test_an_interactive_session_ends(tmp_path, way):
    """Nobody can tell whether a prompt was done with its run: it is never completed by the end of the session."""
    line, reason, message = PROMPT[way]
    typed = f"import quark\nrun = quark.start_run(project='p', storage_dir={str(tmp_path / 'store')!r})\n{line}\n"
    environment = {**os.environ, "PYTHONPATH": str(Path(quark.__file__).parents[1]), "PYTHON_BASIC_REPL": "1"}
    subprocess.run([sys.executable, "-i"], input=typed, env=environment, capture_output=True, text=True, check=False)
    with quark.open(tmp_path / "store") as store:
        (view,) = store.runs()
        kept = [event.payload["message"] for event in view.events() if event.event_type.startswith("runtime_")]
        assert (view.status, view.reason, kept) == (STATUS[reason], reason, [message])


@pytest.mark.parametrize(
    ("options", "body", "reason", "message"),
    [
        (("-m", "pdb", "-c", "continue"), "start()\nraise ValueError('no')", E, "RuntimeError: an exception left"),
        (("-m", "pdb", "-c", "continue"), "start()", C, None),
        (("-m", "cProfile", "-o", os.devnull), "start()\nsys.exit(1)", B, "SystemExit: 1"),
        (("-m", "cProfile", "-o", os.devnull), "start()\nraise ValueError('no')", E, "ValueError: no"),
        (("-m", "cProfile", "-o", os.devnull), "start()", C, None),
    ],
)
def test_a_script_ends_under_a_debugger_or_profiler(tmp_path, options, body, reason, message):
    """What a debugger or profiler catches is the end of the script all the same."""
    _, view, kept = play(tmp_path, body, options=options, text="quit\n")
    assert (view.status, view.reason) == (STATUS[reason], reason)
    assert len(kept) == (message is not None) and all(text.startswith(message) for text in kept), kept


def test_a_signal_while_the_run_ends(tmp_path):
    """A run that is ending when the signal comes has its end, however far it had come."""
    body = (
        "class Slow(quark.TrackerBase):\n    def on_stop(self, final_state, reason):\n"
        "        signal.raise_signal(signal.SIGTERM)\n        time.sleep(30)\n"
        "quark.start_run(project='ends', storage_dir=STORE, trackers=[Slow()]).end_run()"
    )
    done, view, _ = play(tmp_path, body)
    assert (done.returncode, view.reason) == (-signal.SIGTERM, "completed"), done.stderr


@pytest.mark.parametrize("how", ["in the child's first moment", "at once"])
def test_a_signal_for_a_child_that_has_just_been_forked(tmp_path, how):
    """It ends the child, as it would without Quark, and neither the training that forked it nor the run."""
    early = "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    body = (
        "run = start()\nfor step in range(1, 21):\n    child = os.fork()\n    if child == 0:\n"
        "        time.sleep(30)\n        os._exit(1)\n    os.kill(child, signal.SIGTERM)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM\n"
        "    run.log({'loss': 1.0})\ntime.sleep(1.5)"
    )
    done, view, _ = play(tmp_path, (early if how != "at once" else "") + body)
    assert (done.returncode, view.reason) == (0, "completed"), done.stderr
    with quark.open(tmp_path / "store") as store:
        assert len(store.run(view.id).series("loss")) == 21


SUBINTERPRETER = """
import _xxsubinterpreters
inside = _xxsubinterpreters.create()
_xxsubinterpreters.run_string(inside, "import quark; run = quark.start_run(project='ends', storage_dir=%r); "
    "run.log({'loss': 1.0}); run.end_run()" % STORE)
_xxsubinterpreters.destroy(inside)
"""


@pytest.mark.parametrize(
    "body",
    [
        "run = start()\nos.closerange(3, 100)\nrun.end_run()",
        pytest.param(SUBINTERPRETER, marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="another module")),
    ],
    ids=["all descriptors are closed, as for a daemon", "a subinterpreter, which may set no handlers"],
)
def test_a_surrounding_that_takes_means_away(tmp_path, body):
    """A start and an end raise nothing in a process without descriptors, or without signals and threads."""
    done, view, _ = play(tmp_path, body)
    assert (done.returncode, view.reason) == (0, "completed"), done.stderr
    assert "Traceback" not in done.stderr


def table() -> str:
    """The table as it stands in the documentation."""
    lines = ["| The process | Exit code | Reason | What is kept |", "| --- | --- | --- | --- |"]
    for row, (_, code, reason, message) in ROWS.items():
        if not row.startswith("a process (") or row.startswith("a process (fork)"):
            name = row.replace("a process (fork)", "a child process of multiprocessing")
            kept = "-" if message is None else f"`{message.partition(':')[0]}`"
            lines.append(f"| {name} | {code} | `{reason}` | {kept} |")
    return "\n".join(lines) + "\n"


def test_the_documented_table_is_this_one():
    """docs/lifecycle.md shows exactly what is tested here."""
    assert table() in PAGE.read_text("utf-8"), "put this into docs/lifecycle.md:\n" + table()
