"""A message to a chat when a run ends or something goes wrong in it."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState, StopReason, status_of
from ..core.sink import Sink
from ..errors import ConfigurationError
from ..records.line import Line
from ..records.literals import EVENT_SEVERITIES, AlertSeverity
from ..settings import setting
from .address import parse_address
from .post import WebhookError, post_json
from .wording import Told, body, duration, plain

logger = logging.getLogger("quark")

QUIET_S = 300.0
"""For so long after a rule's message its further alerts are only counted."""

_OCCASIONS = ("stop", "alert")


@dataclass(slots=True)
class _Window:
    """When a rule was last written about, and what has been held back since."""

    sent_at: float
    held: int = 0
    last: str = ""


class WebhookSink(Sink):
    """Posts ``{"text": ...}``, which Slack, Mattermost and their likes take, when a run ends and on alerts.

    A rule is written about at most once in five minutes; what came in between is summed up in one message afterwards.
    Events of severity error or above count as alerts. A message that the receiver refuses (status 3xx or 4xx, but not
    429) is given up with a warning; every other failure is tried again, so a message may come twice, never not at all.

    Args:
        url: where to post; default ``QUARK_WEBHOOK_URL``. A secret: it is in no log, error, repr or ``spec``.
            https, or http on this machine; never a link-local or metadata address. Redirects are not followed.
        on: ``stop``, ``alert`` or both.
        min_severity: the lowest severity of alerts that are sent.
        timeout_s: seconds for connecting, and for each part of the exchange.

    Raises:
        ConfigurationError: an option that cannot be used, or no URL.
    """

    name: ClassVar[str] = "webhook"

    def __init__(
        self, url: str | None = None, *, on: Sequence[str] = _OCCASIONS, min_severity: str = "warning",
        timeout_s: float = 10.0, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        what = "the url of WebhookSink" if url is not None else "QUARK_WEBHOOK_URL"
        url = url if url is not None else setting("QUARK_WEBHOOK_URL")
        if url is None:
            raise ConfigurationError("WebhookSink has no address; pass url=... or set QUARK_WEBHOOK_URL")
        self.on = (on,) if isinstance(on, str) else tuple(on)
        if not self.on or not set(self.on) <= set(_OCCASIONS):
            raise ConfigurationError(f"on must name some of {', '.join(_OCCASIONS)}, got {on!r}")
        if min_severity not in get_args(AlertSeverity):
            raise ConfigurationError(f"min_severity must be one of {get_args(AlertSeverity)}, got {min_severity!r}")
        if not 0 < timeout_s <= 600:
            raise ConfigurationError(f"timeout_s must be above 0 and at most 600 seconds, got {timeout_s!r}")
        self.min_severity = min_severity
        self.timeout_s = timeout_s
        self._address = parse_address(url, what)
        self._monotonic = monotonic
        self._told = Told()
        self._silent = False
        self._ended = False
        self._windows: dict[str, _Window] = {}
        self._next: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"WebhookSink(on={self.on!r}, min_severity={self.min_severity!r})"

    def on_start(self, manifest: RunManifest) -> None:
        """Learn the run's name; other ranks than 0 send nothing."""
        self._silent = manifest.rank != 0
        self._told.run_id, self._told.name, self._told.project = manifest.run_id, manifest.name, manifest.project
        self._told.started_at = manifest.started_at or None

    def write(self, batch: RecordBatch) -> None:
        """Send what the batch gives reason to.

        Raises:
            WebhookError: the receiver could not be reached or wants to be asked again later.
        """
        if self._silent:
            return
        self._send_held()
        writer_id = batch.origin.writer_id
        first = self._next.get(writer_id, 0)
        for line in batch.lines():
            if line.sequence >= first:
                self._told.feed(line)
                self._consider(line)
                self._next[writer_id] = line.sequence + 1  # line by line: a retry must not send the first ones again

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """Send how the run ended, unless its own last line had that done already."""
        if not self._silent and not self._ended:
            self._told.status, self._told.reason = status_of(reason), reason
            self._send_end()

    def spec(self) -> dict[str, Any]:
        """The options without the address, which comes from ``QUARK_WEBHOOK_URL`` then."""
        return {"on": list(self.on), "min_severity": self.min_severity, "timeout_s": self.timeout_s}

    def _consider(self, line: Line) -> None:
        if line.kind == "run":
            if line.label == "resume":
                self._ended = False
            elif line.label == "end":
                self._send_end()
        elif line.kind in ("alert", "event") and "alert" in self.on:
            self._consider_alert(line)

    def _consider_alert(self, line: Line) -> None:
        said = body(line)
        severity = said.get("severity")
        least = self.min_severity if line.kind == "alert" else max(self.min_severity, "error", key=_rank)
        if severity not in EVENT_SEVERITIES or _rank(severity) < _rank(least):
            return
        words = f"{severity}: {_what(line, said)}"
        now = self._monotonic()
        rule = f"{line.kind} {line.label}"
        window = self._windows.get(rule)
        if window is not None and now - window.sent_at < QUIET_S:
            window.held += 1
            window.last = words
            return
        self._send(f"{self._whose()} {words}")
        self._windows.pop(rule, None)
        if len(self._windows) >= 1000:
            del self._windows[next(iter(self._windows))]
        self._windows[rule] = _Window(now)

    def _send_held(self) -> None:
        """Sum up what rules had to say in their quiet time, once that is over."""
        now = self._monotonic()
        for window in self._windows.values():
            if window.held and now - window.sent_at >= QUIET_S:
                self._send(f"{self._whose()} {window.held} more of these, the last one: {window.last}")
                window.sent_at, window.held = now, 0

    def _send_end(self) -> None:
        if "stop" in self.on and not self._ended:
            self._send(self._end_text())
        self._ended = True

    def _end_text(self) -> str:
        told = self._told
        words = f"{self._whose()} {plain(told.status)}"
        if told.reason and told.reason != told.status:
            words += f" ({plain(told.reason)})"
        if told.elapsed_s is not None:
            words += f" after {duration(told.elapsed_s)}"
        if told.step is not None:
            words += f", step {told.step}"
        held = [f"{window.held} more like this: {window.last}" for window in self._windows.values() if window.held]
        return "\n".join([words, ", ".join(told.latest()), *held]).strip()

    def _whose(self) -> str:
        return f"{plain(self._told.project)}: run {self._told.title}"

    def _send(self, text: str) -> None:
        status = post_json(self._address, {"text": _escaped(text)}, self.timeout_s)
        if 300 <= status < 500 and status not in (408, 425, 429):
            logger.warning(
                "quark: the webhook refused a message with status %d; it is not sent again, check the address", status
            )
        elif not 200 <= status < 300:
            raise WebhookError(f"the webhook answered {status}; the message is sent again")


def _what(line: Line, said: dict[str, Any]) -> str:
    where = f" at step {line.step}" if line.step is not None else ""
    payload = said.get("payload")
    text = said.get("title") if line.kind == "alert" else payload.get("message") if isinstance(payload, dict) else None
    return plain(line.label or line.kind) + where + (f": {plain(text)}" if text else "")


def _rank(severity: str) -> int:
    return EVENT_SEVERITIES.index(severity)


def _escaped(text: str) -> str:
    """Chat markup as plain text, so that no name of a metric calls everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
