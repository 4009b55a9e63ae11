"""Starts a command again and again until it is done, and writes down the truth about every attempt."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import QuarkError
from ..session.capture.lines import PrintedLines
from ..session.checks import check_project, run_id_from
from ..session.identity import new_run_id
from ..session.launched import TAKEN_VARIABLE
from ..settings import setting
from .child import ENDING, FORWARDED, Child, NotStartedError
from .listening import Listening
from .note import RunNote, read_note, there_are_others
from .record import LaunchRecord, note_of_bare_run
from .streams import Stream

logger = logging.getLogger("quark")

LOOK_S = 0.1
RESTART_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: the exit code as the system gives it, negative for a signal, and whether to go on."""

    code: int
    again: bool

    @property
    def shell_code(self) -> int:
        """The exit code as a shell tells it: 128 and the signal's number."""
        return self.code if self.code >= 0 else 128 - self.code


class Launcher:
    """``quark run``.

    Args:
        command: the command and its arguments.
        restarts: how often it is started again when it fails by itself.
        kill_after_s: seconds between SIGTERM and SIGKILL where a stop is enforced.
        project, storage_dir: of the run that is made for a command that starts none.
    """

    def __init__(
        self, command: Sequence[str], *, restarts: int = 0, kill_after_s: float = 10.0, project: str | None = None,
        storage_dir: Path | None = None,
    ) -> None:  # fmt: skip
        self.command = list(command)
        self._restarts = restarts
        self.kill_after_s = kill_after_s
        named = project or setting("QUARK_PROJECT")
        self.project = None if named is None else check_project(named)
        self.storage_dir = storage_dir
        given = run_id_from("QUARK_RUN_ID")
        self.run_id = new_run_id() if given in (None, os.environ.get(TAKEN_VARIABLE)) else given
        self._signals: list[int] = []
        self._resized = False
        self.told_to_end = False

    def run(self) -> int:
        """Run the command to its last end.

        Returns:
            Its exit code; 128 and the signal's number if a signal killed it; 126 or 127 if it could not be started.
        """
        previous = self._take_signals()
        try:
            with tempfile.TemporaryDirectory(prefix="quark-run-") as directory:
                return self._attempts(Path(directory))
        except NotStartedError as error:
            logger.warning("quark: %s", error)
            return error.shell_code
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _attempts(self, directory: Path) -> int:
        attempt = setting("QUARK_RUN_ATTEMPT")
        while True:
            one = _Attempt(self, directory / f"run-{attempt}.json", attempt)
            outcome = one.run()
            attempt = one.number + 1
            if not outcome.again and (outcome.code == 0 or self.told_to_end or self._restarts <= 0):
                return outcome.shell_code
            if not outcome.again:
                self._restarts -= 1
                time.sleep(RESTART_PAUSE_S)

    def _take_signals(self) -> dict[int, Any]:
        previous = {getattr(signal, name): None for name in (*FORWARDED, "SIGWINCH") if hasattr(signal, name)}
        return {number: signal.signal(number, self._on_signal) for number in previous}

    def _on_signal(self, number: int, frame: object) -> None:
        if number == getattr(signal, "SIGWINCH", None):
            self._resized = True
        else:
            self._signals.append(number)

    def pass_signals(self, child: Child) -> None:
        """Give the command the signals that came to us, but a Ctrl-C of the terminal, which it got already."""
        while self._signals:
            number = self._signals.pop(0)
            self.told_to_end = self.told_to_end or number in ENDING
            if not (child.at_terminal and number in (signal.SIGINT, signal.SIGQUIT)):
                child.send(number)
        if self._resized:
            self._resized = False
            child.resize()


