"""LiveAnalyzer: the rules over a run while it trains, on a thread of their own; alerts within steps of the onset."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, get_args

from ..core.batch import RecordBatch
from ..core.handle import RunHandle
from ..core.lifecycle import RunManifest
from ..core.sink import Sink
from ..errors import ClosedError, ConfigurationError, QuarkError, WrongTypeError
from ..records.analysis import AlertRecord
from ..records.event import EventRecord
from ..records.grammar import shown
from ..records.line import Line
from ..records.literals import AlertSeverity
from ..records.thresholds import AnalyzerEngineConfig, PhaseAnalyzerConfig
from .analysis import Analysis
from .engine import checked_config, concluded
from .frames import Frame, Framer
from .phases.analyzer import PhaseAnalysisResult
from .phases.following import PhaseFollower
from .rules import Finding
from .rules.base import SEVERITIES, alert_fields
from .stored import stored_frames
from .subject import RunOfReader, Unkept
from .verdict import UNKNOWN

logger = logging.getLogger("quark")

SETTLE_S = 5.0
"""At the end of a run it waits so long at most for the rules to see the last records."""

KEPT_ALERTS = 1000


def _made(cls: "type[LiveAnalyzer]", options: dict[str, Any]) -> "LiveAnalyzer":
    return cls(**options)


class LiveAnalyzer(Sink):
    """A tracker that says what goes wrong while it goes wrong: ``run.add_tracker(LiveAnalyzer())``.

    It runs on a worker of its own, as every sink does: the training thread does nothing for it. Each alert becomes a
    record of the run, a line in the log of the logger ``quark``, a mark in the progress bar, a message of a
    WebhookSink if there is one, and a call of ``on_alert``. An alert that grows worse is said again with its new
    severity; after a resume no alert is repeated. When the run ends its health scores are recorded.

    The phases of the run are looked for anew whenever the loss has an eighth more values. They become records of the
    run, in the place of those before, when one is added, is named otherwise or has moved by a twentieth of the run; and
    at the end.

    Args:
        on_alert: called with every AlertRecord, on the worker's thread.
        stop_on: the severity from which an alert asks the loop over ``steps`` to end; None: never. The event
            ``stop_requested`` says which rule it was.
        config: limits, names of metrics, silenced rules; the defaults if omitted.
        log_from: the lowest severity that is logged.
        phases: limits and names of metrics for the phases, or whether to look for them at all. With
            ``replace_existing_outputs=False`` they are recorded only once, at the end, beside those that are there.

    Attributes:
        alerts: the latest alerts, at most 1000.
        phases: the PhaseAnalysisResult of the last look.

    Raises:
        ConfigurationError: a severity or a silenced rule that does not exist.
        WrongTypeError: ``on_alert`` cannot be called, or ``config`` or ``phases`` is of a wrong type.
    """

    name: ClassVar[str] = "live-analyzer"

    def __init__(
        self, *, on_alert: Callable[[AlertRecord], Any] | None = None, stop_on: AlertSeverity | None = None,
        config: AnalyzerEngineConfig | None = None, log_from: AlertSeverity = "warning",
        phases: PhaseAnalyzerConfig | bool = True,
    ) -> None:  # fmt: skip
        if on_alert is not None and not callable(on_alert):
            raise WrongTypeError(f"on_alert must be a function of one alert, got {shown(on_alert)}")
        for name, value in (("stop_on", stop_on), ("log_from", log_from)):
            if value not in get_args(AlertSeverity) and not (name == "stop_on" and value is None):
                raise ConfigurationError(f"{name} must be one of {', '.join(SEVERITIES)}, got {value!r}")
        if not isinstance(phases, PhaseAnalyzerConfig | bool):
            raise WrongTypeError(f"phases must be a PhaseAnalyzerConfig or a bool, got {shown(phases)}")
        self._follower: PhaseFollower | None = None
        if phases is not False:
            self._follower = PhaseFollower(PhaseAnalyzerConfig() if phases is True else phases)
        self.phases = PhaseAnalysisResult(abstention="too little is recorded yet")
        self._options = {
            "on_alert": on_alert, "stop_on": stop_on, "config": config, "log_from": log_from, "phases": phases
        }  # fmt: skip
        self._on_alert = on_alert
        self._stop_on = None if stop_on is None else SEVERITIES.index(stop_on)
        self._log_from = SEVERITIES.index(log_from)
        self._config = checked_config(config)
        self._analysis = Analysis(self._config)
        self._framers: dict[str, Framer] = {}
        self._next: dict[str, int] = {}
        self._handle: RunHandle | None = None
        self._settle: Callable[[float], bool] | None = None
        self._emit: Any = None
        self._unkept: Any = Unkept("")
        self._attempt = 1
        self._told: set[tuple[str, int | None, str, str | None]] = set()
        self._lock = threading.Lock()
        self._over = False
        self.alerts: deque[AlertRecord] = deque(maxlen=KEPT_ALERTS)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self._options)  # in another process it begins afresh, as a copy does

    def __repr__(self) -> str:
        return f"LiveAnalyzer({len(self.alerts)} alerts)"

    def joined(self, run: RunHandle, settle: Callable[[float], bool]) -> None:
        """Remember where alerts go, and speak once more before the run ends."""
        self._handle, self._settle = run, settle
        self._emit = run.emit
        run.attach(_Ending(self))

    def on_start(self, manifest: RunManifest) -> None:
        """Begin; after a resume with all that earlier attempts recorded."""
        if self._emit is None:
            self._emit = Unkept(manifest.run_id)
        self._unkept = Unkept(manifest.run_id)
        self._attempt = manifest.attempt
        if self._handle is not None and manifest.attempt > 1 and not self._next:
            with self._lock:
                self._catch_up(self._handle)

    def _catch_up(self, run: RunHandle) -> None:
        """Feed earlier attempts; alerts that were recorded then are not said again."""
        reader = run.reader()
        self._analysis = Analysis(self._config)
        for record in reader.records(run.run_id, AlertRecord.kind):
            if isinstance(record, AlertRecord):
                self._told.add((record.rule_id, record.step_start, record.severity, record.subject))
        stored = RunOfReader(reader, run.run_id)
        for frame in stored_frames(stored, self._analysis, before=self._attempt):
            for finding in self._analysis.feed(frame):
                self._say(finding)
        if self._follower is not None:
            self._follower.catch_up(stored, before=self._attempt)

    def position(self, writer_id: str) -> int:
        """The number that follows the writer's last record that the rules saw."""
        return self._next.get(writer_id, 0)

    def write(self, batch: RecordBatch) -> None:
        """Show the rules a batch."""
        origin = batch.origin
        with self._lock:
            framer = self._framers.get(origin.writer_id)
            if framer is None:
                framer = self._framers[origin.writer_id] = Framer(origin.rank)
            reached = self._next.get(origin.writer_id, 0)
            if origin.attempt >= self._attempt:
                for line in batch.lines():
                    if line.sequence >= reached:
                        self._take(framer, line)
            self._next[origin.writer_id] = max(reached, batch.stop)
            if self._follower is not None and self._follower.due:
                self._look(self._follower)

    def _take(self, framer: Framer, line: Line) -> None:
        frame = framer.line(line)
        if frame is not None:
            self._feed(frame)

    def idle(self) -> None:
        """Nothing comes: the rules may find that strange."""
        with self._lock:
            if not self._over:
                for finding in self._analysis.tick(time.time_ns()):
                    self._say(finding)

    def _look(self, follower: PhaseFollower, *, ended: bool = False) -> None:
        """Look for the phases, and record them if they are news."""
        try:
            follower.look()
            if follower.news(ended=ended):
                self.phases = follower.write(self._emit, self._discard, going=not ended)
            else:
                self.phases = follower.result(self._unkept, going=not ended)
        except ClosedError:
            return
        except Exception as error:  # noqa: BLE001  a defect of the phases must not silence the rules
            self._follower = None
            self._report("phases", error)

    def _discard(self, kind: str) -> None:
        if self._handle is not None:
            self._handle.lifecycle("discard", {"kind": kind})

    def _feed(self, frame: Frame) -> None:
        if self._follower is not None:
            self._follower.feed(frame)
        for finding in self._analysis.feed(frame):
            self._say(finding)

    def _say(self, finding: Finding) -> None:
        mark = (finding.rule_id, finding.step_start, finding.severity, finding.subject)
        if mark in self._told:
            return
        self._told.add(mark)
        fields = alert_fields(finding)
        try:
            alert: AlertRecord = self._emit(AlertRecord, fields, step=finding.step_start, epoch=finding.epoch)
        except ClosedError:
            return
        self.alerts.append(alert)
        rank = SEVERITIES.index(finding.severity)
        if rank >= self._log_from:
            logger.warning("quark: %s: %s (step %s)", alert.severity, alert.title, alert.step_start)
        if self._on_alert is not None:
            try:
                self._on_alert(alert)
            except Exception as error:  # noqa: BLE001  what a callback raises must end neither the rules nor the run
                self._report("on_alert", error)
        if self._stop_on is not None and rank >= self._stop_on:
            self._stop(alert)

    def _stop(self, alert: AlertRecord) -> None:
        stop = getattr(self._handle, "stop", None)
        if self._handle is None or stop is None or getattr(self._handle, "stop_requested", False):
            return
        stop()
        payload = {"rule_id": alert.rule_id, "alert_id": alert.id, "message": f"stopped by an alert: {alert.title}"}
        self._emit(EventRecord, {"event_type": "stop_requested", "severity": "warning", "payload": payload})

    def _report(self, cause: str, error: BaseException) -> None:
        if self._handle is not None:
            self._handle.report(f"live_analyzer_{cause}", error)

    def finish(self) -> None:
        """The run ends: see the last records, say the last alerts, and score the run."""
        if self._settle is not None:
            self._settle(SETTLE_S)
        with self._lock:
            if self._over:
                return
            self._over = True
            for framer in self._framers.values():
                last = framer.close()
                if last is not None:
                    self._feed(last)
            if self._follower is not None:
                self._look(self._follower, ended=True)
            try:
                verdict = concluded(self._analysis, list(self.alerts), self._emit).verdict
                if self._handle is not None and verdict.status != UNKNOWN:  # by what is stored more may be known
                    self._handle.verdict = verdict  # type: ignore[attr-defined]
            except QuarkError as error:
                self._report("health_scores", error)


class _Ending:
    """What the run closes when it ends, while records are still taken."""

    def __init__(self, analyzer: LiveAnalyzer) -> None:
        self._analyzer = analyzer

    def close(self) -> None:
        self._analyzer.finish()


LiveAnalyzer.__module__ = "quark"
