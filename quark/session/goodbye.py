"""The last lines of a run in a terminal: how it ended, what is wrong, what was best, where it is and what to type."""

import shlex
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.best import BestValue, best_of
from ..analysis.roles import ACCURACY, VALIDATION_ACCURACY, VALIDATION_LOSS, role_of
from ..core.direction import direction_of
from ..core.reader import StoreReader
from ..drawing.elapsed import elapsed_s
from ..records.naming import METRIC, NONFINITE
from ..sinks.wording import duration, number, plain
from .finding import directory_option

if TYPE_CHECKING:
    from .session import TrainingSession

READ_S = 2.0
"""How long the end of a run waits for its best values."""

LONGEST = 500
"""Characters of the verdict."""

SHOWN = 3
MOST_POINTS = 2_000_000
"""Metric points of a run up to which its best values are looked for."""

_RANKS = {VALIDATION_ACCURACY: 0, VALIDATION_LOSS: 1, ACCURACY: 2}
_UNKNOWN_RANK = 3
_USUAL = {"completed": "completed", "failed": "error", "interrupted": "interrupted"}


def say_goodbye(session: "TrainingSession", *, stored: bool) -> None:
    """Print the lines to stderr; ``stored``: the store has everything, so the best values can be read there."""
    found = _Found()
    if stored:
        reading = threading.Thread(target=found.read, args=(session,), name="quark-goodbye", daemon=True)
        reading.start()
        reading.join(READ_S)
    lines = [_how_it_ended(session), *_what_is_wrong(session), *found.lines(), _where_it_is(session, found.alone)]
    try:
        sys.stderr.write("".join(f"quark: {line}\n" for line in lines))
        sys.stderr.flush()
    except Exception:  # noqa: BLE001  stderr may be closed, None or anything else
        return


class _Found:
    """What the store says of a run: read on a thread of its own, which may be late."""

    def __init__(self) -> None:
        self.alone = False
        self._best: tuple[BestValue, ...] = ()

    def lines(self) -> list[str]:
        """The best values on one line; none if there are none, or the store was slow."""
        words = [
            f"{plain(best.key, 60)} {number(best.value)}" + ("" if best.step is None else f" at step {best.step}")
            for best in self._best
        ]
        return [f"best: {', '.join(words)}"] if words else []

    def read(self, session: "TrainingSession") -> None:
        """Read the run; what cannot be read is left out."""
        try:
            run = session.context.run
            reader: Any = session._home.open(session.context.project.name)
            try:
                self.alone = run.name is not None and len(reader.runs(name=run.name, limit=2).items) == 1
                self._best = tuple(_best_values(reader, run.id))
            finally:
                reader.close()
        except Exception:  # noqa: BLE001  a store that cannot be read keeps no run from its end
            return


def _best_values(reader: StoreReader, run_id: str) -> list[BestValue]:
    """The best values of the metrics that matter most: of a validation first, accuracies before losses."""
    if reader.count(run_id).get("metric", 0) > MOST_POINTS:
        return []
    names = reader.names(run_id).get(METRIC, {})
    judged = [(names.get(key, key), key) for key in reader.keys(run_id) if direction_of(names.get(key, key))]
    judged.sort(key=lambda pair: (_RANKS.get((role_of(pair[0]) or ("", 0))[0], _UNKNOWN_RANK), pair[0]))
    made = []
    for name, key in judged[:SHOWN]:
        best = best_of(reader.series(run_id, key), direction_of(name))
        if best is not None:
            made.append(BestValue(name, best.value, best.step, best.epoch, best.mode))
    return made


def _how_it_ended(session: "TrainingSession") -> str:
    run = session.context.run
    words = f"run {plain(run.name, 60)} ({run.id}) {run.status}" if run.name else f"run {run.id} {run.status}"
    if run.reason != _USUAL.get(run.status):
        words += f" ({run.reason})"
    took, health = elapsed_s(run), session.health()
    parts = [words + ("" if took is None else f" after {duration(took)}")]
    for count, what in ((session.alerts, "alert"), (health["refused"], "value"), (health["dropped"], "record")):
        if count:
            done = {"alert": "", "value": " refused", "record": " dropped"}[what]
            parts.append(f"{count:,} {what}{'' if count == 1 else 's'}{done}")
    parts += _not_finite(health["faults"].get(NONFINITE))
    if session.verdict is not None and session.verdict.status == "healthy":
        parts.append("healthy")
    return ", ".join(parts)


def _not_finite(fault: Any) -> list[str]:
    """How many values were NaN or infinite, and of which metrics, from the counts of the run."""
    if fault is None:
        return []
    names = [plain(name, 60) for name in fault.get("subjects", {})]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    of = f" ({', '.join(names[:SHOWN])}{more})" if names else ""
    return [f"{fault['count']:,} value{'' if fault['count'] == 1 else 's'} NaN or infinite{of}"]


def _what_is_wrong(session: "TrainingSession") -> list[str]:
    """The verdict on a line of its own, unless all is well or nothing was analyzed."""
    verdict = session.verdict
    return [] if verdict is None or verdict.status == "healthy" else [plain(verdict.text, LONGEST)]


def _where_it_is(session: "TrainingSession", alone: bool) -> str:
    """Where the run is kept, and the command that shows it."""
    context = session.context
    name = context.run.name
    typed = shlex.quote(name) if alone and name and plain(name) == name and name[0] != "-" else context.run.id
    if session._home.remote:
        return f"kept at {session._home.location}; see it with: quark show {typed}"
    option = directory_option(Path(context.storage_dir))
    return f"kept in {context.storage_dir}; see it with: quark show {typed}{option}"
