"""`quark run`: what a command prints and how it ends become part of its run, whatever happens to the process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark.reading import RunView, Store
from quark.session.sync import sync

from .conftest import wait_until

BEGIN = """
import os, signal, sys, time
import quark
run = quark.start_run(project="p", name="launched", config={"lr": 1})
run.log({"loss": 1.0})
print("hello from", os.environ["QUARK_RUN_ID"])
"""

PAGE = Path(__file__).parents[2] / "docs" / "control.md"

WAYS = {
    # way: (the end of the script, exit code of quark run, status, reason)
    "it runs through": ("", 0, "completed", "completed"),
    "exception": ("raise ValueError('no')", 1, "failed", "error"),
    "sys.exit(3)": ("sys.exit(3)", 3, "interrupted", "interrupted"),
    "raise SystemExit(1)": ("raise SystemExit(1)", 1, "interrupted", "interrupted"),
    "exception, sys.excepthook replaced": (
        "sys.excepthook = lambda *_: None\nraise ValueError('no')", 1, "failed", "error"),
    "end_run(), then exception": ("run.end_run()\nraise ValueError('no')", 1, "failed", "error"),
    "end_run(), then kill -9": ("run.end_run()\nos.kill(os.getpid(), signal.SIGKILL)", 137, "completed", "completed"),
    "os._exit(0)": ("os._exit(0)", 0, "completed", "completed"),
    "os._exit(7)": ("os._exit(7)", 7, "failed", "error"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", 143, "interrupted", "interrupted"),
    "kill -9": ("os.kill(os.getpid(), signal.SIGKILL)", 137, "failed", "lost"),
    "abort": ("os.abort()", 134, "failed", "lost"),
}  # fmt: skip


@pytest.fixture(params=["folder", "service"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs live in a folder, or in a service."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("QUARK_HEARTBEAT_INTERVAL", "0.2")
    if request.param == "service":
        request.getfixturevalue("service")
    return request.param


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs live in this folder."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("QUARK_HEARTBEAT_INTERVAL", "0.2")
    return tmp_path / "runs"


def opened(where: str = "folder") -> Store:
    """The store in which the runs are."""
    return quark.connect() if where == "service" else quark.open()


def launch(script: str, *options: str, **more: object) -> "subprocess.CompletedProcess[str]":
    """``quark run`` with a script, to its end."""
    command = [sys.executable, "-m", "quark.cli", "run", *options, "--", sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, **more)  # type: ignore[call-overload]


def only(store: Store, project: str = "p") -> RunView:
    """The one run of a project."""
    (view,) = store.runs(project=project)
    return view


@pytest.mark.parametrize("way", WAYS)
def test_a_way_out_of_a_launched_process(folder: Path, way: str) -> None:
    """The exit code is passed on, the run has the true status, its records and what was printed are there."""
    ending, code, status, reason = WAYS[way]
    done = launch(BEGIN + ending)
    assert (done.returncode, done.stdout.startswith("hello from ")) == (code, True), done.stderr
    with opened() as store:
        view = only(store)
        assert (view.status, view.reason, view.exit_code) == (status, reason, code if code < 128 else 128 - code)
        assert view.config == {"lr": 1} and view.series("loss").values.tolist() == [1.0]
        assert view.log_lines("stdout")[0].payload["message"] == f"hello from {view.id}"
    assert not list((folder / ".quark" / "journal").iterdir())


def test_in_a_service_a_killed_process_ends_its_run(where: str) -> None:
    """A process killed by force is delivered and closed by its launcher at once, wherever the run lives."""
    assert launch(BEGIN + "os.kill(os.getpid(), signal.SIGKILL)").returncode == 137
    with opened(where) as store:
        view = only(store)
        assert (view.status, view.reason, view.exit_code) == ("failed", "lost", -9)
        assert len(view.log_lines("stdout")) == 1


def test_a_command_that_starts_no_run_gets_one(folder: Path) -> None:
    """Any command: a run of the project given, with its lines in order by stream, its command and its end."""
    script = "import sys; print('a'); print('b', file=sys.stderr); print('\\x1b[1mc', end=''); sys.exit(5)"
    done = launch(script, "--project", "scripts", "--storage-dir", str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (5, "a\n\x1b[1mc", "b\n")
    with opened() as store:
        view = only(store, "scripts")
        assert (view.status, view.reason, view.exit_code) == ("failed", "error", 5)
        assert [line.payload["message"] for line in view.log_lines("stdout")] == ["a", "\x1b[1mc"]
        assert [line.payload["message"] for line in view.log_lines("stderr")] == ["b"]
        assert view.environment["command"][0] == sys.executable


def test_secrets_are_not_recorded_and_output_is_unchanged(folder: Path) -> None:
    """The terminal gets every byte; the record hides keys, those over several lines too, and counts the rest."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----"
    script = f"print('''{key}''')\nprint('https://me:pw123@host/x')\nfor n in range(5000): print(n)"
    done = launch(script, env={**os.environ, "QUARK_LOG_LINES": "1500"})
    assert key in done.stdout and done.stdout.count("\n") == 5004
    with opened() as store:
        (view,) = store.runs()
        messages = [line.payload["message"] for line in view.log_lines()]
        assert "MIIabc" not in str(messages) and "pw123" not in str(messages)
        assert (len(messages), messages[499], messages[-1]) == (1500, "495", "4999")
        assert view.events("log_lines_dropped")[0].payload == {"count": 3504}


