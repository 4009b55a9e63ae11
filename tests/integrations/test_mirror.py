"""What every mirror of a run shares: its link, flat parameters, series, tables and the budget of rows."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quark
from quark import RecordBatch, RunManifest, metric_key
from quark.reading.replay import replay
from quark.records.base import Origin
from quark.testing import (
    alert_line,
    event_line,
    make_batch,
    make_manifest,
    metric_lines,
    run_line,
    start_line,
    wide_lines,
)
from quark_integrations.sinks.mirror import (
    TABLES,
    KeptRows,
    LayerSeries,
    Link,
    MirrorSink,
    RunFacts,
    flatten,
    kept_rows,
    row_of,
    series_of,
)

ORIGIN = Origin("run-1", "w")


class Twin(MirrorSink):
    """A backend that keeps everything in a dictionary which outlives the sink."""

    name: ClassVar[str] = "twin"

    def __init__(self, backend: dict[str, Any], address: str = "here") -> None:
        super().__init__()
        self.backend = backend
        self.address = address

    def target(self) -> str:
        return self.address

    def open_twin(self, facts: RunFacts) -> None:
        self.backend.setdefault("opened", []).append((self.link.backend_id, facts))
        self.link.backend_id = "t-1"

    def take(self, batch: RecordBatch) -> None:
        if self.backend.pop("broken", False):
            raise OSError("the line is cut")
        self.backend.setdefault("values", []).extend(point.value for point in series_of(batch, LayerSeries()))

    def tag_twin(self, tag: str) -> None:
        self.backend.setdefault("tags", []).append(tag)

    def configure_twin(self, values: Mapping[str, Any]) -> None:
        self.backend.setdefault("config", {}).update(values)

    def summarize_twin(self, saying: Any) -> None:
        self.backend.setdefault("summary", {}).update(saying.values)

    def describe_twin(self, notes: Any) -> None:
        self.backend.setdefault("notes", []).append(list(notes))

    def end_twin(self, status: str, reason: str) -> None:
        self.backend.setdefault("ends", []).append((status, reason))


def manifest(path: Path, **changes: Any) -> RunManifest:
    return make_manifest(ORIGIN, run_path=str(path), **changes)


def test_a_twin_lives_as_its_run_does(tmp_path: Path) -> None:
    """A mirror on a real run opens its twin once, with what the run was started with, and ends it truly."""
    backend: dict[str, Any] = {}
    with quark.start_run(project="p", name="n", config={"lr": 0.1}, storage_dir=tmp_path) as run:
        run.add_tracker(Twin(backend))
        for step in range(10):
            run.log({"loss": step}, step=step)
        quark.add_tag("fast")
    ((before, facts),) = backend["opened"]
    assert (before, facts.project, facts.name, facts.params, facts.attempt) == (None, "p", "n", {"lr": 0.1}, 1)
    assert backend["values"] == list(range(10))
    assert (backend["tags"], backend["ends"]) == (["fast"], [("completed", "completed")])


def test_a_twin_learns_what_its_run_learns(tmp_path: Path) -> None:
    """Configuration, summary and notes that a run sets while it goes on reach the backend as what they are."""
    backend: dict[str, Any] = {}
    with quark.start_run(project="p", config={"lr": 0.1}, storage_dir=tmp_path, trackers=[Twin(backend)]) as run:
        run.config["classes"] = 10
        run.summary["best"] = 0.9
        run.note("first")
        run.flush()
        run.note("second")
        quark.EventLogger(run).log("note", payload={"other": 1})
    assert (backend["config"], backend["summary"]) == ({"classes": 10}, {"best": 0.9})
    assert backend["notes"][-1] == ["first", "second"]


def test_what_comes_again_is_said_once(tmp_path: Path) -> None:
    """A batch that is delivered twice has its note once; the notes of an earlier process stay."""
    backend: dict[str, Any] = {}
    for text in ("first", "second"):
        sink = Twin(backend)
        sink.on_start(manifest(tmp_path))
        first = sink.position("w") or 0
        batch = make_batch(ORIGIN, [event_line("note", payload={"text": text})], first)
        sink.write(batch)
        sink.write(batch)
    assert backend["notes"] == [["first"], ["first", "second"]]


def test_a_resumed_run_finds_its_twin(tmp_path: Path) -> None:
    """The second attempt opens the same twin, and sends it nothing that it has."""
    backend: dict[str, Any] = {}
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="r", trackers=[Twin(backend)]) as run:
        run.log({"loss": 1.0}, step=0)
        run.finish("interrupted")
    with quark.resume_run(run_id="r", storage_dir=tmp_path, trackers=[Twin(backend)]) as run:
        run.log({"loss": 2.0}, step=1)
    assert [before for before, _ in backend["opened"]] == [None, "t-1"]
    assert backend["values"] == [1.0, 2.0]
    assert backend["ends"] == [("interrupted", "interrupted"), ("completed", "completed")]


def test_after_a_crash_the_first_line_tells_of_the_run(tmp_path: Path) -> None:
    """The manifest of a sync knows next to nothing; the start line does, and the end line's status counts."""
    backend: dict[str, Any] = {}
    sink = Twin(backend)
    sink.on_start(RunManifest(run_id="run-1", project="", run_path=str(tmp_path)))
    sink.write(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(2)]))
    end = run_line("end", {"status": "failed", "reason": "lost"})
    sink.write(make_batch(Origin("run-1", "sync"), [end]))
    sink.on_stop(None, "interrupted")
    ((_, facts),) = backend["opened"]
    assert (facts.project, facts.name, facts.params) == ("digits", "cnn", {"lr": 0.1})
    assert backend["ends"] == [("failed", "lost")]


