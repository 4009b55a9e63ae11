"""Feeds what is stored of a run to the rules, in the order in which it was recorded."""

from collections.abc import Iterator
from heapq import merge
from itertools import groupby, repeat
from operator import attrgetter, itemgetter
from typing import Any

from ..core.reader import Series
from ..records.thresholds import AnalyzerEngineConfig
from .analysis import Analysis
from .frames import BODIES, Frame, Framer
from .rules import Finding
from .subject import StoredRun

Row = tuple[int, str, Any, int | None, int | None, int]
"""Sequence number, kind or metric key, what the rules read or the value, step, epoch, time. Nothing that the garbage
collector has to follow: it would cost a third of all time."""

Writer = tuple[int, int]
"""Attempt and rank: who wrote a record, and in which order the writers are read."""


def analyze_stored(run: StoredRun, config: AnalyzerEngineConfig) -> tuple[Analysis, list[Finding]]:
    """All rules over all of a stored run: the analysis, and its alerts as they would have been raised live."""
    analysis = Analysis(config)
    made: list[Finding] = []
    for frame in stored_frames(run, analysis):
        made += analysis.feed(frame)
    return analysis, made


def stored_frames(run: StoredRun, analysis: Analysis, *, before: int | None = None) -> Iterator[Frame]:
    """The frames of a stored run, attempt by attempt, the ranks of an attempt side by side as time went by.

    With ``before`` only those of earlier attempts. Metrics that no rule reads are not even loaded.
    """
    rows: dict[Writer, list[Row]] = {}
    for kind, shape in BODIES.items():
        for attempt, rank, sequence, time_ns, step, epoch, item in run.items(kind, shape):
            rows.setdefault((attempt, rank), []).append((sequence, kind, item, step, epoch, time_ns))
    for key in run.keys():  # noqa: SIM118  it is no dictionary
        if analysis.roles.candidate(key):
            _add_series(rows, run.series(key))
    for attempt, writers in groupby(sorted(rows), key=itemgetter(0)):
        if before is not None and attempt >= before:
            return
        ranks = []
        for writer in writers:
            own = rows.pop(writer)
            own.sort(key=itemgetter(0))
            ranks.append(_frames(Framer(writer[1]), own))
        yield from ranks[0] if len(ranks) == 1 else merge(*ranks, key=attrgetter("time_ns"))


def _add_series(rows: dict[Writer, list[Row]], series: Series) -> None:
    if not len(series):
        return
    numbers, values, times = series.sequences.tolist(), series.values.tolist(), series.timestamps.tolist()
    steps = [None if step < 0 else step for step in series.steps.tolist()]
    epochs = [None if epoch < 0 else epoch for epoch in series.epochs.tolist()]
    made: Iterator[Row] = zip(numbers, repeat(series.key), values, steps, epochs, times)
    if all(column.min() == column.max() for column in (series.attempts, series.ranks)):
        rows.setdefault((int(series.attempts[0]), int(series.ranks[0])), []).extend(made)
        return
    writers = zip(series.attempts.tolist(), series.ranks.tolist(), strict=True)
    for writer, row in zip(writers, made, strict=True):
        rows.setdefault(writer, []).append(row)


def _frames(framer: Framer, rows: list[Row]) -> Iterator[Frame]:
    values: dict[str, float] = {}
    number = -1
    place: tuple[int | None, int | None, int] = (None, None, 0)
    for sequence, what, item, step, epoch, time_ns in rows:
        if values and sequence != number:
            done = framer.metrics(values, *place)
            values = {}
            if done is not None:
                yield done
        if what in BODIES:
            done = framer.item(what, item, step, epoch, time_ns)
            if done is not None:
                yield done
            continue
        number, place = sequence, (step, epoch, time_ns)
        values[what] = item
    if values:
        done = framer.metrics(values, *place)
        if done is not None:
            yield done
    last = framer.close()
    if last is not None:
        yield last
