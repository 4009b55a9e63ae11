"""The examples run as they are, in seconds, and record what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quark

from ..children import CAPTURE_EVERYTHING

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
EXPECTED = {
    "accelerate_loop": ("half-planes", {"train/loss", "system/process/rss_bytes"}),
    "analyzer_diagnostics": ("sigmoids", {"train/loss", "system/runtime/step_time_ms"}),
    "compare_seeds": ("compare-seeds", {"train/loss", "slope/distance"}),
    "custom_loop": ("custom-loop", {"train/loss", "model/slope", "system/runtime/step_time_ms"}),
    "documented_pytorch_loop": ("image-classifier", {"train/loss", "optimizer/lr", "system/runtime/data_time_ms"}),
    "hydra_sweep": ("sweep", {"train/loss", "objective", "system/runtime/step_time_ms"}),
    "ignite_trainer": ("ignite-digits", {"train/loss", "optimizer/lr", "val/accuracy", "system/runtime/data_time_ms"}),
    "keras_fit": ("keras-digits", {"batch/loss", "train/loss", "val/accuracy", "optimizer/lr"}),
    "lightning_digits": ("digits", {"train/loss", "val/accuracy", "optimizer/lr", "optimizer/grad_norm"}),
    "mirror_to_clearml": ("mirrored", {"train/loss", "train/accuracy"}),
    "mirror_to_mlflow": ("mirrored", {"train/loss", "train/accuracy"}),
    "mirror_to_wandb": ("mirror-to-wandb", {"train/loss", "val/loss", "optimizer/lr"}),
    "resume_from_checkpoint": ("resume-demo", {"total"}),
    "session_lifecycle": ("lifecycle-demo", {"train/loss"}),
    "tracked_loop": ("tracked-loop", {"n_measured", "uncertainty", "val/mse", "system/tasks/training_ms"}),
    "transformers_trainer": ("counting", {"train/loss", "eval/loss", "optimizer/lr", "system/throughput/tokens_per_s"}),
    "watch_custom_loop": ("watch-digits", {"train/loss", "system/runtime/step_time_ms"}),
    "watch_transformer": ("watch-transformer", {"train/loss"}),
}


@pytest.mark.torch
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    """It works for those who copy it: without a warning, with its runs completed and their metrics in the store."""
    outside = {f"WANDB_{place}_DIR": str(tmp_path / place) for place in ("DATA", "CACHE", "CONFIG")}
    done = subprocess.run(
        [sys.executable, "-W", "error", path, tmp_path],
        cwd=tmp_path,
        env={**os.environ, **CAPTURE_EVERYTHING, **outside},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    project, keys = EXPECTED[path.stem]
    with quark.open(tmp_path) as store:
        views = list(store.runs(project=project))
        assert views and {view.status for view in views} == {"completed"}
        assert keys <= set().union(*(view.keys() for view in views))
