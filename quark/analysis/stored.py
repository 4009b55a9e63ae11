"""Feeds what is stored of a run to the rules, in the order in which it was recorded."""

from collections.abc import Iterator
from typing import Any

from ..core.reader import RecordReader
from ..records.thresholds import AnalyzerEngineConfig
from .analysis import Analysis
from .frames import BODIES, Frame, Framer
from .rules import Finding

Writer = tuple[int, int]
"""Attempt and rank: who wrote a record, and in which order the writers are read."""


def analyze_stored(
    reader: RecordReader, run_id: str, config: AnalyzerEngineConfig
) -> tuple[Analysis, list[Finding]]:  # fmt: skip
    """All rules over all of a stored run: the analysis, and its alerts as they would have been raised live."""
    analysis = Analysis(config)
    made: list[Finding] = []
    for frame in stored_frames(reader, run_id, analysis):
        made += analysis.feed(frame)
    return analysis, made


def stored_frames(
    reader: RecordReader, run_id: str, analysis: Analysis, *, before: int | None = None
) -> Iterator[Frame]:  # fmt: skip
    """The frames of a stored run, writer by writer; with ``before`` only those of earlier attempts.

    Metrics that no rule reads are not even loaded.
    """
    rows: dict[Writer, list[tuple[int, str, Any]]] = {}
    for kind in BODIES:
        for record in reader.records(run_id, kind):
            origin = record.origin
            rows.setdefault((origin.attempt, origin.rank), []).append((record.sequence, kind, record))
    for key in reader.keys(run_id):
        if analysis.roles.candidate(key):
            _add_series(rows, reader, run_id, key)
    for writer in sorted(rows):
        if before is not None and writer[0] >= before:
            continue
        framer = Framer(writer[1])
        own = rows.pop(writer)
        own.sort(key=lambda row: row[0])
        yield from _frames(framer, own)


def _add_series(rows: dict[Writer, list[tuple[int, str, Any]]], reader: RecordReader, run_id: str, key: str) -> None:
    series = reader.series(run_id, key)
    columns = (series.sequences, series.steps, series.epochs, series.values, series.timestamps)
    several = len(series) and (
        series.attempts.min() != series.attempts.max() or series.ranks.min() != series.ranks.max()
    )
    if not several:
        if len(series):
            writer = (int(series.attempts[0]), int(series.ranks[0]))
            own = rows.setdefault(writer, [])
            own += [(n, key, point) for n, *point in zip(*(column.tolist() for column in columns), strict=True)]
        return
    attempts, ranks = series.attempts.tolist(), series.ranks.tolist()
    plain = zip(*(column.tolist() for column in columns), strict=True)
    for attempt, rank, (n, *point) in zip(attempts, ranks, plain, strict=True):
        rows.setdefault((attempt, rank), []).append((n, key, point))


def _frames(framer: Framer, rows: list[tuple[int, str, Any]]) -> Iterator[Frame]:
    values: dict[str, float] = {}
    number = -1
    place: tuple[Any, ...] = (None, None, 0)
    for sequence, what, item in rows:
        if values and sequence != number:
            done = framer.metrics(values, *place)
            values = {}
            if done is not None:
                yield done
        if what in BODIES:
            done = framer.record(item)
            if done is not None:
                yield done
            continue
        step, epoch, value, time_ns = item
        number, place = sequence, (None if step < 0 else step, None if epoch < 0 else epoch, time_ns)
        values[what] = value
    if values:
        done = framer.metrics(values, *place)
        if done is not None:
            yield done
    last = framer.close()
    if last is not None:
        yield last
