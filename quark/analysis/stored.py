"""Feeds what is stored of a run to the rules, in the order in which it was recorded."""

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from ..core.reader import SERIES_COLUMNS, Series
from ..records.thresholds import AnalyzerEngineConfig
from .analysis import BLOCK, Analysis
from .behaviour import appoint_loss
from .frames import BODIES, Frame, Framer
from .rules import Finding
from .stretch import Points, Stretch
from .subject import StoredRun

Row = tuple[int, str, Any, int | None, int | None, int]
"""Sequence number, kind or metric key, what the rules read or the value, step, epoch, time. Nothing that the garbage
collector has to follow: it would cost a third of all time."""

Writer = tuple[int, int]
"""Attempt and rank: who wrote a record, and in which order the writers are read."""


MOST_AT_ONCE = 16 * BLOCK
"""Frames of a stretch that are looked through before ``each`` is called again."""


def analyze_stored(
    run: StoredRun, config: AnalyzerEngineConfig, *, each: Callable[[], None] = lambda: None
) -> tuple[Analysis, list[Finding]]:
    """All rules over all of a stored run: the analysis, and its alerts as they would have been raised live.

    ``each`` is called before every part, and may raise to end it.
    """
    analysis = Analysis(config)
    made: list[Finding] = []
    for part in stored_parts(run, analysis):
        for piece in _pieces(part):
            each()
            made += analysis.feed(piece)
    return analysis, made


def _pieces(part: Frame | Stretch) -> Iterator[Frame | Stretch]:
    if isinstance(part, Frame):
        yield part
        return
    for start in range(0, len(part), MOST_AT_ONCE):
        yield part.part(start, start + MOST_AT_ONCE)


def stored_frames(run: StoredRun, analysis: Analysis, *, before: int) -> Iterator[Frame]:
    """The frames of the attempts of a stored run before ``before``, one by one; see ``stored_parts``."""
    for part in stored_parts(run, analysis, before=before):
        yield from part.frames() if isinstance(part, Stretch) else (part,)


def stored_parts(run: StoredRun, analysis: Analysis, *, before: int | None = None) -> Iterator[Frame | Stretch]:
    """A stored run, attempt by attempt, the ranks of an attempt side by side as time went by: frames and stretches.

    With ``before`` only earlier attempts. Metrics that no rule reads are not even loaded.
    """
    rows: dict[Writer, list[Row]] = {}
    series: dict[Writer, list[Series]] = {}
    for kind, shape in BODIES.items():
        for attempt, rank, sequence, time_ns, step, epoch, item in run.items(kind, shape):
            rows.setdefault((attempt, rank), []).append((sequence, kind, item, step, epoch, time_ns))
    keys = run.keys()
    appoint_loss(run, keys, analysis.roles)
    for key in keys:
        if analysis.roles.candidate(key):
            for writer, part in _by_writer(run.series(key)):
                series.setdefault(writer, []).append(part)
    for attempt, writers in groupby(sorted({*rows, *series}), key=itemgetter(0)):
        if before is not None and attempt >= before:
            return
        alone = list(writers)
        ranks = [
            _frames(Framer(rank), _parts(rows.pop((attempt, rank), []), series.pop((attempt, rank), []), rank,
                                         whole=len(alone) > 1))
            for _, rank in alone
        ]  # fmt: skip
        yield from ranks[0] if len(ranks) == 1 else merge(*ranks, key=attrgetter("time_ns"))


def _by_writer(series: Series) -> Iterator[tuple[Writer, Series]]:
    import numpy as np

    writers = np.left_shift(series.attempts.astype(np.int64), 32) | series.ranks
    if not len(writers) or writers.min() == writers.max():
        yield from [((int(series.attempts[0]), int(series.ranks[0])), series)] if len(writers) else ()
        return
    for writer in np.unique(writers).tolist():
        columns = [getattr(series, name)[writers == writer] for name in SERIES_COLUMNS]
        yield divmod(writer, 1 << 32), Series(series.key, *columns)


def _parts(rows: list[Row], series: list[Series], rank: int, *, whole: bool) -> Iterator[list[Row] | Stretch]:
    """What a process recorded, in its order: rows, and stretches unless the frames are wanted as a ``whole``."""
    import numpy as np

    rows.sort(key=itemgetter(0))
    if not series:
        yield rows
        return
    points, at, taken = Points(series), 0, 0
    others = np.array([row[0] for row in rows], np.int64)
    for start, stop, stretch in () if whole else points.stretches(others, rank):
        upto = int(np.searchsorted(others, points.sequences[start]))
        yield sorted([*rows[taken:upto], *points.rows(at, start)], key=itemgetter(0))
        yield stretch
        at, taken = stop, upto
    yield sorted([*rows[taken:], *points.rows(at, len(points))], key=itemgetter(0))


def _frames(framer: Framer, parts: Iterator[list[Row] | Stretch]) -> Iterator[Frame | Stretch]:
    for part in parts:
        if isinstance(part, Stretch):
            last = framer.close()
            if last is not None:
                yield last
            yield part
        else:
            yield from _frames_of(framer, part)
    last = framer.close()
    if last is not None:
        yield last


def _frames_of(framer: Framer, rows: list[Row]) -> Iterator[Frame]:
    """The frames that the rows complete; the last one stays open."""
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
