"""Quantiles of Student's t and tails of the normal distribution, from their definitions."""

import math
from typing import Any


def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution for a probability above one half, to six digits.

    The density in x = sqrt(freedom) tan(u) is cos(u) ** (freedom - 1), which is summed over u in [0, pi / 2).
    """
    import numpy as np

    edges: Any = np.linspace(0.0, math.pi / 2, 20_001)
    middles = (edges[1:] + edges[:-1]) / 2
    mass = np.concatenate(([0.0], np.cumsum(np.cos(middles) ** (freedom - 1.0))))
    angle = float(np.interp(2 * probability - 1, mass / mass[-1], edges))
    return math.sqrt(freedom) * math.tan(angle)


def normal_tail(distance: float) -> float:
    """The share of a normal distribution that lies more than ``distance`` deviations above its mean."""
    return 0.5 * math.erfc(distance / math.sqrt(2.0))
