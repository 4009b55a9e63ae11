"""The short way: functions that start a run and act on the current one."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, overload

from ..core.openruns import reopen_with
from ..errors import ClosedError, WrongTypeError
from ..records.event import EventRecord
from ..records.grammar import shown
from ..records.run import RunContext
from ..settings import setting
from .current import current_run, run_to_log_to
from .session import TrainingSession

logger = logging.getLogger("quark")

_warned: set[str] = set()


def start_run(
    *,
    project: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Iterable[str] | None = None,
    parent_run_id: str | None = None,
    storage_dir: str | Path | None = None,
    strict_mode: bool = False,
    name: str | None = None,
    run_id: str | None = None,
    trackers: Iterable[Any] | str = (),
    close_timeout_s: float | None = None,
    capture: bool | None = None,
    analyze: bool | None = None,
) -> TrainingSession:
    """Start a run and return its session; use it as a context manager.

    Args:
        project: name of the project; QUARK_PROJECT if omitted.
        config: the run's configuration, a JSON object; values that look like secrets are redacted.
        tags: tags of the run.
        parent_run_id: the run that this one was derived from.
        storage_dir: where the run is kept; QUARK_STORAGE_DIR or the working directory if omitted.
        strict_mode: raise on bad arguments of log calls instead of counting and warning.
        name: a name for people; one such as ``quiet-otter-4821`` is invented if omitted.
        run_id: the id of the run; made here if omitted.
        trackers: trackers and sinks to attach, or names of sinks such as ``"jsonl"``.
        close_timeout_s: seconds that the end waits for sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.
        capture: whether the run records system metrics, the diff to its commit, packages, the script and printed
            lines without being asked; what the QUARK_CAPTURE_ variables say if omitted.
        analyze: whether the run is analyzed when it ends, within a second at most; what QUARK_ANALYZE says if omitted.

    Raises:
        SchemaValidationError, WrongTypeError: an argument breaks a rule.
        RunNotFoundError: there is no run ``parent_run_id``.
        ConfigurationError: a tracker's name is not known.
    """
    from .start import begin

    return begin(
        project=project, config=config, tags=tags, parent_run_id=parent_run_id, storage_dir=storage_dir,
        strict_mode=strict_mode, name=name, run_id=run_id, trackers=trackers, close_timeout_s=close_timeout_s,
        capture=capture, analyze=analyze,
    )  # fmt: skip


def resume_run(
    *,
    run_id: str,
    storage_dir: str | Path | None = None,
    trackers: Iterable[Any] | str = (),
    close_timeout_s: float | None = None,
    completed: bool = False,
) -> TrainingSession:
    """Continue an interrupted or failed run as a new attempt.

    Args:
        run_id: the run.
        storage_dir, trackers, close_timeout_s: as of ``start_run``.
        completed: whether a completed run may be added to as well, such as by an evaluation of what it trained.

    Raises:
        RunNotFoundError: the store has no such run.
        InvalidRunStateError: the run is still running, or completed and may not be added to.
    """
    from .start import resume

    return resume(
        run_id=run_id, storage_dir=storage_dir, trackers=trackers, close_timeout_s=close_timeout_s, completed=completed
    )


def end_run(session: Any = None, status: str = "completed") -> RunContext:
    """End ``session``, or the current run, with ``status``.

    Raises:
        ClosedError: there is no current run.
    """
    return _session(session).end_run(status)


@overload
def add_tag(session: "TrainingSession | RunContext", tag: str) -> RunContext: ...
@overload
def add_tag(session: str, tag: None = None) -> RunContext | None: ...
def add_tag(session: Any, tag: str | None = None) -> RunContext | None:
    """Add a tag: ``add_tag(session, tag)``, or ``add_tag(tag)`` on the current run.

    Outside a run the tag is ignored, with one warning, and None is returned.
    """
    target, name = (None, session) if tag is None else (session, tag)
    run = run_for(target, "add_tag")
    return None if run is None else run.add_tag(name)


@overload
def add_log(session: "TrainingSession | RunContext", message: str, **details: Any) -> EventRecord: ...
@overload
def add_log(session: str, message: None = None, **details: Any) -> EventRecord | None: ...
def add_log(session: Any, message: str | None = None, **details: Any) -> EventRecord | None:
    """Record a log message: ``add_log(session, message, ...)``, or ``add_log(message, ...)`` on the current run.

    Outside a run the message is ignored, with one warning, and None is returned.
    """
    target, text = (None, session) if message is None else (session, message)
    run = run_for(target, "add_log")
    return None if run is None else run.add_log(text, **details)


def _reopened(context: RunContext) -> TrainingSession | None:
    from .stored import reopened

    return reopened(context)


reopen_with(_reopened)


def run_for(given: Any, what: str) -> TrainingSession | None:
    """The run that a call to ``what`` is meant for; None where there is none, which is warned about once."""
    try:
        return _session(given)
    except (ClosedError, WrongTypeError) as error:
        if what not in _warned and not setting("QUARK_DISABLE"):
            _warned.add(what)
            logger.warning("quark: %s is ignored: %s", what, error)
        return None


def _session(given: Any) -> TrainingSession:
    if isinstance(given, RunContext):
        from ..producers.attach import resolve_handle

        return resolve_handle(given)  # type: ignore[return-value]
    found = given if given is not None else run_to_log_to()
    if found is None:
        raise ClosedError("there is no current run; start one with start_run, or pass its session")
    if not callable(getattr(found, "add_log", None)):
        raise WrongTypeError(f"a TrainingSession or RunContext is needed, got {shown(found)}")
    return found


for _public in (start_run, resume_run, end_run, add_tag, add_log, current_run):
    _public.__module__ = "quark"
