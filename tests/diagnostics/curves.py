"""Loss curves of a training, with noise and with batches that are harder than the others."""

import math
import random
from collections.abc import Callable, Collection, Iterator

STEPS = 1000

CURVES: dict[str, Callable[[int], float]] = {
    "exponential": lambda step: 0.3 + 2.2 * math.exp(-step / 200),
    "power law": lambda step: 2.5 * (step + 1) ** -0.3,
    "flat": lambda step: 1.0,
    "fast": lambda step: 0.1 + 4.0 * math.exp(-step / 60),
}
NOISES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda dice: max(1.0 + dice.gauss(0.0, 0.07), 0.01),
    "lognormal": lambda dice: math.exp(dice.gauss(0.0, 0.07)),
    "loud": lambda dice: math.exp(dice.gauss(0.0, 0.5)),
    "none": lambda dice: 1.0,
}


def losses(curve: str, noise: str, seed: int, hard: Collection[int] = ()) -> Iterator[float]:
    """The losses of a run; those of ``hard`` steps are 60 % higher."""
    dice = random.Random(seed)
    for step in range(STEPS):
        yield CURVES[curve](step) * NOISES[noise](dice) * (1.6 if step in hard else 1.0)


def planted(seed: int) -> set[int]:
    """Twenty steps of the second half."""
    return set(random.Random(seed + 10_000).sample(range(500, STEPS), 20))
