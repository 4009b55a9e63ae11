"""What the Keras callback adds to trivial steps, beside the least that a callback which looks at batches can do."""

import os
import random
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("keras")
import keras
import numpy as np
import torch

from quark_integrations.callbacks.keras import QuarkCallback

pytestmark = [pytest.mark.benchmark, pytest.mark.torch, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

STEPS = 500
ROUNDS = 7
GROSS = 1.5
"""A step of a fit without a network to speak of takes about a millisecond; this much more is no noise."""


class Timed(keras.callbacks.Callback):
    """CPU time of the training thread and of the whole process, from the first step of an epoch to its end."""

    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.thread_s = self.process_s = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.thread_s, self.process_s = time.thread_time(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.thread_s, self.process_s = time.thread_time() - self.thread_s, time.process_time() - self.process_s


class Losses(keras.callbacks.Callback):
    """Keeps the loss of every batch in a list, as callbacks of users do."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.found.append(logs["loss"])


def step_us(callbacks: list[Any]) -> tuple[float, float]:
    """CPU microseconds of a step: of the training thread, of the process."""
    timed = Timed()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x, y = np.ones((STEPS, 4), "float32"), np.ones((STEPS, 1), "float32")
    quiet: Any = 0
    model.fit(x, y, batch_size=1, epochs=1, shuffle=False, verbose=quiet, callbacks=[*callbacks, timed])
    return timed.thread_s / STEPS * 1e6, timed.process_s / STEPS * 1e6


def test_a_step_costs_little_more(tmp_path: Path) -> None:
    """Quark records a row of every step, for less than what Keras' threads cost a bare fit on the CPU."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ways = {
        "bare fit": list,
        "Quark": lambda: [QuarkCallback(storage_dir=tmp_path)],
        "a list of losses": lambda: [Losses()],
    }
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name in random.sample(list(ways), len(ways)):
            costs[name].append(step_us(ways[name]()))
    thread, process = (
        {name: statistics.median(one[at] for one in found) for name, found in costs.items()} for at in (0, 1)
    )
    print(f"\n{'of one step of ' + str(STEPS):20}{'thread us':>11}{'ratio':>8}{'process us':>12}{'ratio':>8}")
    for name in ways:
        print(
            f"{name:20}{thread[name]:11.0f}{thread[name] / thread['bare fit']:8.3f}"
            f"{process[name]:12.0f}{process[name] / process['bare fit']:8.3f}"
        )
    assert thread["Quark"] <= GROSS * thread["a list of losses"]