def test_a_failed_command_is_started_again_as_the_same_run(where: str) -> None:
    """--restarts: a further attempt at the same run, its history kept, until it succeeds or none is left."""
    script = BEGIN + "if run.manifest.attempt < 3: os.kill(os.getpid(), signal.SIGKILL)"
    assert launch(script, "--restarts", "5").returncode == 0
    with opened(where) as store:
        view = only(store)
        assert (view.status, view.reason, view.record.resume_count) == ("completed", "completed", 2)
        assert len(view.series("loss", all_attempts=True)) == 3
        assert [event.payload["exit_code"] for event in view.events("process_exited")] == [-9, -9, 0]
        assert len(view.log_lines()) == 3


STUBBORN = (
    BEGIN
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ignoring", flush=True)
time.sleep(600)
"""
)

LOOPING = BEGIN + "for step in run.steps(range(10**6)): time.sleep(0.02)\nprint('left in order')"


def running(where: str) -> bool:
    """Whether the run has begun."""
    try:
        with opened(where) as store:
            return only(store).status == "running"
    except (quark.SessionStoreError, ValueError):
        return False


def begun(script: str, where: str, *options: str, wanted: str = "") -> "subprocess.Popen[str]":
    """``quark run`` with a script whose run has begun."""
    command = [sys.executable, "-m", "quark.cli", "run", *options, "--", sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    wait_until(lambda: running(where))
    return process


def test_a_loop_that_follows_is_not_forced(where: str) -> None:
    """Within its grace period a run that is asked to stop ends by itself, in order."""
    process = begun(LOOPING, where)
    with opened(where) as store:
        view = only(store)
        view.stop(grace_period_s=60)
        printed, _ = process.communicate(timeout=60)
        assert (process.returncode, "left in order" in printed) == (0, True)
        assert (view.refresh().status, view.reason) == ("completed", "stop_requested")


def test_a_process_that_does_not_follow_is_ended(where: str) -> None:
    """Past the grace period it gets SIGTERM, then SIGKILL; the run reads interrupted and is not started again."""
    process = begun(STUBBORN, where, "--kill-after", "0.5", "--restarts", "3")
    with opened(where) as store:
        view = only(store)
        wait_until(lambda: any("ignoring" in line.payload["message"] for line in view.log_lines()))
        view.stop(grace_period_s=1)
        process.communicate(timeout=60)
        assert process.returncode == 137
        assert (view.refresh().status, view.reason, view.exit_code) == ("interrupted", "interrupted", -9)
        assert view.events("process_exited")[0].payload["enforced"]


def test_a_restart_from_afar(where: str) -> None:
    """``view.restart`` ends the process and starts it anew: the same run, its history kept."""
    script = BEGIN + "if run.manifest.attempt == 1: time.sleep(600)"
    process = begun(script, where)
    with opened(where) as store:
        view = only(store)
        view.restart(grace_period_s=20)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert (view.refresh().status, view.record.resume_count) == ("completed", 1)
        assert [event.payload["exit_code"] for event in view.events("process_exited")] == [-15, 0]


def test_a_run_without_a_launcher_cannot_be_restarted(folder: Path) -> None:
    """Nobody would do it, so the request is refused."""
    with quark.start_run(project="p") as run:
        run.flush()
        with opened() as store, pytest.raises(quark.InvalidRunStateError, match="quark run"):
            store.run(run.run_id).restart()


def test_a_signal_is_forwarded(folder: Path) -> None:
    """SIGTERM to the launcher ends the command, which ends its run; it is not started again."""
    process = begun(BEGIN + "time.sleep(600)", "folder", "--restarts", "3")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    with opened() as store:
        assert (only(store).status, only(store).reason) == ("interrupted", "interrupted")


def test_what_cannot_be_started(folder: Path) -> None:
    """A command that is not there exits 127 like in a shell, with its name; there is no run."""
    command = [sys.executable, "-m", "quark.cli", "run", "--", "no-such-command"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "no-such-command" in done.stderr) == (127, True)
    assert not (folder / ".quark" / "quark.db").exists()


def test_with_the_service_away_nothing_is_lost(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process whose service does not answer: sync delivers its records, its lines and its true end."""
    from .conftest import QuickService

    service = QuickService(tmp_path / "service")
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", service.url)
    monkeypatch.setenv("QUARK_USER_KEY", service.key)
    done = launch(BEGIN + "os._exit(9)", "--restarts", "1")
    assert (done.returncode, "quark sync" in done.stderr) == (9, True)
    try:
        service.start()
        assert sync(folder).problems == []
        with quark.connect() as store:
            view = only(store)
            assert (view.status, view.reason, view.exit_code, len(view.log_lines())) == ("failed", "error", 9, 2)
            assert len(view.series("loss", all_attempts=True)) == 2
    finally:
        service.stop(signal.SIGKILL)


def test_of_several_runs_none_is_overruled_by_the_exit_code(folder: Path) -> None:
    """A process that records several runs and fails does not say which of them failed: each keeps its own end."""
    second = "run.end_run()\nwith quark.start_run(project='second'): raise ValueError('no')"
    assert launch(BEGIN + second).returncode == 1
    with opened() as store:
        assert (only(store).status, only(store).exit_code, only(store, "second").status) == ("completed", 1, "failed")


def test_a_second_run_of_the_process_is_another_one(folder: Path) -> None:
    """The id that the launcher gives is for the first run that the command starts."""
    script = BEGIN + "run.finish('completed')\nwith quark.start_run(project='second') as other: pass"
    assert launch(script).returncode == 0
    with opened() as store:
        assert only(store).id != only(store, "second").id
        assert only(store, "second").status == "completed"


def test_at_a_terminal_the_command_has_a_terminal(folder: Path) -> None:
    """Where ours is a terminal the command's outputs are terminals of the same size, and bytes stay as they are."""
    import pty
    import termios

    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (33, 77))
    script = "import os, sys; print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size().columns)"
    command = [sys.executable, "-m", "quark.cli", "run", "--", sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    assert process.wait(60) == 0
    assert os.read(master, 1000) == b"True True 77\r\n"
    os.close(master)


def table() -> str:
    """The table as it stands in the documentation."""
    lines = ["| The process | exit code of `quark run` | Status | Reason |", "| --- | --- | --- | --- |"]
    lines += [f"| {way} | {code} | {status} | `{reason}` |" for way, (_, code, status, reason) in WAYS.items()]
    return "\n".join(lines) + "\n"


def test_the_documented_table_is_this_one() -> None:
    """docs/control.md shows exactly what is tested here."""
    assert table() in PAGE.read_text("utf-8"), "put this into docs/control.md:\n" + table()


def test_a_program_goes_on_from_its_last_whole_checkpoint(folder: Path) -> None:
    """The example dies half-way, is started again, and counts every step once."""
    example = Path(__file__).parents[2] / "examples" / "resume_from_checkpoint.py"
    command = [sys.executable, "-m", "quark.cli", "run", "--restarts", "1", "--", sys.executable, str(example)]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, "going on at step 20" in done.stdout) == (0, True), done.stderr
    with opened() as store:
        view = only(store, "resume-demo")
        assert (view.status, view.summary(), view.series("total").values[-1]) == ("completed", {"total": 50.0}, 50.0)
