"""Silence is judged by a clock that only goes forward, and by nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quark.records.base import Origin
from quark.service.watch import RETURNED_EVERY_S, Watch
from quark.storage import SqlStore
from quark.testing.batches import make_batch, metric_lines, run_line, start_line
from quark.testing.opened import end_mark

ORIGIN = Origin("r", "0-1-a", 0, 1)
LOST_AFTER_S = 100.0


class Clock:
    """A clock that is set by hand, seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """A store with one run that has sent one heartbeat."""
    place = tmp_path / "quark.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with SqlStore(place) as opened:
        opened.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        opened.beat("r", 10.0)
        yield opened


def looked(watch: Watch, clock: Clock, seconds: int) -> None:
    """Look once a second for so long."""
    for _ in range(seconds):
        clock.now += 1
        watch.look()


def test_a_silent_run_is_stale_then_lost_and_comes_back_with_a_heartbeat(store: SqlStore) -> None:
    """Stale after three intervals, lost after the grace period behind them, running again when it beats."""
    clock = Clock()
    watch = Watch(store, LOST_AFTER_S, clock)
    looked(watch, clock, 31)
    assert (store.run("r").status, store.control("r").stale) == ("running", False)
    looked(watch, clock, 1)
    assert (store.run("r").status, store.control("r").stale) == ("running", True)
    looked(watch, clock, 99)
    assert store.run("r").status == "running"
    looked(watch, clock, 2)
    run = store.run("r")
    assert (run.status, run.reason, run.ended_at is None) == ("failed", "lost", False)
    assert [event.payload["reason"] for event in store.records("r", "event")] == ["lost"]  # type: ignore[attr-defined]
    store.beat("r", 10.0)
    run = store.run("r")
    assert (run.status, run.reason, run.ended_at, store.control("r").stale) == ("running", None, None, False)


def test_records_are_a_sign_of_life_too(store: SqlStore) -> None:
    """A run whose records come is never lost, and one that was lost goes on when they come again."""
    clock = Clock()
    watch = Watch(store, LOST_AFTER_S, clock)
    looked(watch, clock, 100)
    store.append(make_batch(ORIGIN, metric_lines(1), 1))
    looked(watch, clock, 100)
    assert (store.run("r").status, store.control("r").stale) == ("running", True)
    looked(watch, clock, 40)
    assert store.run("r").status == "failed"
    store.append(make_batch(ORIGIN, metric_lines(1), 2))
    looked(watch, clock, int(RETURNED_EVERY_S))
    assert store.run("r").status == "running"


def test_lost_runs_are_looked_at_now_and_then(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was ever lost is not read every second: there may be thousands of such runs."""
    clock, asked, before = Clock(), [], SqlStore.returned
    monkeypatch.setattr(SqlStore, "returned", lambda self: asked.append(clock.now) or before(self))
    watch = Watch(store, LOST_AFTER_S, clock)
    looked(watch, clock, 200)
    assert store.run("r").reason == "lost"
    assert store.signs() == []
    assert len(asked) == 1 + 199 // int(RETURNED_EVERY_S)


def test_the_true_end_counts(store: SqlStore) -> None:
    """A writer that comes back only to end is believed, and no later look changes that."""
    clock = Clock()
    watch = Watch(store, LOST_AFTER_S, clock)
    looked(watch, clock, 140)
    assert store.run("r").reason == "lost"
    store.append(make_batch(ORIGIN, [end_mark("completed", "completed")], 1))
    looked(watch, clock, 200)
    assert (store.run("r").status, store.run("r").reason) == ("completed", "completed")


def test_a_rank_that_is_late_still_hears_where_to_stop(store: SqlStore) -> None:
    """Rank 0 that stopped and ended the run leaves the agreed step behind; a further attempt knows nothing of it."""
    store.request_stop("r", 60.0)
    store.beat("r", 10.0, stop_step=7)
    store.append(make_batch(ORIGIN, [end_mark("interrupted", "interrupted")], 1))
    control = store.control("r")
    assert (control.stop_requested_at, control.stop_grace_s, control.stop_step) == (None, None, 7)
    further = Origin("r", "0-2-b", 0, 2)
    store.append(make_batch(further, [run_line("resume", {"attempt": 2, "resumed_at": "2026-05-07T00:00:00Z"})]))
    assert (store.run("r").status, store.control("r").stop_step) == ("running", None)


def test_a_new_watcher_and_one_that_was_held_up_begin_anew(store: SqlStore) -> None:
    """A restart of the service, or an hour in which it did not run, counts as nobody's silence."""
    clock = Clock()
    looked(Watch(store, LOST_AFTER_S, clock), clock, 120)
    watch = Watch(store, LOST_AFTER_S, clock)
    looked(watch, clock, 20)
    clock.now += 3600
    looked(watch, clock, 90)
    assert store.run("r").status == "running"
    looked(watch, clock, 50)
    assert store.run("r").status == "failed"


def test_of_several_watchers_one_closes_a_run(store: SqlStore) -> None:
    """Replicas that watch the same database write one end between them."""
    clock = Clock()
    watches = [Watch(store, LOST_AFTER_S, clock) for _ in range(3)]
    for _ in range(140):
        clock.now += 1
        for watch in watches:
            watch.look()
    assert store.run("r").status == "failed"
    assert len(list(store.records("r", "event"))) == 1


def test_a_run_that_never_beat_is_left_alone(store: SqlStore) -> None:
    """What was imported, or recorded without heartbeats, is not missed."""
    other = Origin("other", "0-1-a", 0, 1)
    store.append(make_batch(other, [start_line(other)]))
    clock = Clock()
    looked(Watch(store, LOST_AFTER_S, clock), clock, 300)
    assert store.run("other").status == "running"