def test_an_end_that_was_read_is_not_forgotten(tmp_path: Path) -> None:
    """A process that dies between the last record and the end leaves the next one the true status."""
    backend: dict[str, Any] = {}
    first = Twin(backend)
    first.on_start(manifest(tmp_path))
    end = run_line("end", {"status": "completed", "reason": "max_steps"})
    first.write(make_batch(ORIGIN, [*metric_lines(1), end]))
    second = Twin(backend)
    second.on_start(manifest(tmp_path))
    second.on_stop(None, "interrupted")
    assert backend["ends"] == [("completed", "max_steps")]


def test_the_position_moves_with_what_was_taken(tmp_path: Path) -> None:
    """A batch that failed is expected again, one that was taken is not, also by the next process."""
    backend: dict[str, Any] = {"broken": True}
    sink = Twin(backend)
    sink.on_start(manifest(tmp_path))
    batch = make_batch(ORIGIN, metric_lines(3))
    with pytest.raises(OSError, match="cut"):
        sink.write(batch)
    assert sink.position("w") == 0
    sink.write(batch)
    sink.write(make_batch(ORIGIN, metric_lines(3)))
    assert len(backend["values"]) == 3
    later = Twin(backend)
    later.on_start(manifest(tmp_path))
    assert (later.position("w"), later.position("other")) == (3, 0)
    other = Twin(backend, "there")
    other.on_start(manifest(tmp_path))
    assert other.position("w") == 0


def test_an_end_is_told_once(tmp_path: Path) -> None:
    """A process that only has to end the twin does so; one that finds it ended leaves it alone."""
    backend: dict[str, Any] = {}
    first = Twin(backend)
    first.on_start(manifest(tmp_path))
    first.write(make_batch(ORIGIN, metric_lines(1)))
    for _ in range(2):
        sink = Twin(backend)
        sink.on_start(manifest(tmp_path))
        sink.on_stop(None, "error")
    assert backend["ends"] == [("failed", "error")]


def test_a_damaged_link_is_named(tmp_path: Path) -> None:
    """Opening a second twin by mistake would split the run in two: the file is named instead."""
    link = Link.load(tmp_path, "twin", "here")
    link.backend_id = "x"
    link.save()
    assert Link.load(tmp_path, "twin", "here") == link
    link.path.write_text("{")
    with pytest.raises(ValueError, match=str(link.path)):
        Link.load(tmp_path, "twin", "here")


PLANTED = {
    "a number": '{"backend_id": 5, "owned": true, "positions": {}, "status": null, "notes": {}}',
    "a position": '{"backend_id": "x", "owned": true, "positions": {"w": -1}, "status": null, "notes": {}}',
    "a list": '{"backend_id": "x", "owned": true, "positions": [], "status": null, "notes": {}}',
    "notes": '{"backend_id": "x", "owned": true, "positions": {}, "status": null, "notes": "x"}',
}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_a_link_holds_what_a_link_holds(tmp_path: Path, text: str) -> None:
    """Whoever wrote the file: a value of another kind is named, and not passed on to a backend."""
    link = Link.load(tmp_path, "twin", "here")
    link.save()
    link.path.write_text(text)
    with pytest.raises(ValueError, match="is no link"):
        Link.load(tmp_path, "twin", "here")


