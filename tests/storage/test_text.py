"""Any text may be stored and asked for, in whichever database."""

import msgspec
import pytest

from quark import RecordFilter, SchemaValidationError
from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.storage import SqlStore
from quark.testing import event_line, make_batch, run_line, start_line

ORIGIN = Origin("run-1", "w")
NAMES = ["a\0b", "a\ue0000b", "100%", "a_b", "o'brien", 'say "x"', "\\u0000", "\ue000", "?", "%s", "\U0001f642"]


def test_any_name_is_found_again(store: SqlStore) -> None:
    """Names, tags, keys and fields with NUL, quotes, wildcards and signs of SQL come back, each as itself only."""
    ids = {name: f"run-{number}" for number, name in enumerate(NAMES)}
    for name in NAMES:
        origin = Origin(ids[name], "w")
        start = msgspec.json.decode(start_line(origin, name=name, project=name).body)
        start["run"]["tags"] = [name]
        body = {"event_type": name, "severity": "info", "status": name, "payload": {name: name}}
        event = Line("event", 0, 1, label=name, body=msgspec.Raw(encode(body)))
        point = Line("metric", 0, 1, 1, None, name, 1.0, description=name)
        batch = make_batch(origin, [run_line("start", start), *[event] * 10, point])
        assert (store.append(batch), batch.rejected) == (12, [])
    for name in NAMES:
        run_id = ids[name]
        for where in ({"name": name}, {"project": name}, {"tag": name}):
            if "\0" in name:  # no run is asked for by it
                with pytest.raises(SchemaValidationError, match="NUL"):
                    store.runs(**where)  # type: ignore[arg-type]
            else:
                assert [run.id for run in store.runs(**where).items] == [run_id]  # type: ignore[arg-type]
        assert (store.keys(run_id), len(store.series(run_id, name)), store.position(run_id, "w")) == ([name], 1, 12)
        assert [record.description for record in store.records(run_id, "metric")] == [name]  # type: ignore[attr-defined]
        for field in ("event_type", "status"):
            found = [len(list(store.records(run_id, "event", RecordFilter(where={field: other})))) for other in NAMES]
            assert found == [10 if other == name else 0 for other in NAMES]
    assert {run.name: run.id for run in store.runs(sort="name").items} == ids


def test_values_that_no_record_has(store: SqlStore) -> None:
    """A filter by what cannot be there finds nothing and is no fault of the server."""
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), event_line("a", payload={"x": "\0"})]))
    for where in (
        {"severity": "\ud800"}, {"severity": float("nan")}, {"status": 2**70}, {"rank": 2**40}, {"rank": "x"},
        {"attempt": 1.5}, {"sequence": 2**70}, {"payload": {"x": "y"}},
    ):  # fmt: skip
        assert list(store.records("run-1", "event", RecordFilter(where=where))) == []
    for where in ({"payload": {"x": "\0"}}, {"status": None}, {"rank": 0}, {"sequence": 1}):
        assert len(list(store.records("run-1", "event", RecordFilter(where=where)))) == 1
