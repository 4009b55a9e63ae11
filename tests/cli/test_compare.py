"""`quark compare`."""

from pathlib import Path

import pytest

import quark

from .conftest import Command


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A directory with the runs ``fast`` and ``slow``."""
    for name, lr in (("fast", 0.1), ("slow", 0.02)):
        with quark.start_run(project="compare", name=name, storage_dir=tmp_path, config={"lr": lr}) as run:
            for step in range(60):
                run.log({"train/loss": 2.0 * (1 - lr) ** step + 0.1}, step=step)
            if name == "fast":
                run.log({"extra": 1.0}, step=60)
    return tmp_path


def test_differences_are_told(command: Command, pair: Path) -> None:
    """Settings, metrics at the last common step, targets, phases, and what two runs cannot show."""
    out = command("compare", "fast", "slow", "-d", pair, "--target", "train/loss<=1.0").out
    for word in ("fast (completed) against slow (completed)", "lr", "0.02", "train/loss", "59", "rapid_learning"):
        assert word in out
    assert "in the first run only" in out
    assert "cannot tell a better setting from a lucky seed" in " ".join(out.split())


def test_json_is_the_result(command: Command, pair: Path) -> None:
    """The documented document, and nothing else."""
    document = command(
        "compare", "fast", "slow", "-d", pair, "--baseline", "--target", "train/loss<=1.0", "--json"
    ).json()
    assert document["mode"] == "baseline"
    found = next(diff for diff in document["metric_diffs"] if diff["metric_key"] == "train/loss")
    assert found["time_to_target_step"]["primary"] < found["time_to_target_step"]["reference"]
    assert [diff["key"] for diff in document["config_diffs"]] == ["lr"]
    assert {"generated_at", "primary", "reference", "alert_diff", "phase_diffs", "layer_summary_diffs"} <= set(document)


def test_a_target_or_a_run_that_cannot_be_used_is_told(command: Command, pair: Path) -> None:
    """A command line that cannot be read is 2, a run that is not there 1."""
    answer = command("compare", "fast", "slow", "-d", pair, "--target", "train/loss")
    assert (answer.code, "KEY>=VALUE" in answer.err) == (2, True)
    assert command("compare", "fast", "slow", "-d", pair, "--target", "train/loss>=many").code == 2
    assert command("compare", "fast", "nobody", "-d", pair).code == 1
