"""What is measured of one tensor, whichever device it is on."""

from typing import Any, NamedTuple


class Summary(NamedTuple):
    """The statistics of one tensor; what is undefined for it (no elements, a NaN or infinity) is None.

    Attributes:
        size: number of elements.
        variance: of the elements as they are (divided by ``size``).
        max_abs: largest magnitude.
        nonfinite: elements that are NaN or infinite.
        dead: elements within epsilon of zero; None where it was not asked for.
        saturated: elements at the limits of the activation; None where it was not asked for.
        dead_units: share of units that are dead over the whole batch, 0 to 1; None where there are no units.
    """

    size: int
    mean: float | None
    variance: float | None
    norm: float | None
    max_abs: float | None
    nonfinite: int = 0
    dead: int | None = None
    saturated: int | None = None
    dead_units: float | None = None


class Wanted(NamedTuple):
    """What is asked of a tensor beyond its moments.

    Attributes:
        epsilon: an element counts as dead up to this magnitude; None: dead elements are not counted.
        saturation: (low, high): elements at or beyond either count as saturated; None: they are not counted.
        unit_dim: the dimension of the tensor along which its units (channels, neurons) lie, None if it has none.
    """

    epsilon: float | None = None
    saturation: tuple[float, float] | None = None
    unit_dim: int | None = None


MOMENTS = Wanted()
"""Nothing but the moments: all that is asked of a gradient."""

Measured = Summary | Any
"""A summary, or a ticket for one that is still on its device."""
