"""Finds the loss by how a metric behaves, in a stored run that has none by its name."""

from dataclasses import dataclass
from typing import Any

from .progress import has_fallen
from .roles import (
    LOSS,
    VALIDATION_LOSS,
    Roles,
    counterpart,
    is_measured_as_loss,
    is_of_training,
    is_of_validation,
    may_be_loss,
)
from .subject import StoredRun

LEAST = 5
"""Fewer values than this say nothing of how a metric behaves."""

MOST_CANDIDATES = 50
"""With more metrics than this that might be the loss none of them is looked at."""

SMOOTH = 0.05
"""A curve whose differences change their sign less often than this is a schedule or a counter, no measurement."""


def appoint_loss(run: StoredRun, keys: list[str], roles: Roles) -> None:
    """Where no name says which metric is the training loss, let the one that behaves like a loss be it.

    That is the only metric of training that may be a loss; else the only one that is recorded as often as any other and
    is positive, noisy and falls. Its counterpart of validation becomes the validation loss.
    """
    if any(roles.may_be(key, LOSS) for key in keys):
        return
    open_keys = [key for key in keys if not roles.candidate(key) and _may_behave(key)]
    if not open_keys or len(open_keys) > MOST_CANDIDATES:
        return
    found = [one for key in open_keys if (one := _candidate(run, key)) is not None]
    training = [one for one in found if is_of_training(one.key)]
    most = max((one.count for one in found), default=0)
    falling = [one for one in found if one.count == most and one.falls]
    chosen = training if len(training) == 1 else falling
    if len(chosen) != 1:
        return
    loss = chosen[0].key
    roles.appoint(LOSS, loss)
    pairs = [key for key in keys if is_of_validation(key) and counterpart(key) == counterpart(loss)]
    if len(pairs) == 1 and not roles.candidate(pairs[0]):
        roles.appoint(VALIDATION_LOSS, pairs[0])


def _may_behave(key: str) -> bool:
    """Whether the behaviour of a metric counts: a loss by its name that has no part is one of several rivals."""
    return may_be_loss(key) and not is_measured_as_loss(key) and not is_of_validation(key)


@dataclass(frozen=True, slots=True)
class _Candidate:
    key: str
    count: int
    falls: bool


def _candidate(run: StoredRun, key: str) -> _Candidate | None:
    """A metric that may be a loss; None if its values say that it is none: constant, negative, or a counter."""
    import numpy as np

    values = run.series(key).values
    values = values[np.isfinite(values)]
    if len(values) < LEAST or values[0] <= 0.0 or np.ptp(values) == 0.0:
        return None
    if (np.diff(values) >= 0).all() and _is_linear(values):
        return None
    noisy = _turns(values) > SMOOTH
    return _Candidate(key, len(values), bool(noisy and (values > 0).all() and has_fallen(np.log(values).tolist())))


def _is_linear(values: Any) -> bool:
    import numpy as np

    steps = np.diff(values)
    return bool(np.allclose(steps, steps[0], rtol=1e-6))


def _turns(values: Any) -> float:
    """How often one difference goes up and the next one down, as a share of all."""
    import numpy as np

    signs = np.sign(np.diff(values))
    return float((signs[1:] * signs[:-1] < 0).mean()) if len(signs) > 1 else 0.0
