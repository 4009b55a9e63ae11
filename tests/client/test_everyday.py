"""What people log, by name and by value, is all there under the names given: in a folder, its JSONL and a service."""

import json

import quark
from quark import JsonlSink, metric_key
from tests.everyday import NAMES, REFUSED, TEXT, expected_nonfinite, expected_points, log_everything, values

from .conftest import Service


def check(view):
    """Every number is a point, every NaN a mark, every text an event, and what is none of these is named."""
    points, lost, table = expected_points(7), expected_nonfinite(), values()
    assert view.keys() == sorted({*points, *lost})
    assert {key: view.series(key).values.tolist() for key in points} == points
    assert {key: repr(view.series(key).nonfinite.values.tolist()) for key in lost} == {
        key: repr([value]) for key, value in lost.items()
    }
    (event,) = view.events("logged_text")
    assert event.payload == {name: str(value) for name, (value, kind) in table.items() if kind is TEXT}
    assert view.unrecorded().keys == {name: 1 for name, (_, kind) in table.items() if kind is REFUSED}
    for name in NAMES:
        assert view.latest()[name] == (7, 7.0)
        assert view.chart(name, buckets=3).mean.tolist() == [7.0]
        assert [record.value for record in view.metrics(name)] == [7.0]
        assert len(view.series(metric_key(name))) == 1


def test_the_table_is_large_enough():
    """Sixty of each, and no name twice."""
    assert len(set(NAMES)) >= 60 and len(values()) >= 60
    assert not set(NAMES) & set(values())


def test_everything_is_in_the_folder_and_its_file(tmp_path):
    """The store answers by name; a reader of the JSONL file learns each name before its first value."""
    path = tmp_path / "run.jsonl"
    with quark.start_run(project="p", storage_dir=tmp_path / "store", trackers=[JsonlSink(path)]) as run:
        log_everything(run)
    with quark.open(tmp_path / "store") as store:
        check(store.run(run.run_id))
    names, found = {}, {}
    for line in map(json.loads, path.read_bytes().splitlines()):
        if line["kind"] == "run" and line["label"] == "name":
            assert names.setdefault(line["body"]["key"], line["body"]["name"]) == line["body"]["name"]
        for key, value in (line.get("values") or {}).items():
            found.setdefault(names.get(key, key), []).append(value)
    assert found == expected_points(7)


def test_everything_is_in_a_service(service: Service, tmp_path, monkeypatch):
    """A run that is recorded there, and one that a folder's was exported to."""
    service.start()
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        log_everything(run)
    with quark.connect(service.url, user_key=service.key, storage_dir=tmp_path) as store:
        check(store.run(run.run_id))
