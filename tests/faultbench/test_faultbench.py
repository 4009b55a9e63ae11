"""The fast lane of the fault bench: one real run of each kind of fault, and of suspicious health."""

from pathlib import Path

import pytest

from .bench import run_all, score
from .scenarios import FAULTS, HEALTHY, Scenario
from .table import BEGIN, END, table, write_table

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]

QUICK = (
    "rate_far_too_high", "vanishing_sigmoids", "left_out_of_the_optimizer", "detached", "dead_units", "saturated",
    "overfitting", "broken_sample", "rate_too_low", "shuffled_labels",
    "statistics_of_other_data",
)  # fmt: skip
SUSPICIOUS = ("huge_loss", "tiny_loss", "warm_restarts", "deep_residual", "negative_loss", "frozen_layers", "converged",
              "two_modes")  # fmt: skip
SEED = 0


def named(names: tuple[str, ...]) -> list[Scenario]:
    """Scenarios by name; a name that is gone is an error."""
    known = {scenario.__name__: scenario for scenario in (*FAULTS, *HEALTHY)}
    return [known[name] for name in names]


@pytest.mark.parametrize("scenario", named(QUICK), ids=lambda one: one.__name__)
def test_a_fault_is_named(scenario: Scenario) -> None:
    """The alert that fits comes, and none that does not."""
    (case,) = run_all([SEED], [scenario])
    assert case.valid, "the fault did not come about"
    assert case.found, case.said
    assert case.wrong == set()


@pytest.mark.parametrize("scenario", named(SUSPICIOUS), ids=lambda one: one.__name__)
def test_a_healthy_run_is_left_alone(scenario: Scenario) -> None:
    """However suspicious it looks."""
    (case,) = run_all([SEED], [scenario])
    assert case.valid, "the run did not learn"
    assert case.said == {}


def test_the_table_counts_what_was_said(tmp_path: Path) -> None:
    """Right, wrong, found and missed come from the runs, and the page keeps what is around the table."""
    cases = run_all([SEED], named(("left_out_of_the_optimizer", "negative_loss")))
    counted = score(cases)
    assert (counted.faulty, counted.found, counted.healthy, counted.false_alarms) == (1, 1, 1, 0)
    cases[1].said["no_learning"] = 100
    cases[0].said.clear()
    counted = score(cases)
    assert (counted.found, counted.recall, counted.false_alarm_rate, counted.precision) == (0, 0.0, 1.0, 0.0)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write_table(page, cases)
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert table(cases) in text
