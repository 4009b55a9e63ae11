"""The short analysis at the end of a run: what is stored of it is judged within a part of the time that it took."""

import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import QuarkError
from ..producers.events import log_event
from ..records.literals import ANALYZED
from ..settings import setting

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis
    from ..analysis.subject import StoredRun
    from .session import TrainingSession

SHARE = 0.05
LEAST_S, MOST_S = 0.05, 1.0
"""An analysis takes at most this share of the time of its run, but never less than the least nor more than the most."""

LOADING_S = 0.3
"""What it costs a process to load the modules that read a store: allowed once its runs have taken 20 times as long."""

LEAST_RECORDS = 20
"""A process that recorded less than this has nothing to be judged by."""

_NEEDED = ("numpy", "sqlalchemy")


def analyze_at_end(session: "TrainingSession", deadline: float, process_s: float) -> None:
    """Judge the run and record the outcome.

    Args:
        deadline: until when the store may take what is recorded.
        process_s: how long ago the first run of the process began.

    Not where the program has analyzed the run itself, little was recorded, or the store is in trouble.
    """
    worker, wanted = session._store_worker, session.analyze_at_end
    if not (setting("QUARK_ANALYZE") if wanted is None else wanted) or session.verdict is not None or worker is None:
        return
    if session.journal.next < LEAST_RECORDS or all(key.startswith("system/") for key in session.known_keys):
        return
    now = time.monotonic()
    allowed = min(MOST_S, max(LEAST_S, SHARE * session.elapsed_s))
    if not all(name in sys.modules for name in _NEEDED):
        if wanted is None and SHARE * process_s < LOADING_S:
            return
        allowed = min(MOST_S, allowed + LOADING_S)
    if worker.state == "retrying" or not session._delivery.flush(now + (deadline - now) / 2, [worker]):
        return
    attempt = _Attempt(session)
    attempt.start(allowed)
    if session._end_written:  # a signal came meanwhile
        return
    if attempt.error is not None:
        session.report("analysis", attempt.error)
    elif attempt.analysis is not None:
        _record(session, attempt.analysis)
    else:
        _say_not_analyzed(session, allowed)


class _OutOfTimeError(QuarkError):
    """The time for the analysis is over."""


class _Attempt:
    """The analysis on a thread of its own, which a slow store or much data may make late."""

    def __init__(self, session: "TrainingSession") -> None:
        self._session = session
        self._thread = threading.Thread(target=self._run, name="quark-analysis", daemon=True)
        self._until = 0.0
        self.analysis: Analysis | None = None
        self.error: BaseException | None = None

    def start(self, seconds: float) -> None:
        """Begin, and wait so long at most."""
        self._until = time.monotonic() + seconds
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is past starting threads
            return
        try:
            self._thread.join(seconds)
        finally:
            self._until = 0.0

    def _run(self) -> None:
        try:
            self.check()
            from ..analysis.stored import analyze_stored
            from ..analysis.subject import RunOfReader
            from ..records.thresholds import AnalyzerEngineConfig

            reader: Any = self._session._home.open(self._session.project_name)
            try:
                stored = _Bounded(RunOfReader(reader, self._session.run_id), self)
                analysis, _ = analyze_stored(stored, AnalyzerEngineConfig(), each=self.check)
            finally:
                reader.close()
            self.check()
            self.analysis = analysis
        except _OutOfTimeError:
            return
        except Exception as error:  # noqa: BLE001  a store that cannot be read keeps no run from its end
            self.error = error

    def check(self) -> None:
        """Go on only while somebody waits for the outcome."""
        if time.monotonic() >= self._until:
            raise _OutOfTimeError("the time for the analysis is over")


class _Bounded:
    """A stored run whose reading ends when the time is over."""

    def __init__(self, run: "StoredRun", attempt: _Attempt) -> None:
        self._run = run
        self._check = attempt.check

    def keys(self) -> list[str]:
        """See StoredRun."""
        self._check()
        return self._run.keys()

    def series(self, key: str, /) -> Any:
        """See StoredRun."""
        self._check()
        return self._run.series(key)

    def records(self, kind: str, /) -> Iterator[Any]:
        """See StoredRun."""
        return self._checked(self._run.records(kind))

    def items(self, kind: str, shape: type[Any], /) -> Iterator[Any]:
        """See StoredRun."""
        return self._checked(self._run.items(kind, shape))

    def _checked(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self._check()
            yield item


def _record(session: "TrainingSession", analysis: "Analysis") -> None:
    from ..analysis.engine import result_of
    from ..analysis.subject import Subject
    from ..records.analysis import AlertRecord, HealthScoreRecord

    result = Subject(session).keep(
        AlertRecord.kind, HealthScoreRecord.kind, replace=True, outcome=lambda emit: result_of(analysis, emit)
    )
    session.verdict = result.verdict


def _say_not_analyzed(session: "TrainingSession", seconds: float) -> None:
    text = f"Not analyzed: what was recorded could not be looked at within {seconds:.2g} s."
    verdict = {"text": text, "status": "not analyzed", "alerts": session.alerts}
    log_event(session, ANALYZED, payload={"verdict": verdict})
