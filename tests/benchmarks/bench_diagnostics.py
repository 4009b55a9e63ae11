"""What data diagnostics cost: a batch in the training thread, and the questions to the store afterwards."""

import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quark import DataDiagnostics, DataDiagnosticsConfig, MappingBatchMetadataAdapter, TrainingSession
from quark.producers.diagnostics.expected import ExpectedLoss
from quark.producers.diagnostics.exposure import SampleCounts

pytestmark = pytest.mark.benchmark

SAMPLES = 256
CALLS = 2000
ROUNDS = 7


def cpu_us(act: Callable[[int], Any], times: int = CALLS) -> float:
    """CPU microseconds of one call in this thread, the best of the rounds: the machine is shared."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for step in range(times):
            act(step)
        best = min(best, (time.thread_time_ns() - begun) / times / 1000)
    return best


def test_cost_of_a_batch(tmp_path: Path) -> None:
    """A batch of 256 samples with ids and labels costs a few tens of microseconds, in the order of its size."""
    ids = [f"image-{number:06d}" for number in range(SAMPLES)]
    labels = [number % 10 for number in range(SAMPLES)]
    numbers, classes = np.arange(SAMPLES), np.array(labels)
    adapter = MappingBatchMetadataAdapter(sample_id_key="ids", label_key="labels")
    batch = {"ids": ids, "labels": labels}
    with TrainingSession.start_run(project="bench", storage_dir=tmp_path) as session:
        direct = DataDiagnostics(session)
        adapted = DataDiagnostics(session, config=DataDiagnosticsConfig(adapter=adapter))
        rows = {
            "loss alone": cpu_us(lambda step: direct.log_batch(1.0, step=step)),
            "256 labels": cpu_us(lambda step: direct.log_batch(1.0, step=step, labels=labels)),
            "256 ids": cpu_us(lambda step: direct.log_batch(1.0, step=step, sample_ids=ids)),
            "256 ids and labels": cpu_us(lambda step: direct.log_batch(1.0, step=step, sample_ids=ids, labels=labels)),
            "the same as arrays": cpu_us(
                lambda step: direct.log_batch(1.0, step=step, sample_ids=numbers, labels=classes)
            ),
            "the same by an adapter": cpu_us(lambda step: adapted.log_batch(1.0, step=step, batch=batch)),
            "floor: the ids as JSON, twice": cpu_us(lambda step: (_json(ids), _json(ids))),
        }
    print(f"\n{'CPU microseconds a batch':40}{'us':>8}")
    for name, cost in rows.items():
        print(f"{name:40}{cost:8.2f}")
    assert rows["256 ids and labels"] < 40 * rows["loss alone"]


def _json(values: list[str]) -> bytes:
    import msgspec

    return msgspec.json.encode(values)


def test_cost_of_the_questions(tmp_path: Path) -> None:
    """A summary of ten thousand batches of 32 samples, and its parts."""
    dice = random.Random(0)
    with TrainingSession.start_run(project="bench", storage_dir=tmp_path) as session:
        diagnostics = DataDiagnostics(session)
        for step in range(10_000):
            ids = [f"image-{(step * 32 + place) % 50_000}" for place in range(32)]
            loss = (0.3 + math.exp(-step / 2000)) * math.exp(dice.gauss(0.0, 0.07))
            diagnostics.log_batch(loss, step=step, sample_ids=ids, labels=[place % 10 for place in range(32)])
        diagnostics.flush()
        begun = time.perf_counter()
        summary = diagnostics.summarize()
        took = time.perf_counter() - begun
    assert summary.exposure.unique_samples == 50_000
    judge = ExpectedLoss().judge
    values = [math.exp(dice.gauss(0.0, 0.07)) for _ in range(CALLS)]
    counts = SampleCounts(exact_ids=1000)
    batches = [tuple(f"image-{step * 32 + place}" for place in range(32)) for step in range(CALLS)]
    print(f"\nsummarize() of 10,000 batches of 32: {took:.2f} s")
    print(f"a loss against the expected one: {cpu_us(lambda step: judge(values[step])):.1f} us")
    print(f"32 ids into the sketch: {cpu_us(lambda step: counts.add(batches[step])):.1f} us")
