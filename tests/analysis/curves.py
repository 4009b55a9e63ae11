"""Losses whose phases are known: made of shapes that trainings have, named by the slope of the curve without its noise.

The truth is the definition of docs/phases.md, taken of the curve that nobody sees: the change of ln(loss) per tenth of
the run against the documented limits, and the rise that was built in. Jumps count for what follows them.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

RAPID, SLOW = -math.log(0.82), -math.log(0.99)
BRIEFEST = 0.05
"""A stretch below this share of the run is a part of the one before it."""


@dataclass(frozen=True)
class Known:
    """A curve: its ln(loss) without noise, and what each point is called."""

    shape: str
    levels: Any
    names: list[str]
    validation: Any = None

    @property
    def count(self) -> int:
        """How many phases there are."""
        return len(stretches(self.names))


def stretches(names: list[str]) -> list[tuple[str, int, int]]:
    """Runs of one name; those below 1/20 of all are joined to the one before."""
    made: list[tuple[str, int, int]] = []
    for place, name in enumerate(names):
        if made and made[-1][0] == name:
            made[-1] = (name, made[-1][1], place + 1)
        else:
            made.append((name, place, place + 1))
    kept: list[tuple[str, int, int]] = []
    for name, start, stop in made:
        if kept and (stop - start < BRIEFEST * len(names) or kept[-1][0] == name):
            kept[-1] = (kept[-1][0], kept[-1][1], stop)
        else:
            kept.append((name, start, stop))
    return kept


def _named(levels: Any, jumps: tuple[int, ...] = ()) -> list[str]:
    slopes = np.gradient(levels) * len(levels) / 10
    for jump in jumps:  # the difference over a jump is no slope
        slopes[jump - 1], slopes[jump] = slopes[jump - 2], slopes[min(jump + 1, len(levels) - 1)]
    return ["rapid_learning" if s <= -RAPID else "stabilization" if s < -SLOW else "stagnation" for s in slopes]


def exponential(at: Any, rng: Any) -> Known:
    """Falls to a floor."""
    levels = np.log(np.exp(-rng.uniform(3.5, 12) * at) + rng.uniform(0.02, 0.3))
    return Known("exponential", levels, _named(levels))


def power_law(at: Any, rng: Any) -> Known:
    """Falls ever more slowly, as large models do."""
    levels = -rng.uniform(0.3, 0.9) * np.log1p(at / rng.uniform(0.01, 0.05))
    return Known("power law", levels, _named(levels))


def step_decay(at: Any, rng: Any) -> Known:
    """Two sudden drops, where the learning rate was cut, between slow stretches."""
    levels = np.log(np.exp(-rng.uniform(20, 40) * at) + rng.uniform(0.2, 0.4)) - rng.uniform(0.3, 0.6) * at
    jumps = tuple(int(len(at) * share) for share in (rng.uniform(0.4, 0.5), rng.uniform(0.7, 0.8)))
    for jump in jumps:
        levels[jump:] -= rng.uniform(0.2, 0.6)
    return Known("step decay", levels, _named(levels, jumps))


def late_start(at: Any, rng: Any) -> Known:
    """A plateau, then it learns."""
    start = rng.choice([rng.uniform(0.08, 0.14), rng.uniform(0.25, 0.4)])
    levels = -rng.uniform(2.5, 6) * np.clip(at - start, 0, rng.uniform(0.25, 0.35))
    levels = levels - rng.uniform(0.3, 0.7) * np.clip(at - start - 0.35, 0, None)
    names = _named(levels)
    begin = math.ceil(start * len(at))
    names[:begin] = ["initialization_adaptation" if start < 0.15 else "stagnation"] * begin
    return Known("plateau, then drop", levels, names)


def diverging(at: Any, rng: Any) -> Known:
    """Learns, then runs away."""
    start = rng.uniform(0.5, 0.75)
    rise = rng.uniform(3, 9) * np.clip(at - start, 0, None)
    levels = np.log(np.exp(-rng.uniform(6, 12) * at) + rng.uniform(0.05, 0.3)) + rise
    begin = math.ceil(start * len(at))
    names = _named(levels)
    names[begin:] = ["divergence"] * (len(at) - begin)
    return Known("divergence", levels, names)


def warm_restart(at: Any, rng: Any) -> Known:
    """The learning rate comes back: the loss jumps and falls again."""
    levels = np.log(np.exp(-rng.uniform(8, 14) * np.clip(at, 0, 0.5)) + rng.uniform(0.1, 0.3))
    jump = int(len(at) * rng.uniform(0.48, 0.52))
    later = at[jump:] - at[jump]
    levels[jump:] += rng.uniform(0.1, 0.4) - rng.uniform(0.6, 1.2) * (1 - np.exp(-5 * later))
    return Known("warm restart", levels, _named(levels, (jump,)))


def overfitting(at: Any, rng: Any) -> Known:
    """Training goes on falling, validation turns."""
    start = rng.uniform(0.35, 0.65)
    levels = np.log(np.exp(-rng.uniform(4, 8) * at) + 0.01) - rng.uniform(0.8, 1.5) * at
    held = np.log(np.exp(-rng.uniform(4, 8) * np.clip(at, 0, start)) + 0.15) + 0.2
    held = held + rng.uniform(0.6, 2.0) * np.clip(at - start, 0, None)
    begin = math.ceil(start * len(at))
    names = _named(levels)
    names[begin:] = ["overfitting_onset"] * (len(at) - begin)
    return Known("overfitting", levels, names, held)


SHAPES = (exponential, power_law, step_decay, late_start, diverging, warm_restart, overfitting)


def noise(count: int, spread: float, correlation: float, rng: Any) -> Any:
    """Gaussian noise whose neighbours have this correlation: AR(1), stationary."""
    made = rng.normal(0, spread, count)
    keep = math.sqrt(1 - correlation**2)
    for place in range(1, count):
        made[place] = correlation * made[place - 1] + keep * made[place]
    return made
