"""Find out why a network does not learn: twelve layers of sigmoids, watched, analyzed and read back.

The signal dies on its way back through the sigmoids: the analysis names the rule, the layer, the numbers and what to
do. Needs torch. Run it with:  python examples/analyzer_diagnostics.py [storage_dir]
"""

import sys

import torch
from torch import nn

import quark
from quark import AnalyzerEngine

STEPS = 120


def main(storage_dir: str = "quark-runs") -> None:
    """Train, analyze while the run is open, and read the outcome from the store."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    widths = [20, *[32] * 12]
    layers = [part for i in range(12) for part in (nn.Linear(widths[i], widths[i + 1]), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(32, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    centres = torch.randn(4, 20)
    with quark.start_run(project="sigmoids", config={"layers": 12}, storage_dir=storage_dir) as run:
        run.watch(model, optimizer, every=5)
        for _ in run.steps(range(STEPS)):
            targets = torch.randint(0, 4, (32,))
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(centres[targets] + torch.randn(32, 20)), targets)
            loss.backward()
            optimizer.step()
            run.log({"train/loss": loss.detach()})
        AnalyzerEngine(run).analyze()
    report(storage_dir, run.run_id)


def report(storage_dir: str, run_id: str) -> None:
    """The scores, and the alerts with what they rest on."""
    with quark.open(storage_dir) as store:
        view = store.run(run_id)
        for score in view.health_scores():
            print(f"{score.score_key:16} {score.score:5.0f}  {score.status}")
        for alert in view.alerts():
            print(f"\n{alert.severity}: {alert.title} (since step {alert.step_start})\n  {alert.summary}")
            for one in alert.evidence:
                print(f"  {one.source}: {one.summary} {one.observed_value:.2g} (limit {one.threshold_value:.2g})")
            for action in alert.actions:
                print(f"  - {action}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
