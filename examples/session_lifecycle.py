"""Start, tag, log and end a run, then read it back: python examples/session_lifecycle.py [storage_dir]."""

import sys
from pathlib import Path

import quark
from quark import EventLogger, MetricsLogger, TrainingSession


def main(storage_dir: Path) -> None:
    """Record a run of a hundred steps and print what the store holds of it."""
    with (
        TrainingSession.start_run(
            project="image-classifier",
            config={"model": "resnet18", "optimizer": "adamw", "lr": 3e-4},
            tags=["baseline"],
            storage_dir=storage_dir,
        ) as session,
        MetricsLogger(session) as metrics,
        EventLogger(session) as events,
    ):
        for step in range(100):
            metrics.log("train/loss", 1.42 / (1 + step), step=step, epoch=0)
        events.log("checkpoint_saved", step=99, epoch=0, payload={"path": "checkpoints/step-99.pt"})
        session.add_log("Warm-up completed without instability.", identifier="Info")
        session.add_tag("done")

    view = quark.open(storage_dir).run(session.run_id)
    print(view.id, view.status, view.tags)
    print(view.keys(), len(view.series("train/loss").values))
    for event in view.events():
        print(event.timestamp, event.severity, event.event_type)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "quark-runs").resolve())
