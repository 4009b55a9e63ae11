"""What a run records without being asked, beside the training: on a thread that ends soon, and on the journal's own."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.openruns import is_open
from ...delivery.threads import start_thread
from ...errors import QuarkError
from ...records.foreign import described
from ...settings import setting
from ..git import Repository, find_repository
from .machine import MachineMetrics
from .output import PrintedOutput, open_output
from .packages import installed_packages
from .script import notebook_text, script_key, script_path, script_text

if TYPE_CHECKING:
    from ..session import TrainingSession

KIND = "environment"
"""The type of the artifacts, and the first part of their keys."""

SETTLE_S = 0.1
"""The thread begins after this pause, or at the end of a run that is shorter: the first steps have the processor."""

CLOSE_S = 1.0
CANCEL_S = 0.5
"""The end of a run waits so long for what is being captured, and then so long for Git to be killed."""

REUSED_S = 60.0
"""Runs that follow each other in a process share what was found that recently."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be captured."""

    diff: bool
    packages: bool
    script: bool
    system: bool
    output: bool

    @classmethod
    def from_settings(cls, rank: int, parent_run_id: str | None = None) -> "Wanted":
        """What the variables say. The code is captured once: by rank 0 of a job, and by the parent of nested runs."""
        first, lines = rank == 0, setting("QUARK_CAPTURE_OUTPUT")
        code = first and not (parent_run_id is not None and is_open(parent_run_id))
        return cls(
            diff=code and setting("QUARK_CAPTURE_DIFF"), packages=code and setting("QUARK_CAPTURE_PACKAGES"),
            script=code and setting("QUARK_CAPTURE_SCRIPT"), system=setting("QUARK_CAPTURE_SYSTEM"),
            output=lines == "all" or (first and lines == "1"),
        )  # fmt: skip


ALL = Wanted(diff=True, packages=True, script=True, system=True, output=True)


class Capture:
    """Records for one run what nobody logs by hand. Nothing of it raises, and the training waits for none of it."""

    def __init__(self, session: "TrainingSession", wanted: Wanted) -> None:
        self._session = session
        self._wanted = wanted
        self._machine = MachineMetrics(session) if wanted.system else None
        self._output: PrintedOutput | None = None
        self._hurry = threading.Event()
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._work, name="quark-capture", daemon=True)

    def start(self) -> None:
        """Begin, if the system gives a thread for it."""
        if self._wanted.output:
            self._output = open_output(self._session)
        if self._wanted.diff or self._wanted.packages or self._wanted.script:
            start_thread(self._thread, self._session.report)

    def tick(self) -> None:
        """Several times a second, on the journal's thread."""
        if self._output is not None:
            self._output.write()
        if self._machine is not None:
            self._machine.tick()

    def close(self) -> None:
        """The run ends: what is under way is waited for, but not long."""
        if self._output is not None:
            self._output.close()
        self._hurry.set()
        if self._wanted.script:
            self._try(self._keep_notebook)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            self._cancelled.set()
            self._thread.join(CANCEL_S)

    def cancel(self) -> None:
        """The process ends by a signal: its two seconds are for what is recorded already."""
        self._cancelled.set()
        self._hurry.set()

    def after_fork_in_child(self) -> None:
        """A forked child records nothing."""
        if self._output is not None:
            self._output.abandon()

    def _work(self) -> None:
        self._hurry.wait(SETTLE_S)
        steps = ((self._wanted.script, self._keep_script), (self._wanted.packages, self._keep_packages),
                 (self._wanted.diff, self._keep_changes))  # fmt: skip
        for wanted, step in steps:
            if wanted and not self._cancelled.is_set():
                self._try(step)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  whatever a file system holds, the run goes on
            self._session.report("capture", f"{step.__name__.removeprefix('_')}: {described(error)}")

    def _store(self, name: str, text: str, metadata: dict[str, Any] | None = None) -> None:
        from ...producers.artifacts import ArtifactStore

        if self._cancelled.is_set():  # the run did not wait any longer, and may have ended
            return
        ArtifactStore(self._session).store(KIND, name, text, namespace=KIND, metadata=metadata)

    def _keep_script(self) -> None:
        path = script_path()
        text = None if path is None else script_text(path)
        if path is not None and text is not None:
            self._store(f"script/{script_key(path)}", text, {"path": path})

    def _keep_packages(self) -> None:
        lines = _recent("packages", None, installed_packages)
        self._store("packages", "\n".join([*lines, ""]), {"count": len(lines)})

    def _keep_changes(self) -> None:
        from .changes import ChangesError, uncommitted_changes

        repository = find_repository()
        if repository is None:
            return
        try:
            changes = _recent("changes", repository, lambda: uncommitted_changes(repository, self._cancelled))
        except (ChangesError, OSError) as error:
            self._learned(repository, {"changes": {"error": described(error)}})
            return
        if changes.files or changes.untracked:
            self._store("changes", changes.patch, {"commit": repository.commit, **changes.summary()})
        self._learned(repository, {"dirty": changes.files > 0, "changes": changes.summary()})

    def _learned(self, repository: Repository, news: dict[str, Any]) -> None:
        known = self._session.context.run.environment.get("git")
        if isinstance(known, dict) and known.get("commit") == repository.commit:
            self._session.learned_of_environment({"git": {**known, **news}})

    def _keep_notebook(self) -> None:
        text = notebook_text()
        if text is not None:
            self._store("script/notebook", text)


_found: dict[str, tuple[float, Any, Any]] = {}


def _recent(what: str, of: Any, find: Callable[[], Any]) -> Any:
    """What was found less than a minute ago, of the same thing; else what is found now."""
    now = time.monotonic()
    found_at, subject, result = _found.get(what, (0.0, None, None))
    if found_at and now - found_at < REUSED_S and subject == of:
        return result
    result = find()
    _found[what] = (now, of, result)
    return result


def start_capture(session: "TrainingSession", wanted: bool | None = None) -> None:
    """Let a run that has just begun record what is wanted: everything, nothing, or what the settings say.

    It never raises.
    """
    if wanted is False:
        return
    try:
        what = ALL if wanted else Wanted.from_settings(session.rank, session.context.run.parent_run_id)
        capture = Capture(session, what)
        session.attach(capture)
        session.capture = capture
        capture.start()
    except QuarkError as error:  # a setting that cannot be read
        session.report("capture", error)
