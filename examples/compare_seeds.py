"""Train a small regression with two learning rates and three seeds each, then tell what the rate changed."""

import random
import sys

import quark
from quark import ComparisonEngine, PhaseAnalyzer

STORAGE_DIR = sys.argv[1] if len(sys.argv) > 1 else None


def train(lr: float, seed: int) -> quark.TrainingSession:
    """Fit a line to noisy points by stochastic gradient descent."""
    rng = random.Random(seed)
    config = {"lr": lr, "seed": seed}
    name = f"lr {lr}, seed {seed}"
    with quark.start_run(project="compare-seeds", name=name, config=config, storage_dir=STORAGE_DIR) as run:
        slope = 0.0
        for step in range(400):
            x = rng.uniform(-1, 1)
            error = slope * x - (3.0 * x + rng.gauss(0, 0.1))
            slope -= lr * error * x
            run.log({"train/loss": error * error, "slope/distance": abs(slope - 3.0)}, step=step)
        for phase in PhaseAnalyzer(run).analyze().phases:
            print(f"{lr=} {seed=}: {phase.display_name} from step {phase.step_start} to {phase.step_end}")
    return run


def main() -> None:
    """Compare one run with one, then three with three."""
    slow, fast = ([train(lr, seed) for seed in range(3)] for lr in (0.02, 0.1))
    single = ComparisonEngine(fast[0]).compare_to_baseline(slow[0])
    for diff in single.metric_diffs:
        print(f"{diff.metric_key}: {diff.delta_last_common:+.4g}, noise band {diff.noise_band:.2g}")
    print(single.caution)
    group = ComparisonEngine.compare_group(fast, slow)
    for diff in group.metric_diffs:
        print(f"{diff.metric_key}: {diff.delta:+.4g}, 95% interval {diff.low:+.4g} to {diff.high:+.4g} ({diff.method})")


if __name__ == "__main__":
    main()
