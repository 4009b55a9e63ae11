"""The best value of a metric: which it is, and when it was reached."""

from dataclasses import asdict, dataclass
from typing import Any

from ..core.direction import chosen_direction
from ..core.reader import Series
from ..errors import SessionStoreError
from ..records.literals import BestMode


@dataclass(frozen=True, slots=True)
class BestValue:
    """The best value of a metric and the first point that has it; ``step`` and ``epoch`` are None where it has none."""

    key: str
    value: float
    step: int | None
    epoch: int | None
    mode: BestMode

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


BestValue.__module__ = "quark"


def best_of(series: Series, mode: str | None = None) -> BestValue | None:
    """The best point of a series; values that are not finite are passed over. None if no value is finite.

    Raises:
        SchemaValidationError, WrongTypeError: ``mode`` is not given and the key does not say which value is best.
    """
    import numpy as np

    chosen = chosen_direction(series.key, mode)
    places = np.flatnonzero(np.isfinite(series.values))
    if not len(places):
        return None
    values = series.values[places]
    place = int(places[values.argmax() if chosen == "max" else values.argmin()])
    step, epoch = int(series.steps[place]), int(series.epochs[place])
    return BestValue(
        series.key, float(series.values[place]), None if step < 0 else step, None if epoch < 0 else epoch, chosen
    )


def found_best(series: Series, mode: str | None) -> BestValue:
    """``best_of`` for a caller who asked for it.

    Raises:
        SchemaValidationError, WrongTypeError: as of ``best_of``.
        SessionStoreError: no value is finite.
    """
    best = best_of(series, mode)
    if best is None:
        raise SessionStoreError(f"{series.key} has no finite value, so it has no best one", code="metric_not_found")
    return best