class _Attempt:
    """One process of the command."""

    def __init__(self, launcher: Launcher, note_path: Path, number: int) -> None:
        self._launcher = launcher
        self._note_path = note_path
        self.number = number
        self._lines = PrintedLines(setting("QUARK_LOG_LINES"))
        self._record: LaunchRecord | None = None
        self._listening: Listening | None = None
        self._started_ns = time.time_ns()
        self._term_at: float | None = None
        self._kill_at: float | None = None
        self._enforced = False
        self._again = False
        self._unrecordable = False

    def run(self) -> Outcome:
        """From the start of the process to the last line of its record."""
        streams = [Stream(name, number, self._lines.put) for name, number in (("stdout", 1), ("stderr", 2))]
        child = Child(self._launcher.command, self._environment(), streams)
        while (code := child.wait(LOOK_S)) is None:
            self._launcher.pass_signals(child)
            self._look()
            self._enforce(child)
        if self._listening is not None:
            self._listening.end()
        child.drain()
        try:
            self._write_end(code)
        except (QuarkError, OSError) as error:
            logger.warning("quark: how the command ended could not be recorded: %s", error)
        return Outcome(code, self._again)

    def _environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != TAKEN_VARIABLE}
        return {
            "PYTHONUNBUFFERED": "1", **inherited, "QUARK_RUN_ID": self._launcher.run_id,
            "QUARK_RUN_FILE": str(self._note_path), "QUARK_RUN_ATTEMPT": str(self.number),
        }  # fmt: skip

    def _look(self) -> None:
        """Find out whether the command has started its run by now; write down what it printed."""
        if self._record is None:
            note = None if self._unrecordable else read_note(self._note_path)
            if note is None:
                return
            try:
                self._open(note)
            except (QuarkError, OSError) as error:  # the command runs all the same
                self._unrecordable = True
                logger.warning("quark: what the command prints cannot be recorded: %s", error)
        if self._record is not None:
            self._record.lines(self._lines.take())

    def _open(self, note: RunNote) -> None:
        self.number = note.attempt
        record = self._record = LaunchRecord(note, started_ns=self._started_ns)
        every_s = setting("QUARK_HEARTBEAT_INTERVAL")
        if every_s > 0:
            self._listening = Listening(
                note.run_id, record.home, min(every_s, 2.0) if note.home["kind"] == "store" else every_s
            )
            self._listening.start()

    def _enforce(self, child: Child) -> None:
        """A stop is the session's to follow until its time is up; to start anew is ours."""
        now = time.monotonic()
        heard = None if self._listening is None else self._listening.heard
        if heard is not None and self._kill_at is None:
            if heard.restart_requested_at is not None:
                self._again = True
                self._term_at, self._kill_at = now, now + (heard.restart_grace_s or 0)
            elif heard.stop_requested_at is not None:
                term_at = now + (heard.stop_grace_s or 0)
                self._term_at, self._kill_at = term_at, term_at + self._launcher.kill_after_s
        if self._kill_at is None or self._term_at is None:
            return
        if not self._enforced and now >= self._term_at:
            self._enforced = True
            self._launcher.told_to_end = self._launcher.told_to_end or not self._again
            child.send(signal.SIGTERM)
        if now >= self._kill_at:
            self._kill_at = float("inf")
            child.kill()

    def _write_end(self, code: int) -> None:
        launcher = self._launcher
        note = read_note(self._note_path)
        if self._record is None:
            where = note or note_of_bare_run(launcher.run_id, self.number, launcher.project, launcher.storage_dir)
            self.number = where.attempt
            self._record = LaunchRecord(where, started_ns=self._started_ns)
        record = self._record
        if note is None:
            record.start_bare(launcher.command, self._started_ns)
        record.lines(self._lines.take_last())
        if self._lines.dropped:
            record.event("log_lines_dropped", "warning", {"count": self._lines.dropped})
        name = signal.Signals(-code).name if code < 0 else None
        failed = code != 0 and not (self._enforced or launcher.told_to_end)
        exit_of = {"exit_code": code, "signal": name, "attempt": self.number, "enforced": self._enforced}
        record.event("process_exited", "error" if failed else "info", exit_of)
        record.ended(self._reason(code), overrules=code > 0 and not there_are_others(self._note_path))
        for problem in record.close().problems:
            logger.warning("quark: not all is delivered yet, try later: quark sync (%s)", problem)

    def _reason(self, code: int) -> str:
        if code == 0:
            return "completed"
        if self._enforced or self._launcher.told_to_end or -code in ENDING:
            return "interrupted"
        return "lost" if code < 0 else "error"
