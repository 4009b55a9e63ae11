"""The way of a log call whose arguments are legal: it is short, and what it leaves out changes nothing."""

import sys
import threading
from pathlib import Path

import pytest

import quark
from quark import MetricsLogger

EPOCHS = [None, 0, 2**63 - 1]
STEPS = [0, 1, 2**30 - 1, 2**30, 2**31, 2**63 - 2, 2**63 - 1]


@pytest.fixture
def run(tmp_path: Path):
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        yield run


def functions_called(call) -> list[str]:
    """The Python functions of this project that a call runs."""
    called: list[str] = []

    def note(frame, event, argument):
        if event == "call" and "quark" in frame.f_code.co_filename and frame.f_code is not call.__code__:
            called.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return called


def test_steps_of_any_size_are_kept(run):
    """Small and large steps take the same way in by both doors, with an epoch and without one."""
    metrics = MetricsLogger(run)
    for epoch in EPOCHS:
        for step in STEPS:
            run.log({f"wide/{epoch}": step / 2}, step=step, epoch=epoch)
            metrics.log(f"single/{epoch}", step / 2, step=step, epoch=epoch)
    for key, epoch in ((f"{door}/{epoch}", epoch) for door in ("wide", "single") for epoch in EPOCHS):
        kept = [(one.step, one.epoch, one.value) for one in metrics.read(metric_key=key)]
        assert kept == [(step, epoch, step / 2) for step in STEPS]


def test_a_call_runs_few_functions(run):
    """``metrics.log`` and ``run.log`` reach the journal without a detour, whatever the size of the step.

    Within ``run.steps`` nothing has to be found out from the step.
    """
    log, values = MetricsLogger(run).log, {"a": 1.0, "b": 2.0}
    run.log(values, step=0)
    for step in (5, 2**30, 2**40):
        assert functions_called(lambda at=step: log("a", 1.0, step=at)) == ["log", "put"]
        assert functions_called(lambda at=step: run.log(values, step=at)) == ["log", "saw", "log_values", "put"]
    for _ in run.steps(range(1), progress=False):
        assert functions_called(lambda: run.log(values)) == ["log", "step_for_log", "log_values", "put"]


def test_steps_count_on_from_the_highest_that_was_named(run):
    """A call without a step counts on, also beyond the small numbers and after a thread's call."""
    for step in (3, 2**30 + 5):
        thread = threading.Thread(target=run.log, args=({"a": 1.0},), kwargs={"step": step})
        thread.start()
        thread.join()
    run.log({"a": 2.0})
    steps = [one.step for one in MetricsLogger(run).read(metric_key="a")]
    assert steps == [3, 2**30 + 5, 2**30 + 6]
