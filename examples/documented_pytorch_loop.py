"""A PyTorch loop with metrics, events and runtime telemetry from the classes, each attached to one session.

Run it with:  python examples/documented_pytorch_loop.py [storage_dir]
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from quark import EventLogger, MetricsLogger, SystemTelemetry, SystemTelemetryConfig, TrainingSession


def make_loader() -> DataLoader:
    """Two noisy clouds of points, and which of them each point belongs to."""
    labels = torch.randint(0, 2, (512,))
    points = torch.randn(512, 8) + labels.unsqueeze(1) * 1.5
    return DataLoader(TensorDataset(points, labels), batch_size=32, shuffle=True)


def main(storage: str = "quark-runs") -> None:
    """Train a small classifier and record it."""
    num_epochs = 3
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader = make_loader()
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    storage_dir = Path(storage).resolve()

    with (
        TrainingSession.start_run(
            project="image-classifier",
            config={"model": "mlp", "epochs": num_epochs},
            tags=["experiment", "pytorch"],
            storage_dir=storage_dir,
        ) as session,
        MetricsLogger(session, batch_size=100) as metrics,
        EventLogger(session, batch_size=50) as events,
        SystemTelemetry(
            session, config=SystemTelemetryConfig(sample_every_n_steps=10, capture_gpu=device.type == "cuda")
        ) as telemetry,
    ):
        for epoch in range(num_epochs):
            train_iter = iter(train_loader)
            for step_in_epoch in range(len(train_loader)):
                global_step = (epoch * len(train_loader)) + step_in_epoch

                with telemetry.start_step(global_step, epoch=epoch, metadata={"split": "train"}) as step_scope:
                    inputs, targets = next(train_iter)
                    inputs = inputs.to(device)
                    targets = targets.to(device)
                    step_scope.mark_data_ready()

                    optimizer.zero_grad(set_to_none=True)
                    loss = criterion(model(inputs), targets)
                    loss.backward()
                    optimizer.step()

                # The tensor is enough: float(loss.item()) would make a GPU wait on every step.
                metrics.log("train/loss", loss, step=global_step, epoch=epoch)
                metrics.log("optimizer/lr", optimizer.param_groups[0]["lr"], step=global_step, epoch=epoch)

                if global_step % 20 == 0:
                    path = f"checkpoints/step-{global_step}.pt"
                    events.log("checkpoint_saved", step=global_step, epoch=epoch, payload={"path": path})

    print(f"run {session.run_id}: {session.status}")
    print(f"see it with: quark show {session.run_id} --storage-dir {storage_dir}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
