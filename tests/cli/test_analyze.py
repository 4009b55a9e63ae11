"""`quark analyze`."""

from pathlib import Path

import pytest

import quark

from ..analysis.runs import falling
from .conftest import Command


@pytest.fixture
def spiked(tmp_path: Path) -> Path:
    """A directory with one run whose loss jumped."""
    values = falling()
    values[300] = 9.0
    with quark.start_run(project="analyze", storage_dir=tmp_path) as run:
        for step, value in enumerate(values):
            run.log({"train/loss": value}, step=step)
    return tmp_path


def test_alerts_are_told_with_what_to_do(command: Command, spiked: Path) -> None:
    """The alert, its onset, its fact and its actions, and the scores of what could be judged."""
    out = command("analyze", "-d", spiked).out
    for word in (
        "1 alert",
        "optimization",
        "84",
        "watch",
        "unknown",
        "roles of metrics: loss: train/loss",
        "warning: The loss jumped",
        "since step 300",
        "- Clip",
    ):
        assert word in out
    assert "could not judge" not in out
    assert "overfitting_onset could not judge" in command("analyze", "-d", spiked, "--abstained").out


def test_json_is_the_result(command: Command, spiked: Path) -> None:
    """Alerts, scores and abstentions, for scripts; nothing was written to the run."""
    document = command("analyze", "-d", spiked, "--json").json()
    assert [(alert["rule_id"], alert["step_start"]) for alert in document["alerts"]] == [("loss_spike", 300)]
    assert document["health_scores"][0]["score_key"] == "overall"
    assert "overfitting_onset" in document["abstentions"]
    assert (document["verdict"]["rule"], document["verdict"]["step"]) == ("loss_spike", 300)
    assert document["roles"] == {"loss": "train/loss"}
    assert "generalization" in document["unknown"]
    with quark.open(spiked) as store:
        assert next(store.runs()).alerts() == ()


def test_a_silenced_rule_is_silent_and_a_wrong_name_is_refused(command: Command, spiked: Path) -> None:
    """A rule that does not exist is an error that names those that do."""
    assert command("analyze", "-d", spiked, "--silence", "loss_spike", "--json").json()["alerts"] == []
    refused = command("analyze", "-d", spiked, "--silence", "spikes", "--json")
    assert refused.code == 1
    assert "loss_spike" in refused.json()["error"]["message"]
