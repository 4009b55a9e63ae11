"""A request to stop a group reaches its members, and nobody else."""

from typing import Any

from msgspec.json import decode

from quark.records.base import Origin
from quark.storage import SqlStore
from quark.testing import make_batch, run_line, start_line


def start(store: SqlStore, run_id: str, **fields: Any) -> None:
    """Store the start of a run with these fields."""
    body = decode(start_line(Origin(run_id, "w"), name=run_id).body)
    body["run"].update(fields)
    store.append(make_batch(Origin(run_id, f"w-{run_id}"), [run_line("start", body)]))


def asked(store: SqlStore, run_id: str) -> float | None:
    """The grace period that a run was given when it was asked to stop; None if it was not asked."""
    return store.control(run_id).stop_grace_s


def test_a_group_passes_the_request_on(store: SqlStore) -> None:
    """To members that run and to those that begin later, not to members that have ended, nor to their own children."""
    start(store, "group", tags=["run-group"])
    for member in ("running", "ended"):
        start(store, member, parent_run_id="group")
    start(store, "grandchild", parent_run_id="running")
    start(store, "stranger")
    end = run_line("end", {"status": "failed", "reason": "error"})
    store.append(make_batch(Origin("ended", "w2"), [end]))
    store.request_stop("group", 30)
    start(store, "late", parent_run_id="group")
    found = {run: asked(store, run) for run in ("group", "running", "late", "ended", "grandchild", "stranger")}
    assert found == {"group": 30, "running": 30, "late": 30, "ended": None, "grandchild": None, "stranger": None}


def test_a_member_that_is_resumed_hears_of_the_request(store: SqlStore) -> None:
    """What was asked of its earlier attempt is forgotten, what is asked of its group is not."""
    start(store, "group", tags=["run-group"])
    start(store, "member", parent_run_id="group")
    store.request_stop("member", 5)
    resume = run_line("resume", {"attempt": 2})
    store.append(make_batch(Origin("member", "w2", attempt=2), [resume]))
    assert asked(store, "member") is None
    store.request_stop("group", 30)
    store.append(make_batch(Origin("member", "w3", attempt=3), [run_line("resume", {"attempt": 3})]))
    assert asked(store, "member") == 30


def test_a_run_that_is_no_group_stops_alone(store: SqlStore) -> None:
    """A run that was derived from another one is not its member."""
    start(store, "parent")
    start(store, "child", parent_run_id="parent")
    store.request_stop("parent", 30)
    start(store, "late", parent_run_id="parent")
    assert (asked(store, "child"), asked(store, "late")) == (None, None)
