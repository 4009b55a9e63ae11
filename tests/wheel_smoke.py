"""Run against an installed wheel with the core dependencies alone: every name, a tiny run, and its way back."""

import math
import os
import sys
import tempfile
from pathlib import Path

import quark


def check(good: bool, what: str) -> None:
    """Stop with a message: this file runs without pytest, and must not be silenced by ``python -O``."""
    if not good:
        sys.exit(f"wheel smoke test failed: {what}")


def main() -> None:
    os.environ["QUARK_PROGRESS"] = "0"
    check("site-packages" in quark.__file__, f"quark was imported from {quark.__file__}, not from the wheel")
    for name in quark._HOMES:
        getattr(quark, name)
    with tempfile.TemporaryDirectory() as folder:
        with quark.start_run(project="wheel", config={"lr": 0.1}, storage_dir=folder) as run:
            for step in range(100):
                run.log({"train/loss": math.exp(-step / 50)}, step=step)
            run.add_log("half-way")
            with quark.ArtifactStore(run) as artifacts:
                kept = artifacts.store("note", "hello", "text")
                check(artifacts.load(kept) == "text", "an artifact did not come back")
        view = quark.open(folder).run(run.run_id)
        check(view.status == "completed", f"the status is {view.status!r}")
        check(len(view.series("train/loss").values) == 100, "metrics are missing")
        check(any(event.event_type == "user_log" for event in view.events()), "the log message is missing")
    check(not any(Path.cwd().glob("*.quark")), "files were left behind")
    print(f"quark {quark.__version__}: {len(quark._HOMES)} names, 100 points, one artifact: all came back")


if __name__ == "__main__":
    main()
