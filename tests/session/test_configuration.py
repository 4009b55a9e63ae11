"""The configuration of a run that grows after the start."""

import threading
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import pytest

import quark


@pytest.fixture
def run(tmp_path):
    """A run that was started with a learning rate."""
    with quark.start_run(project="p", config={"lr": 0.1, "net": {"depth": 2}}, storage_dir=tmp_path) as session:
        yield session


def view_of(run):
    """The run as it is stored."""
    run.finish("completed")
    with quark.open(run.storage_dir) as store:
        view = store.run(run.run_id)
        return view, view.events("config_updated")


def test_what_is_learned_later_is_configuration(run, tmp_path):
    """It is in the session, the store, filters and the comparison; an event says when it came and what was before."""
    for step in run.steps(range(3)):
        if step == 1:
            run.config.update({"lr": 0.2, "classes": 10})
    assert (run.config["lr"], dict(run.config)) == (0.2, {"lr": 0.2, "net": {"depth": 2}, "classes": 10})
    with quark.start_run(project="p", config={"lr": 0.2, "net": {"depth": 2}}, storage_dir=tmp_path) as other:
        other.log({"loss": 1.0}, step=0)
    view, (event,) = view_of(run)
    assert view.config == dict(run.config)
    assert event.payload == {"values": {"lr": 0.2, "classes": 10}, "previous": {"lr": 0.1}}
    assert event.step == 1
    with quark.open(tmp_path) as store:
        assert [found.id for found in store.runs(config={"classes": 10})] == [run.run_id]
        compared = quark.ComparisonEngine(store.run(run.run_id)).compare(store.run(other.run_id))
        assert [(diff.key, diff.primary) for diff in compared.config_diffs] == [("classes", 10)]


def test_what_changes_nothing_is_not_recorded(run):
    """A value that is the same is none of an update, one of another type is; nested ones are replaced whole."""
    run.config.update(lr=0.1, net={"depth": 2})
    run.config["net"] = {"width": 3}
    run.config["flag"] = 1
    run.config["flag"] = True
    view, events = view_of(run)
    assert view.config == {"lr": 0.1, "net": {"width": 3}, "flag": True}
    assert view.config["flag"] is True
    assert [list(event.payload["values"]) for event in events] == [["net"], ["flag"], ["flag"]]


def test_secrets_are_redacted(run):
    """As those of the start are; nested ones too."""
    run.config.update({"api_key": "hush", "login": {"password": "hush"}})
    view, events = view_of(run)
    assert (view.config["api_key"], view.config["login"]) == ("[redacted]", {"password": "[redacted]"})
    assert "hush" not in str([event.payload for event in events])


class Hostile(dict):
    """A mapping that breaks."""

    def __iter__(self):
        raise RuntimeError("broken")

    keys = items = __iter__


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, {}), (3, {}), ("text", {}), ({1: 2}, {"1": 2}), ({"a": object()}, {"a": "<object object>"}),
     ({"a": float("nan")}, {"a": "nan"}), (Hostile(a=1), {})],
)  # fmt: skip
def test_what_cannot_be_configuration_never_raises(run, given, kept):
    """Outside strict mode no mapping is refused, with a warning; a value that JSON cannot hold is kept as its text."""
    run.config.update(given)
    run.config.update({"odd": object(), "good": 1})
    expected = {"lr": 0.1, "net": {"depth": 2}, **kept, "odd": "<object object>", "good": 1}
    assert view_of(run)[0].config == expected


@dataclass
class Settings:
    """A configuration as a class."""

    depth: int = 3
    place: Path = Path("data")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(Namespace(depth=3, place=Path("a")), {"depth": 3, "place": "a"}), (Settings(), {"depth": 3, "place": "data"}),
     ([("depth", 3)], {"depth": 3})],
    ids=["namespace", "dataclass", "pairs"],
)  # fmt: skip
def test_an_update_takes_what_a_start_takes(run, given, kept):
    """``run.config.update(args)``; a configuration that is assigned is an update too, and so it is with the summary."""
    run.config.update(given, epochs=5)
    run.config = given
    run.summary.update(given)
    assert run.config == {"lr": 0.1, "net": {"depth": 2}, **kept, "epochs": 5}
    assert run.summary == kept
    assert run.health()["refused"] == 0


def test_strict_mode_raises(tmp_path):
    """It says what it got."""
    with (
        quark.start_run(project="p", storage_dir=tmp_path, strict_mode=True) as run,
        pytest.raises((quark.SchemaValidationError, TypeError), match="object"),
    ):
        run.config["a"] = object()


def test_threads_lose_nothing(run):
    """Threads that update at once each add their value."""
    threads = [threading.Thread(target=run.config.update, args=({f"k{at}": at},)) for at in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"k{at}" for at in range(16)} <= view_of(run)[0].config.keys()


def test_a_tracker_that_comes_later_sees_it(run):
    """Its manifest holds the configuration as it is then."""
    run.config["classes"] = 10
    seen = []

    class Tracker:
        def on_start(self, manifest):
            seen.append(manifest.params)

    run.add_tracker(Tracker())
    assert seen == [{"lr": 0.1, "net": {"depth": 2}, "classes": 10}]


def test_after_the_end_and_with_recording_off(run, monkeypatch):
    """An update of a run that has ended is refused; without recording a program still reads what it set."""
    run.finish("completed")
    run.config["late"] = 1
    assert "late" not in run.config
    monkeypatch.setenv("QUARK_DISABLE", "1")
    with quark.start_run(project="p", config={"lr": 0.1}) as off:
        off.config["classes"] = 10
        assert dict(off.config) == {"lr": 0.1, "classes": 10}


def test_nothing_can_be_deleted(run):
    """A configuration cannot shrink."""
    with pytest.raises(TypeError, match="set 'lr' to None"):
        del run.config["lr"]
