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


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A directory with the runs ``a``, ``b`` and ``c``, whose learning rates and best accuracies differ."""
    for name, lr, best in (("a", 0.1, 0.5), ("b", 0.01, 0.9), ("c", 0.001, 0.7)):
        config = {"lr": lr, "seed": 1}
        with quark.start_run(project="compare", name=name, storage_dir=tmp_path, config=config) as run:
            for step, value in enumerate((0.1, best, 0.2)):
                run.log({"val/acc": value, "system/cpu": step, "lr": lr}, step=step)
    return tmp_path


def test_any_number_of_runs_is_put_side_by_side(command: Command, three: Path) -> None:
    """A column a run: the settings that differ, the best values with their steps, the last values."""
    out = command("compare", "a", "b", "c", "-d", three).out
    assert "0.9 at 1" in out and "0.7 at 1" in out and "seed" not in out
    assert out.index("0.001") < out.index("0.9 at 1")
    document = command("compare", "a", "b", "c", "-d", three, "--json").json()
    assert document["config"] == {"lr": [0.1, 0.01, 0.001]}
    assert [best["value"] for best in document["best"]["val/acc"]] == [0.5, 0.9, 0.7]
    assert document["last"]["val/acc"] == [0.2, 0.2, 0.2]
    assert [run["name"] for run in document["runs"]] == ["a", "b", "c"]


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_metrics_of_the_machine_come_last(command: Command, three: Path, names: tuple[str, ...]) -> None:
    """What the user measured is read first."""
    out = command("compare", *names, "-d", three).out
    assert out.rindex("val/acc") < out.index("system/cpu")


def test_two_runs_are_compared_by_their_best_values_too(command: Command, three: Path) -> None:
    """The last value hides a run that was better before."""
    assert "0.9 at 1" in command("compare", "a", "b", "-d", three).out


def test_a_learning_rate_is_not_within_the_noise(command: Command, pair: Path) -> None:
    """A schedule is set: its difference is meant, whatever its course looks like."""
    for name, lr in (("first", 0.1), ("second", 0.11)):
        with quark.start_run(project="compare", name=name, storage_dir=pair) as run:
            for step in range(40):
                run.log({"lr": lr * abs(step % 20 - 10), "same": 1.0}, step=step)
    document = command("compare", "first", "second", "-d", pair, "--json").json()
    diffs = {diff["metric_key"]: diff for diff in document["metric_diffs"]}
    assert diffs["lr"]["noise_band"] is None and diffs["lr"]["within_noise"] is None
    out = command("compare", "first", "second", "-d", pair).out
    assert "within the noise" not in out and "equal" in out


@pytest.mark.parametrize("options", [["a"], ["a", "b", "c", "--baseline"], ["a", "b", "c", "--target", "x>=1"]])
def test_a_comparison_that_makes_no_sense_is_a_usage_error(command: Command, three: Path, options: list[str]) -> None:
    """One run has nothing to be compared with; a baseline and a target belong to two."""
    assert command("compare", *options, "-d", three).code == 2
