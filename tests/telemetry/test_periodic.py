"""The machine is recorded on its own while no step is taken."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import SchemaValidationError, SystemTelemetry, WrongTypeError


def sampled(path: Path) -> list[tuple[str, int | None]]:
    """Boundary and step of the telemetry of the run."""
    with quark.open(path) as store:
        return [(one.boundary, one.step) for one in store.run("r").telemetry()]


def test_samples_come_without_steps(tmp_path: Path, own_threads: Callable[[], list[str]]) -> None:
    """The first at once, then one each period, until the run ends; the thread is gone then."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path) as run:
        telemetry = SystemTelemetry(run)
        telemetry.start_sampling(0.1)
        seen, deadline = 0, time.monotonic() + 30
        while seen < 3 and time.monotonic() < deadline:
            seen += len(telemetry.flush())
            time.sleep(0.05)
    found = sampled(tmp_path)
    assert len(found) >= 3 and set(found) == {("time", None)}
    assert "quark-telemetry-periodic" not in own_threads()
    time.sleep(0.3)
    assert sampled(tmp_path) == found


def test_another_pace_takes_the_place_of_the_first(tmp_path: Path, own_threads: Callable[[], list[str]]) -> None:
    """There is one thread, and closing the producer ends it."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path) as run, SystemTelemetry(run) as telemetry:
        for every_s in (60, 30.0, 1e6):
            telemetry.start_sampling(every_s)
            names = own_threads()
            assert names.count("quark-telemetry-periodic") == 1
        telemetry.close()
        assert "quark-telemetry-periodic" not in own_threads()


@pytest.mark.parametrize("every_s", [0, 0.01, -1, float("nan"), float("inf"), "5 s", None, True])
def test_what_no_period_can_be(tmp_path: Path, every_s: Any) -> None:
    """In strict mode it raises and names what it got, and no thread is begun."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path, strict_mode=True) as run:
        telemetry = SystemTelemetry(run)
        with pytest.raises((SchemaValidationError, WrongTypeError), match="every_s"):
            telemetry.start_sampling(every_s)
    assert sampled(tmp_path) == []


def test_nothing_is_sampled_where_nothing_is_recorded(
    monkeypatch: pytest.MonkeyPatch, own_threads: Callable[[], list[str]]
) -> None:
    """With QUARK_DISABLE there is no thread."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    with quark.start_run(project="p") as run:
        SystemTelemetry(run).start_sampling(0.1)
        assert "quark-telemetry-periodic" not in own_threads()
