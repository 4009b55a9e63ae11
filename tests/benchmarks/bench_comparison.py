"""What it costs to divide a large run into phases, and to compare two of them.

Run with: pytest tests/benchmarks/bench_comparison.py -m benchmark -s -p no:randomly
"""

import math
import statistics
import time
from pathlib import Path

import pytest

import quark
from quark import ComparisonEngine, PhaseAnalyzer

from .bench_analysis import POINTS, SUMMARIES, layer, put
from .measuring import show

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

GOAL_S = 3.0


def recorded(place: Path, rate: float) -> str:
    """A million points of ten metrics and a hundred thousand layer summaries."""
    bodies = [layer(n, "activation" if n % 2 else "gradient") for n in range(100)]
    steps = POINTS // 10
    with quark.start_run(project="bench", storage_dir=place) as run:
        for step in range(steps):
            rest = {f"other/{number}": 1.0 for number in range(9)}
            run.log({"train/loss": 2.0 * math.exp(-step * rate) + 0.1, **rest}, step=step)
            if step % (steps // (SUMMARIES // 100)) == 0:
                for body in bodies:
                    put(run, "layer", step, body)
        run.flush(300)
    return run.run_id


def test_comparison_of_two_large_runs(tmp_path: Path) -> None:
    """Three seconds are the goal. What fails is a gross regression: the cost of reading the summaries as records."""
    ids = [recorded(tmp_path, 1 / 20_000), recorded(tmp_path, 1 / 30_000)]
    with quark.open(tmp_path) as store:
        views = [store.run(run_id) for run_id in ids]
        compare, read, phases = [], [], []
        for _ in range(3):
            begin = time.process_time()
            assert sum(1 for view in views for _ in view.records("layer")) == 2 * SUMMARIES
            read.append(time.process_time() - begin)
            begin = time.process_time()
            assert len(ComparisonEngine.compare_runs(*views).metric_diffs) == 10
            compare.append(time.process_time() - begin)
            begin = time.process_time()
            PhaseAnalyzer(views[0]).analyze()
            phases.append(time.process_time() - begin)
    taken, floor = statistics.median(compare), statistics.median(read)
    row = {"s CPU": taken, "goal": GOAL_S, "records alone": floor, "phases of one": statistics.median(phases)}
    show("comparison", {f"2 x {POINTS:,} points, {SUMMARIES:,} summaries": row})
    assert taken < floor