def test_a_link_to_a_file_elsewhere_is_neither_read_nor_written(tmp_path: Path) -> None:
    """Symbolic links in the place of the file, of its copy and of its directory lead nowhere."""
    other = tmp_path / "other"
    other.write_text('{"backend_id": "x", "owned": true, "positions": {}, "status": null, "notes": {}}')
    before = other.read_text()
    link = Link.load(tmp_path, "twin", "here")
    link.path.parent.mkdir()
    link.path.symlink_to(other)
    with pytest.raises(ValueError, match="is no link"):
        Link.load(tmp_path, "twin", "here")
    link.path.with_name(f".{link.path.name}.{os.getpid()}").symlink_to(other)
    link.save()
    assert other.read_text() == before and not link.path.is_symlink()
    place = Link.load(tmp_path / "run", "twin", "here")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mirrors").symlink_to(tmp_path)
    with pytest.raises(OSError, match="move it away"):
        place.save()


# Parameters


def test_parameters_become_flat() -> None:
    """Mappings are entered, lists stay one value, text stays as it is."""
    params = {
        "opt": {"name": "adam", "betas": [0.9, 0.99]},
        "deep": {"a": {"b": None}},
        "empty": {},
        "n": 3,
        "on": True,
    }
    assert flatten(params).values == {
        "opt.name": "adam", "opt.betas": "[0.9, 0.99]", "deep.a.b": "null", "empty": "{}", "n": "3", "on": "true",
    }  # fmt: skip
    assert flatten({}).values == {}


def test_what_does_not_fit_is_kept_whole() -> None:
    """Long values are cut with a mark; long names, too many and equal names are left out; all of it is kept whole."""
    made = flatten({"long": "x" * 600, "k" * 300: 1, "a": {"b": 1}, "a.b": 2, "z": 3}, max_count=2)
    assert list(made.values) == ["long", "a.b"]
    assert len(made.values["long"]) == 500 and made.values["long"].endswith("…")
    assert made.whole == {"long": "x" * 600, "k" * 300: 1, "a.b": 2, "z": 3}


VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
)


