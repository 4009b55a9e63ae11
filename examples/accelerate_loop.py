"""A training loop under Accelerate, recorded by Quark.

python examples/accelerate_loop.py [storage directory]
"""

import sys

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

import quark
from quark_integrations.callbacks.accelerate import QuarkGeneralTracker

storage = sys.argv[1] if len(sys.argv) > 1 else "quark-runs"
torch.manual_seed(0)
config = {"lr": 0.1, "epochs": 4, "batch_size": 16}

points = torch.rand(128, 2)
labels = (points.sum(1, keepdim=True) > 1).float()
model = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
loader = DataLoader(TensorDataset(points, labels), batch_size=config["batch_size"], shuffle=True)

accelerator = Accelerator(cpu=True, log_with=QuarkGeneralTracker(storage_dir=storage, tags=["example"]))
accelerator.init_trackers("half-planes", config=config)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
try:
    step = 0
    for epoch in range(config["epochs"]):
        for batch, wanted in loader:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), wanted)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            accelerator.log({"train/loss": loss.detach()}, step=step, log_kwargs={"quark": {"epoch": epoch}})
            step += 1
finally:  # so that an exception is the end of the run
    accelerator.end_training()

with quark.open(storage) as store:
    run = next(iter(store.runs(project="half-planes")))
    print(run.status, run.config["lr"], run.series("train/loss").values[[0, -1]].round(3).tolist())
