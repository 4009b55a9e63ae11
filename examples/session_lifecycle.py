"""The life of a run, step by step: start, tag, log, end, look it up, interrupt another one and resume it.

Run it with:  python examples/session_lifecycle.py [storage_dir]
"""

import sys

import quark
from quark import EventLogger, MetricsLogger, TrainingSession


def main(storage_dir: str = "quark-runs") -> None:
    """Record two runs in ``storage_dir`` and read the first one back."""
    with (
        TrainingSession.start_run(
            project="lifecycle-demo", config={"lr": 3e-4, "epochs": 2}, tags=["example"], storage_dir=storage_dir
        ) as session,
        MetricsLogger(session) as metrics,
        EventLogger(session) as events,
    ):
        for step in range(20):
            metrics.log("train/loss", 1.0 / (step + 1), step=step, epoch=step // 10)
        session.add_tag("tagged-while-running")
        session.add_log("Warm-up went well.", identifier="Info", step=9)
        events.log("checkpoint_saved", step=19, epoch=1, payload={"path": "checkpoints/step-19.pt"})
    print(f"run {session.run_id}: {session.status}, files in {session.run_path}")

    interrupted = TrainingSession.start_run(project="lifecycle-demo", storage_dir=storage_dir)
    interrupted.end_run(status="interrupted")
    with TrainingSession.resume_run(run_id=interrupted.run_id, storage_dir=storage_dir) as resumed:
        resumed.add_log("Recovered after maintenance.", identifier="Info")
    print(f"run {resumed.run_id}: {resumed.status} at the second attempt")

    with quark.open(storage_dir) as store:
        view = store.run(session.run_id)
        losses = view.series("train/loss")
        print(f"read back: {len(losses)} losses from {losses.values[0]:.2f} to {losses.values[-1]:.2f}")
        print("events:", ", ".join(event.event_type for event in view.events()))


if __name__ == "__main__":
    main(*sys.argv[1:2])
