"""The command as a process: how it starts, ends and writes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import quark

QUARK = [sys.executable, "-m", "quark.cli"]


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [*QUARK, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def test_the_installed_command_answers() -> None:
    """The entry point that pip installs is the same program."""
    script = Path(sys.executable).with_name("quark")
    done = subprocess.run([script, "version", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["quark"] == quark.__version__


def test_names_are_printed_in_any_encoding(tmp_path: Path) -> None:
    """A letter that the terminal's encoding lacks is shown by its number, and no command fails for it."""
    with quark.start_run(project="prüf", name="läuf ✓", storage_dir=tmp_path, config={"ü": "✓"}) as run:
        run.add_log("Höhe ✓")
        run.log({"loss": 1.0}, step=0)
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for arguments in (("runs",), ("show", run.run_id), ("show", "no ✓ run")):
        command = [*QUARK, *arguments, "-d", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, env=surroundings, check=False)
        assert done.returncode == (1 if "no ✓ run" in arguments else 0), done.stderr
        assert b"Traceback" not in done.stderr and b"UnicodeEncodeError" not in done.stderr


HEAVY = {
    "torch", "sqlalchemy", "numpy", "pandas", "pyarrow", "alembic", "httpx", "psutil", "mcp", "pydantic", "anyio",
    "litestar", "rich.live", "quark.reading", "quark.analysis", "quark.mcp", "quark.cli.watching",
}  # fmt: skip


def test_help_loads_nothing_heavy() -> None:
    """`quark --help` answers at once: no torch, no database, no NumPy, nothing that only one command needs."""
    program = (
        "import sys\nfrom quark.cli import run\nassert run(['--help']) == 0\n"
        f"heavy = {HEAVY!r}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("loaded: []")
    for name in ("runs", "show", "tail", "export", "sync", "doctor", "demo", "version"):
        assert name in done.stdout


def test_a_missing_store_is_one_json_document(tmp_path: Path) -> None:
    """A script can rely on standard output also when there is nothing to read."""
    done = process("runs", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "store_not_found"
    assert done.stderr == ""


def test_a_reader_that_leaves_early_is_no_error(storage: Path) -> None:
    """`quark export | head -1` ends without a traceback."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(QUARK)} export good-run -d {storage} | head -c 10"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ('{"kind":"w', "")


def test_no_color_is_honoured(storage: Path) -> None:
    """On a terminal there is colour, unless NO_COLOR is set."""
    import pty

    def on_terminal(**variables: str) -> bytes:
        master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
        with subprocess.Popen([*QUARK, "runs", "-d", str(storage)], stdout=slave, env=environment) as child:
            os.close(slave)
            shown = b""
            while True:
                try:
                    piece = os.read(master, 65536)
                except OSError:  # the terminal is gone with its last writer
                    break
                shown += piece
                if not piece:
                    break
            child.wait()
        os.close(master)
        return shown

    assert b"\x1b[32m" in on_terminal()
    assert b"\x1b[32m" not in on_terminal(NO_COLOR="1")


def test_ctrl_c_ends_tail(storage: Path, tmp_path: Path) -> None:
    """Following ends without a traceback when the user has seen enough."""
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="live-run") as run:
        run.log({"loss": 1.0}, step=0)
        run.flush()
        child = subprocess.Popen(
            [*QUARK, "tail", "live-run", "-f", "-d", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert child.stdout is not None and b"run_started" in child.stdout.readline()
        assert b"loss 1" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    assert child.returncode == 130 and b"Traceback" not in errors
