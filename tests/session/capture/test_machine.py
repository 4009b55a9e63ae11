"""System metrics of loops that Quark does not drive."""

import time

import pytest

import quark
from quark.session.capture import machine


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Samples come as fast as the journal's thread comes by."""
    monkeypatch.setattr(machine, "FIRST_S", 0.0)
    monkeypatch.setattr(machine, "SHARE_OF_ELAPSED", 0.0)


def _wait(run, count, deadline_s=30.0):
    """Until the machine was sampled ``count`` times."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if len(run._stepper.own_telemetry()._recent) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the machine was not sampled")


def test_a_loop_of_ones_own_has_system_metrics(capture, view_of):
    """Processor and memory are charted over the steps that ``run.log`` names; records hold the time."""
    run = capture("SYSTEM")
    run.log({"loss": 1.0}, step=7)
    _wait(run, 3)
    run.end_run()
    view = view_of(run)
    series = view.series("system/process/rss_bytes")
    assert set(series.steps.tolist()) == {7}
    assert (series.values > 0).all()
    keys = view.keys()
    assert "system/cpu/usage_percent" in keys
    assert not [key for key in keys if key.startswith("system/runtime")]
    records = list(view.records("telemetry"))
    assert {(record.boundary, record.step) for record in records} == {("time", 7)}
    assert run.health()["faults"] == {}


def test_a_run_without_steps_has_records_of_the_time_alone(capture, view_of):
    """There is no step to chart over, and none is made up."""
    run = capture("SYSTEM")
    _wait(run, 2)
    run.end_run()
    view = view_of(run)
    assert {record.step for record in view.records("telemetry")} == {None}
    assert list(view.keys()) == []


def test_steps_and_the_users_own_telemetry_are_not_measured_twice(capture, view_of, monkeypatch):
    """``run.steps`` records the machine each second; an attached SystemTelemetry does as it was told."""
    monkeypatch.setattr(machine, "FIRST_S", 5.0)
    run = capture("SYSTEM")
    for _ in run.steps(range(5), progress=False):
        time.sleep(0.2)
        run.capture.tick()
    run.end_run()
    assert {record.boundary for record in view_of(run).records("telemetry")} == {"step"}
    monkeypatch.setattr(machine, "FIRST_S", 0.0)
    run = capture("SYSTEM")
    telemetry = quark.SystemTelemetry(run)
    for _ in range(3):
        run.capture.tick()
    telemetry.sample()
    run.end_run()
    assert len(list(view_of(run).records("telemetry"))) == 1


def test_long_steps_are_sampled_within(capture, view_of):
    """A step of minutes shows what the machine did during it."""
    run = capture("SYSTEM")
    for _ in run.steps(range(1), progress=False):
        _wait(run, 2)
    run.end_run()
    boundaries = [(record.boundary, record.step) for record in view_of(run).records("telemetry")]
    assert boundaries.count(("time", 0)) >= 2
    assert boundaries.count(("step", 0)) == 1


def test_it_is_switched_off(capture, view_of, monkeypatch):
    """QUARK_CAPTURE_SYSTEM=0: no thread, no record."""
    monkeypatch.setenv("QUARK_CAPTURE_SYSTEM", "0")
    run = capture()
    run.log({"loss": 1.0})
    for _ in range(5):
        run.capture.tick()
    run.end_run()
    assert list(view_of(run).records("telemetry")) == []


def test_a_setting_that_cannot_be_read_stops_no_training(capture, monkeypatch, caplog):
    """It is warned about, with what to use; nothing is captured."""
    monkeypatch.setenv("QUARK_CAPTURE_OUTPUT", "some")
    run = capture()
    run.end_run()
    assert "QUARK_CAPTURE_OUTPUT cannot be used: got 'some'; use 1, 0 or all" in caplog.text
