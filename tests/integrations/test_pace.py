"""The meter of all callbacks, on a clock that is turned by hand: times of steps, pauses, throughput."""

from collections.abc import Callable

import pytest

import quark
from quark_integrations.callbacks import pace
from quark_integrations.callbacks.pace import Pace, samples_in

MS = 1_000_000
TIMES = ("step", "data", "compute")


class Clock:
    """Stands in for ``time.perf_counter_ns``, which nobody can stop."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def forward(self, milliseconds: int) -> None:
        self.now += milliseconds * MS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "perf_counter_ns", made)
    return made


@pytest.fixture
def session(tmp_path):
    with quark.start_run(project="pace", storage_dir=tmp_path) as run:
        yield run


def batch(meter: Pace, clock: Clock, *, data: int = 2, compute: int = 3, within: Callable[[], object] = int) -> None:
    """A batch of four samples and forty tokens that is waited for and trained on for so many milliseconds."""
    meter.asked()
    clock.forward(data)
    meter.begins(4, 40)
    clock.forward(compute)
    within()
    meter.through(clock())


def ended(meter: Pace, step: int) -> dict[str, float]:
    row: dict[str, float] = {}
    meter.ends(row, step, 0)
    return row


def times(row: dict[str, float]) -> tuple[float | None, ...]:
    return tuple(row.get(f"system/runtime/{name}_time_ms") for name in TIMES)


def test_a_step_of_several_batches_takes_as_long_as_they_do(session, clock):
    """Data and compute of the batches add up; what lies between two steps is no part of either."""
    meter = Pace(session, wanted=True)
    batch(meter, clock)
    ended(meter, 0)  # with the record of the machine
    batch(meter, clock)
    batch(meter, clock, data=1, compute=10)
    clock.forward(100)
    assert times(ended(meter, 1)) == (16.0, 3.0, 13.0)


def test_a_step_ends_with_the_batch_that_nobody_said_was_through(session, clock):
    """Where a step is one batch, its end is the end of the batch."""
    meter = Pace(session, wanted=True)
    batch(meter, clock)
    ended(meter, 0)
    meter.asked()
    clock.forward(1)
    meter.begins(4)
    clock.forward(6)
    assert times(ended(meter, 1)) == (7.0, 1.0, 6.0)


def test_a_pause_is_no_part_of_a_step(session, clock):
    """A checkpoint within a batch or before it counts neither as data nor as compute, nor against the throughput."""
    meter = Pace(session, wanted=True)
    batch(meter, clock)
    ended(meter, 0)
    meter.throughput()

    def save() -> None:
        clock.forward(50)
        meter.paused(0.05)

    batch(meter, clock, within=save)
    assert times(ended(meter, 1)) == (5.0, 2.0, 3.0)
    save()
    clock.forward(2)
    meter.begins(4)
    clock.forward(3)
    assert times(ended(meter, 2)) == (5.0, 2.0, 3.0)
    assert meter.throughput()["system/throughput/samples_per_s"] == pytest.approx(8 / 0.01)


def test_throughput_is_of_whole_batches(session, clock):
    """A batch that was broken off adds neither samples nor time, and the next question starts anew."""
    meter = Pace(session, wanted=True)
    batch(meter, clock)
    ended(meter, 0)
    meter.throughput()
    batch(meter, clock)
    ended(meter, 1)
    meter.asked()
    clock.forward(1000)
    meter.begins(4, 40)
    found = meter.throughput()
    assert found == {
        "system/throughput/samples_per_s": pytest.approx(800), "system/throughput/tokens_per_s": pytest.approx(8000)
    }  # fmt: skip
    assert meter.throughput() == {}


def test_the_machine_is_recorded_once_a_second(tmp_path, clock):
    """The first step and the first one after each second; the throughput comes along, but for the first step's."""
    with quark.start_run(project="pace", storage_dir=tmp_path) as run:
        meter = Pace(run, wanted=True)
        rows = []
        for step in range(250):
            batch(meter, clock, data=4, compute=6)
            rows.append(ended(meter, step))
        meter.close()
    assert [step for step, row in enumerate(rows) if "system/throughput/samples_per_s" in row] == [100, 200]
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert [record.step for record in view.telemetry()] == [0, 100, 200]


def test_nothing_is_measured_twice(session, clock):
    """Where telemetry is not wanted, or the user's own measures, a step has no times and no throughput."""
    unwanted = Pace(session, wanted=False)
    batch(unwanted, clock)
    assert (ended(unwanted, 0), unwanted.throughput()) == ({}, {})
    first, second = Pace(session, wanted=True), Pace(session, wanted=True)
    batch(second, clock)
    assert (ended(second, 0), second.throughput()) == ({}, {})
    first.close()
    third = Pace(session, wanted=True)
    batch(third, clock)
    ended(third, 1)
    batch(third, clock)
    assert times(ended(third, 2)) == (5.0, 2.0, 3.0)


class Shaped:
    """A tensor, as far as its shape goes."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (Shaped(7, 3), 7), (Shaped(), 0), ([Shaped(5), Shaped(2)], 5), ({"x": (Shaped(6, 1),)}, 6), ([], 0),
        ("text", 0), ([[[[Shaped(4)]]]], 0),
    ],
)  # fmt: skip
def test_samples_of_a_batch(given, count):
    """The first dimension of the first tensor, however it is wrapped, up to a depth."""
    assert samples_in(given) == count
