"""A Hydra sweep whose jobs are runs of one group: two learning rates, each a small training.

Needs hydra-core and torch. Run it with:  python examples/hydra_sweep.py [storage_dir]
With an application of your own, write the entry below ``hydra.callbacks`` into its YAML file.
"""

import sys
from pathlib import Path

import hydra
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from torch import nn

import quark

CONFIG = {
    "lr": 0.1,
    "steps": 30,
    "hydra": {
        "callbacks": {"quark": {"_target_": "quark_integrations.callbacks.hydra.QuarkCallback", "project": "sweep"}},
        "output_subdir": None,
    },
}
ConfigStore.instance().store("config", CONFIG)


@hydra.main(version_base=None, config_name="config")
def train(cfg: DictConfig) -> float:
    """Fit a line; the run is there already, and what is returned is its objective."""
    run = quark.current_run()
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    targets = inputs.sum(dim=1, keepdim=True)
    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr)
    loss = torch.tensor(0.0)
    for _ in run.steps(range(cfg.steps)):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        run.log({"train/loss": loss.detach()})
    return loss.item()


def main(storage_dir: str = "quark-runs") -> None:
    """Sweep, and say which learning rate was best."""
    directory = Path(storage_dir).resolve()
    sys.argv[1:] = [
        "--multirun", "lr=0.01,0.1", f"hydra.sweep.dir={directory / 'hydra'}", "hydra/job_logging=disabled",
        f"+hydra.callbacks.quark.storage_dir={directory}", "hydra/hydra_logging=disabled",
    ]  # fmt: skip
    train()
    with quark.open(directory) as store:
        views = list(store.runs(project="sweep"))
        best = min(views, key=lambda view: view.series("objective").values[-1])
        print(f"{len(views)} runs, best: {best.record.name}, objective {best.series('objective').values[-1]:.2g}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
