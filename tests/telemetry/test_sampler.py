"""The sampler: fresh while somebody asks, at rest while nobody does, and never in the way."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import SystemTelemetry
from quark.producers.telemetry.sample import BLANK, Sample, make_sample
from quark.producers.telemetry.sampler import Feed, Sampler, shared_sampler

from .doubles import Clock


class Looks:
    """A source that counts."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.count = 0
        self.complete = True
        self.fault: Exception | None = None

    def __call__(self) -> Sample:
        self.count += 1
        if self.fault is not None:
            raise self.fault
        return make_sample({"ram_used_bytes": self.count}, self.clock(), complete=self.complete)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def looks(clock: Clock) -> Looks:
    return Looks(clock)


@pytest.fixture
def sampler(clock: Clock) -> Sampler:
    return Sampler(clock, threaded=False)


@pytest.fixture
def feed(clock: Clock, looks: Looks, sampler: Sampler) -> Feed:
    made = Feed(looks, clock=clock)
    sampler.add(made)
    return made


def test_a_sample_is_kept_for_100_ms(feed: Feed, looks: Looks, sampler: Sampler, clock: Clock) -> None:
    """However often it is asked for, the machine is looked at ten times a second."""
    for _ in range(1000):
        feed.ask()
        sampler.tick()
        clock.now += 0.001
    assert looks.count == pytest.approx(10, abs=1)


def test_the_pause_lasts_until_the_next_look(feed: Feed, sampler: Sampler, clock: Clock) -> None:
    """The thread sleeps for exactly as long as the sample is fresh."""
    assert sampler.tick() == pytest.approx(0.1)
    clock.now += 0.04
    assert sampler.tick() == pytest.approx(0.06)


def test_it_rests_when_nobody_asks(feed: Feed, looks: Looks, sampler: Sampler, clock: Clock) -> None:
    """A second after the last question no look is taken and the thread waits for ever."""
    sampler.tick()
    clock.now += 1.01
    assert sampler.tick() is None
    assert looks.count == 1


def test_a_question_wakes_it(feed: Feed, looks: Looks, sampler: Sampler, clock: Clock) -> None:
    """After a rest the next question is answered by a look at once."""
    sampler.tick()
    clock.now += 10
    sampler.tick()
    feed.ask()
    assert sampler.tick() == pytest.approx(0.1)
    assert looks.count == 2


def test_an_incomplete_first_look_is_followed_by_a_quick_second(
    feed: Feed, looks: Looks, sampler: Sampler, clock: Clock
) -> None:
    """A rate needs two looks: the second comes after 20 ms, not after 100."""
    looks.complete = False
    assert sampler.tick() == pytest.approx(0.02)
    looks.complete = True
    clock.now += 0.021
    assert sampler.tick() == pytest.approx(0.1)


def test_a_fault_does_not_end_it(feed: Feed, looks: Looks, sampler: Sampler, clock: Clock) -> None:
    """A source that raises is tried again at the usual pace, and the last sample stays."""
    sampler.tick()
    good = feed.latest
    looks.fault = RuntimeError("driver")
    clock.now += 0.2
    assert sampler.tick() == pytest.approx(0.1)
    assert feed.latest is good
    looks.fault = None
    clock.now += 0.2
    sampler.tick()
    assert feed.latest.fields["ram_used_bytes"] == 3


def test_the_latest_sample_is_given_without_a_look(feed: Feed, looks: Looks, sampler: Sampler) -> None:
    """The asking thread never reads the machine itself."""
    sampler.tick()
    assert [feed.current() for _ in range(5)] == [feed.latest] * 5
    assert looks.count == 1


def test_what_is_too_old_is_not_told(feed: Feed, sampler: Sampler, clock: Clock) -> None:
    """When a driver hangs, values of long ago do not pass for those of now."""
    sampler.tick()
    clock.now += 60
    assert feed.current() is BLANK


