"""How a run is put into words: what its lines said so far, numbers and durations for people, text without tricks."""

import re
from typing import Any

import msgspec

from ..records.base import parse_timestamp
from ..records.line import WIDE, Line
from ..records.naming import METRIC, NAME

MAX_KEYS = 10_000
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_SPACES = re.compile(r" {2,}")


def plain(text: object, limit: int = 300) -> str:
    """Text on one line: no control characters, no terminal escapes, no marks that turn the direction of writing."""
    made = _SPACES.sub(" ", _UNSEEN.sub(" ", str(text))).strip()
    return made if len(made) <= limit else made[: limit - 1] + "…"


def number(value: float) -> str:
    """A value with four digits that count."""
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """A span of time, such as ``42 s``, ``3 min 20 s`` or ``5 h 02 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def body(line: Line) -> dict[str, Any]:
    """The body of a line; empty if it has none that can be read."""
    try:
        made = msgspec.json.decode(line.body) if line.body else {}
    except msgspec.DecodeError:
        return {}
    return made if isinstance(made, dict) else {}


class Told:
    """What the lines of a run have told so far.

    Attributes:
        values: the latest value of each metric by name, in the order in which the names first came.
        names: the name of each metric key that is not a name itself.
        status, reason: how it ended; None while it runs.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self.name: str | None = None
        self.project = ""
        self.started_at: str | None = None
        self.ended_at: str | None = None
        self.status: str | None = None
        self.reason: str | None = None
        self.step: int | None = None
        self.epoch: int | None = None
        self.values: dict[str, float] = {}
        self.names: dict[str, str] = {}

    @property
    def title(self) -> str:
        """The run by name and id."""
        return plain(f"{self.name} ({self.run_id})" if self.name else self.run_id)

    @property
    def elapsed_s(self) -> float | None:
        """Seconds from start to end; None while one of them is unknown."""
        if not self.started_at or not self.ended_at:
            return None
        return (parse_timestamp(self.ended_at) - parse_timestamp(self.started_at)) / 1e9

    def feed(self, line: Line) -> None:
        """Take a line of the run."""
        if line.kind == "metric":
            self._value(line.metric_key or "", line.value)
        elif line.kind == WIDE:
            for key, value in (line.values or {}).items():
                self._value(key, value)
        elif line.kind == "run":
            self._lifecycle(line.label, body(line))
            return
        self.step = line.step if line.step is not None else self.step
        self.epoch = line.epoch if line.epoch is not None else self.epoch

    def latest(self, keys: tuple[str, ...] | None = None, limit: int = 6) -> list[str]:
        """``name value`` for the chosen metrics, by name or key, all by default; past the limit only their number."""
        wanted = self.values if keys is None else (self.names.get(key, key) for key in keys)
        chosen = [key for key in wanted if key in self.values]
        words = [f"{plain(key, 80)} {number(self.values[key])}" for key in chosen[:limit]]
        return [*words, f"+{len(chosen) - limit} more"] if len(chosen) > limit else words

    def _value(self, key: str, value: float | None) -> None:
        key = self.names.get(key, key)
        if value is not None and (key in self.values or len(self.values) < MAX_KEYS):
            self.values[key] = value

    def _lifecycle(self, action: str | None, said: dict[str, Any]) -> None:
        if action == "start":
            run, project = said.get("run") or {}, said.get("project") or {}
            self.run_id = run.get("id") or self.run_id
            self.name = run.get("name") or self.name
            self.project = project.get("name") or self.project
            self.started_at = run.get("started_at") or self.started_at
        elif action == NAME and said.get("of") == METRIC and len(self.names) < MAX_KEYS:
            self.names[str(said.get("key"))] = str(said.get("name"))
        elif action == "resume":
            self.status = self.reason = self.ended_at = None
        elif action == "end":
            self.status, self.reason = said.get("status"), said.get("reason")
            self.ended_at = said.get("ended_at")
