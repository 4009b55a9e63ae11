"""A program that goes on from its last whole checkpoint, however it was ended.

Run it with:  quark run --restarts 3 -- python examples/resume_from_checkpoint.py [storage_dir]
"""

import json
import os
import sys
from pathlib import Path

import quark

STEPS = 50


def main(storage_dir: str = "quark-runs") -> None:
    """Count up, writing a checkpoint every ten steps; under `quark run` the first attempt dies half-way."""
    with quark.start_run(project="resume-demo", storage_dir=storage_dir) as run:
        found = run.latest_checkpoint()
        first, total = 0, 0.0
        if found is not None and found.path is not None:
            state = json.loads(Path(found.path).read_text())
            first, total = state["step"] + 1, state["total"]
            print(f"going on at step {first}, after attempt {found.attempt}")
        for step in run.steps(range(first, STEPS), start=first, progress=False):
            total += 1.0
            run.log({"total": total})
            run.set_progress(step + 1, STEPS)
            if step % 10 == 9:
                path = Path(run.run_path) / f"step-{step}.json"
                with run.checkpoint(path, step=step):
                    path.write_text(json.dumps({"step": step, "total": total}))
            if step == STEPS // 2 and run.manifest.attempt == 1 and run.manifest.environment.get("launcher"):
                os.abort()
        run.summary["total"] = total
    print(f"run {run.run_id}: {run.status}, total {total:g}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
