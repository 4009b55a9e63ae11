"""Columns of a list of runs: a setting, a summary value, or a metric reduced to one number."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..analysis.best import best_of
from ..core.choice import SORT_FIELDS
from ..errors import SchemaValidationError
from ..records.grammar import dotted
from ..records.naming import metric_key

if TYPE_CHECKING:
    from .view import RunView

REDUCTIONS = ("last", "first", "min", "max", "best", "mean")
"""What may stand behind the colon of ``val/acc:max``."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a column; ``step`` where it is one point of a metric."""

    value: Any = None
    step: int | None = None


EMPTY = Cell()


class Facts:
    """What a run is listed by, each read once however many columns ask for it."""

    def __init__(self, view: "RunView") -> None:
        self.view = view

    @cached_property
    def latest(self) -> dict[str, tuple[int | None, float]]:
        """Step and value of the last point of every metric, by name and by key."""
        latest = self.view.latest()
        return {**{metric_key(name): point for name, point in latest.items()}, **latest}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The run's own results."""
        return self.view.summary()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration by dotted path; a mapping is found as a whole too."""
        return {**self.view.config, **dict(dotted(self.view.config))}

    def reduced(self, key: str, reduction: str) -> Cell:
        """A metric as one number."""
        if key not in self.latest:
            return EMPTY
        if reduction == "last":
            step, value = self.latest[key]
            return Cell(value, step)
        series = self.view.series(key)
        if not len(series):
            return EMPTY
        if reduction == "first":
            step = int(series.steps[0])
            return Cell(float(series.values[0]), None if step < 0 else step)
        if reduction == "mean":
            return Cell(float(series.values.mean()))
        best = best_of(series, None if reduction == "best" else reduction)
        return EMPTY if best is None else Cell(best.value, best.step)


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its text.

    ``val/acc:max`` is a metric reduced by one of ``REDUCTIONS``; ``config.lr`` a setting by its dotted path;
    ``summary.score`` a value of the summary. A bare name is the setting of this name, else the last value of the
    metric, else the summary value; so is a name that itself ends in ``:max``, unless it is a metric without that.
    """

    text: str
    key: str = field(init=False)
    reduction: str | None = field(init=False)

    def __post_init__(self) -> None:
        key, colon, reduction = self.text.rpartition(":")
        reduced = bool(colon) and reduction in REDUCTIONS
        object.__setattr__(self, "key", key if reduced else self.text)
        object.__setattr__(self, "reduction", reduction if reduced else None)

    def of(self, run: Facts) -> Cell:
        """The cell of a run; empty where the run has nothing of this name."""
        if self.reduction is not None and self.key in run.latest:
            return run.reduced(self.key, self.reduction)
        prefix, _, rest = self.text.partition(".")
        if prefix == "config" and rest in run.settings:
            return Cell(run.settings[rest])
        if self.text in run.settings:
            return Cell(run.settings[self.text])
        if self.text in run.latest:
            return run.reduced(self.text, "last")
        if prefix == "summary" and rest in run.summary:
            return Cell(run.summary[rest])
        return Cell(run.summary.get(self.text))


def split_columns(texts: Iterable[str]) -> list[Column]:
    """The columns of ``--columns lr,val/acc:max``, which may be given several times.

    A name that holds a comma stands in double quotes, as in CSV: ``lr,"top 1, top 5":max``.

    Raises:
        SchemaValidationError: a text holds a line break.
    """
    try:
        rows = [next(csv.reader([given], skipinitialspace=True), []) for given in texts]
    except csv.Error as error:
        raise SchemaValidationError(f"columns cannot be read ({error}); give each name on one line") from error
    return [Column(text) for row in rows for part in row if (text := part.strip())]


def is_field(sort: str) -> bool:
    """Whether a list is sorted by a field of the run, which a store does by itself."""
    return sort.removeprefix("-") in SORT_FIELDS


def sorted_by(views: Sequence["RunView"], sort: str) -> "list[RunView]":
    """Runs by a column, ``-`` for descending; those without a value come last, equal ones keep their order.

    Raises:
        SchemaValidationError: no run has anything of this name.
    """
    facts, text = [Facts(view) for view in views], sort.removeprefix("-")
    keyed = _ranked(facts, Column(text))
    if not keyed and text.startswith('"'):  # a name in quotes, as --columns takes it
        keyed = [ranked for column in split_columns([text]) for ranked in _ranked(facts, column)]
    if views and not keyed:
        near = similar(text, facts)
        hint = f"did you mean {', '.join(near)}? Or " if near else ""
        raise SchemaValidationError(
            f"sort {sort!r} is not known: no run that matches has it; {hint}use a metric such as val/acc:max, a "
            f"setting such as lr, or one of {', '.join(SORT_FIELDS)}, with - before it for descending"
        )
    having = {id(view) for _, view in keyed}
    keyed.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [*(view for _, view in keyed), *(view for view in views if id(view) not in having)]


def similar(text: str, runs: Iterable[Facts]) -> list[str]:
    """Names of settings, metrics and summary values that the name of a column resembles, a few at most."""
    import difflib

    known = sorted({name for run in runs for name in (*run.settings, *run.latest, *run.summary)})
    return difflib.get_close_matches(Column(text).key, known, n=3)


def _ranked(runs: Iterable[Facts], column: Column) -> "list[tuple[tuple[int, float, str], RunView]]":
    return [(rank, run.view) for run in runs if (rank := _rank(column.of(run).value)) is not None]


def _rank(value: Any) -> tuple[int, float, str] | None:
    """Numbers before text, whatever runs hold under one name; None for what has no order."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)