def test_a_sampler_that_hangs_is_waited_for_once(clock: Clock, looks: Looks) -> None:
    """A step waits at most 5 ms for a sampler that does not answer, and the next steps do not wait at all."""
    waits: list[float] = []

    class Watched(threading.Condition):
        def wait_for(self, predicate: object, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    feed = Feed(looks, clock=clock)
    feed._arrived = Watched()
    sampler = Sampler(clock, threaded=False)
    sampler.add(feed)
    for _ in range(100):
        clock.now += 2
        feed.current()
    assert waits == [0.005]
    sampler.tick()
    clock.now += 2
    feed.current()
    assert waits == [0.005, 0.005]


def test_feeds_that_are_removed_are_not_looked_at(feed: Feed, looks: Looks, sampler: Sampler) -> None:
    """A producer that is closed costs nothing."""
    sampler.remove(feed)
    feed.ask()
    assert sampler.tick() is None
    assert looks.count == 0


def sampling_threads() -> set[threading.Thread]:
    """The threads of all samplers in this process."""
    return {thread for thread in threading.enumerate() if thread.name == "quark-telemetry"}


@pytest.fixture
def threaded() -> Iterator[Sampler]:
    others = sampling_threads()
    yield Sampler()
    assert sampling_threads() <= others


def real_feed() -> Feed:
    """A feed on the real clock."""
    return Feed(lambda: make_sample({"ram_used_bytes": 1}, time.monotonic()))


def test_one_thread_serves_all_feeds_and_ends_with_the_last(threaded: Sampler) -> None:
    """Two producers share a thread; it ends when both are closed."""
    feeds, others = [real_feed(), real_feed()], sampling_threads()
    for feed in feeds:
        threaded.add(feed)
    samples = [feed.await_sample(0.1, 10.0) for feed in feeds]
    started = sampling_threads() - others
    for feed in feeds:
        threaded.remove(feed, timeout_s=10.0)
    assert len(started) == 1
    assert [sample.fields["ram_used_bytes"] for sample in samples] == [1, 1]


@pytest.mark.parametrize("make", [SystemTelemetry, lambda run: run.stepper.own_telemetry()], ids=["user's", "run's"])
def test_no_thread_stays_for_a_run_that_has_ended(tmp_path: Path, make: Callable[[Any], SystemTelemetry]) -> None:
    """Telemetry that is made in the moment of the end, or later, is closed at once; it can be read still."""
    others = sampling_threads()
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        pass
    telemetry = make(run)
    assert telemetry.closed and telemetry.read() == ()
    assert sampling_threads() <= others


def test_a_sampler_starts_again_after_its_end(threaded: Sampler) -> None:
    """A second run in the same process is sampled like the first."""
    for _ in range(20):
        feed = real_feed()
        threaded.add(feed)
        assert feed.await_sample(0.1, 10.0).fields["ram_used_bytes"] == 1
        threaded.remove(feed, timeout_s=10.0)


def test_a_sleeping_thread_is_woken_by_a_question(threaded: Sampler) -> None:
    """The real thread, at rest, answers the first question after the pause."""
    feed = real_feed()
    threaded.add(feed)
    before = feed.await_sample(0.1, 10.0)
    feed.asked = float("-inf")
    while not threaded._resting:
        time.sleep(0.005)
    after = feed.await_sample(0.0, 10.0)
    threaded.remove(feed, timeout_s=10.0)
    assert after.taken > before.taken


@pytest.mark.fault
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_silent_and_can_begin_anew() -> None:
    """In a child there is no thread, nobody waits for one, closing does not hang, and a new run may sample again."""
    feed = real_feed()
    sampler = shared_sampler()
    sampler.add(feed)
    feed.await_sample(0.1, 10.0)
    child = os.fork()
    if child == 0:
        verdict = 1
        try:
            begun = time.monotonic()
            feed.asked = float("-inf")
            feed.await_sample(0.0, 30.0)
            quiet = threading.active_count() == 1 and time.monotonic() - begun < 10
            sampler.remove(feed)
            fresh = real_feed()
            shared_sampler().add(fresh)
            again = fresh.await_sample(0.1, 10.0).fields["ram_used_bytes"] == 1
            verdict = 0 if quiet and again and shared_sampler() is not sampler else 2
        finally:
            os._exit(verdict)
    _, status = os.waitpid(child, 0)
    sampler.remove(feed, timeout_s=10.0)
    assert os.waitstatus_to_exitcode(status) == 0