@given(st.dictionaries(st.text(), VALUES))
def test_no_parameter_is_lost(params: Mapping[str, Any]) -> None:
    """Every leaf is a value, whole or cut, or among what was kept whole."""
    names: set[str] = set()

    def collect(value: Any, name: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                collect(inner, f"{name}.{key}")
        else:
            names.add(name)

    for key, value in params.items():
        collect(value, key)
    made = flatten(params, max_value=5, max_count=3)
    assert all(len(text) <= 5 for text in made.values.values()) and len(made.values) <= 3
    assert {*made.values, *made.whole} == names


# Series and tables


def test_a_mirror_knows_names_after_a_crash(tmp_path: Path) -> None:
    """The run says a name once; the sink of the next process, which does not hear it again, knows it."""
    key = metric_key("Train Loss")
    said = run_line("name", {"of": "metric", "key": key, "name": "Train Loss"})
    lost = event_line("metric_nonfinite", "error", {"key": key, "value": "nan"})
    for lines in ([said, *metric_lines(1, (key,))], [lost]):
        sink = Twin({})
        sink.on_start(manifest(tmp_path))
        batch = make_batch(ORIGIN, lines, first=0 if len(lines) > 1 else 2)
        sink.write(batch)
        names = {point.key for point in series_of(batch, LayerSeries(), nonfinite=True, names=sink.names)}
        assert names == {"Train Loss"}


def test_an_exported_run_brings_its_names(tmp_path: Path) -> None:
    """``replay`` gives them with the run's start."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"Train Loss": 1.0}, step=0)
    with quark.open(tmp_path) as store:
        sink = Twin({})
        replay(store.run(run.run_id), sink)
    assert sink.names == {metric_key("Train Loss"): "Train Loss"}


def test_series_are_the_metrics_of_every_rank() -> None:
    """Single and wide lines alike; rank 0 has the user's own names, the others a prefix."""
    points = list(series_of(make_batch(ORIGIN, [*metric_lines(1), *wide_lines(1)]), LayerSeries()))
    assert [point.key for point in points] == ["train/loss", "train/loss", "train/lr"]
    second = list(series_of(make_batch(Origin("run-1", "v", rank=1), metric_lines(1, epoch=2)), LayerSeries()))
    assert [(point.key, point.step, point.epoch) for point in second] == [("rank_1/train/loss", 0, 2)]


def test_what_is_not_finite_is_a_point_where_a_backend_takes_it() -> None:
    """A NaN was kept as an event; it is a point of its series for those who ask, and other events are none."""
    lost = event_line("metric_nonfinite", "error", {"key": "train/loss", "value": "nan"}, step=3)
    batch = make_batch(ORIGIN, [lost, event_line("saved")])
    (point,) = series_of(batch, LayerSeries(), nonfinite=True)
    assert (point.key, point.step, math.isnan(point.value), point.sequence) == ("train/loss", 3, True, 0)
    assert list(series_of(batch, LayerSeries())) == []


def test_layers_are_drawn_by_name() -> None:
    """A statistic that is null has no point, a second call its own series, and a filter chooses."""
    body = {
        "module_name": "net.0", "module_type": "Linear", "summary_type": "activation", "hook_direction": "forward",
        "call_index": 1, "mean": 0.5, "std": None, "norm": 2.0,
    }  # fmt: skip
    line = run_line("x", body)
    line.kind, line.label, line.step = "layer", "net.0", 4
    batch = make_batch(ORIGIN, [line])
    keys = {point.key: (point.value, point.step) for point in series_of(batch, LayerSeries())}
    assert keys == {
        "quark/layers/net.0#1/activation/mean": (0.5, 4), "quark/layers/net.0#1/activation/norm": (2.0, 4),
    }  # fmt: skip
    assert list(series_of(batch, LayerSeries(names=("head.*",)))) == []
    assert len(list(series_of(batch, LayerSeries(layer_fields=("norm",))))) == 1


def test_a_row_for_every_record() -> None:
    """Rows have their table's columns; structure is JSON text, what is missing is None."""
    alert, event = make_batch(ORIGIN, [alert_line("spike", step=3), event_line("saved", payload={"a": [1]})]).records()
    row = dict(zip(TABLES["alert"].columns, row_of(alert), strict=True))
    assert (row["step"], row["rule_id"], row["rank"], row["epoch"]) == (3, "spike", 0, None)
    assert json.loads(row["evidence"])[0]["observed_value"] == 9.0
    assert dict(zip(TABLES["event"].columns, row_of(event), strict=True))["payload"] == '{"a": [1]}'


@given(
    st.lists(st.none() | st.floats(width=32), max_size=300), st.integers(5, 100),
    st.sets(st.integers(0, 299), max_size=20),
)  # fmt: skip
def test_a_budget_keeps_what_matters(values: list[float | None], budget: int, marked: set[int]) -> None:
    """First, last, extremes and marked rows are kept, the budget is used up, and exceeded by marks only."""
    kept = kept_rows(len(values), budget, series=[values], marked=marked)
    assert kept == sorted(set(kept)) and all(0 <= at < len(values) for at in kept)
    assert len(kept) >= min(budget, len(values)) and len(kept) <= max(budget, len(marked) + 4)
    if values:
        assert {0, len(values) - 1} | {at for at in marked if at < len(values)} <= set(kept)
        present = [value for value in values if value is not None and not math.isnan(value)]
        if present:
            shown = [values[at] for at in kept if values[at] is not None]
            assert min(present) in shown and max(present) in shown


def test_kept_rows_survive_the_process(tmp_path: Path) -> None:
    """Rows are found again by the next process; what comes again is not twice, a torn last line comes again."""
    batch = make_batch(ORIGIN, [*metric_lines(3), event_line("a", step=1), alert_line("spike", step=2)])
    kept = KeptRows(tmp_path / "rows", 10)
    kept.take(batch)
    with kept.path.open("a") as file:
        file.write('["event", "w", 9')
    again = KeptRows(tmp_path / "rows", 10)
    again.take(batch)
    again.take(make_batch(ORIGIN, [event_line("b", step=3)], 5))
    for rows in (again, KeptRows(tmp_path / "rows", 10)):
        assert [row[5] for row in rows.of("event")] == ["a", "b"]
        assert [row[5] for row in rows.of("alert")] == ["spike"]


def test_an_analyzer_that_discards_its_records_clears_their_table(tmp_path: Path) -> None:
    """Behind a discard mark only the new records of the kind are shown, also when all of it comes again."""
    batch = make_batch(ORIGIN, [alert_line("old"), run_line("discard", {"kind": "alert"}), alert_line("new")])
    kept = KeptRows(tmp_path / "rows", 10)
    kept.take(batch)
    kept.take(batch)
    assert [row[5] for row in kept.of("alert")] == ["new"]
    assert [row[5] for row in KeptRows(kept.path, 10).of("alert")] == ["new"]


def test_a_long_table_is_thinned_while_it_grows(tmp_path: Path) -> None:
    """A thousand rows of a budget of 20: bounded on disk too, with every alert, the first, the last and extremes."""
    lines = [event_line("tick", "error" if step == 333 else "info", step=step) for step in range(1000)]
    kept = KeptRows(tmp_path / "rows", 20)
    for at in range(0, 1000, 100):
        kept.take(make_batch(ORIGIN, lines[at : at + 100], at))
    steps = [row[0] for row in kept.of("event")]
    assert {0, 333, 999} <= set(steps) and 18 <= len(steps) <= 20 and steps == sorted(steps)
    assert len(kept.path.read_text().splitlines()) <= 100
