"""What is found out of a run's environment after its start."""

from typing import Any

import msgspec
import pytest

from quark.records.base import Origin
from quark.records.limits import MAX_RECORD_BYTES
from quark.storage import SqlStore
from quark.storage.append import RefusedLineError
from quark.testing import make_batch, run_line, start_line

ORIGIN = Origin("r", "w")


def _started() -> Any:
    body = msgspec.json.decode(start_line(ORIGIN).body)
    body["run"]["environment"] = {"host": "here", "git": {"commit": "1"}}
    return run_line("start", body)


def _learned(values: Any) -> Any:
    return run_line("environment", {"values": values})


def test_what_is_learned_replaces_what_it_names(store: SqlStore) -> None:
    """The rest of the environment stays."""
    store.append(make_batch(ORIGIN, [_started(), _learned({"git": {"commit": "1", "dirty": True}})]), strict=True)
    assert store.run("r").environment == {"host": "here", "git": {"commit": "1", "dirty": True}}


def test_the_environment_is_that_of_the_latest_attempt(store: SqlStore) -> None:
    """What an earlier attempt has learned, and is delivered late, says nothing of the later one's machine."""
    second = Origin("r", "w2", 0, 2)
    resumed = run_line("resume", {"attempt": 2, "environment": {"host": "there"}})
    store.append(make_batch(ORIGIN, [_started()]), strict=True)
    store.append(make_batch(second, [resumed, _learned({"a": 1})]), strict=True)
    store.append(make_batch(ORIGIN, [_learned({"host": "here"})], 1), strict=True)
    assert store.run("r").environment == {"host": "there", "a": 1}


@pytest.mark.parametrize("values", [None, [], "x", {"a": "x" * MAX_RECORD_BYTES}], ids=["none", "list", "text", "long"])
def test_what_is_no_environment_is_refused(store: SqlStore, values: Any) -> None:
    """Malformed or too large: the line is set aside, and the environment stays as it was."""
    store.append(make_batch(ORIGIN, [_started()]), strict=True)
    with pytest.raises(RefusedLineError):
        store.append(make_batch(ORIGIN, [_learned(values)], 1), strict=True)
    assert store.run("r").environment == {"host": "here", "git": {"commit": "1"}}
