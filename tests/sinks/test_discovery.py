"""Sinks by name: Quark's own, those of other packages, and what is said when there is none."""

import sys

import pytest

from quark.errors import ConfigurationError, MissingDependencyError
from quark.sinks.discovery import known_sinks, sink_class, sink_from, sink_from_spec
from quark.sinks.jsonl import JsonlSink
from quark.sinks.memory import MemorySink

MODULE = """
from quark.core.sink import Sink
class TapeSink(Sink):
    name = "tape"
    def __init__(self, speed=1): self.speed = speed
    def write(self, batch): pass
NOT_A_SINK = object()
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the path that announces three sinks: a good one, one that cannot be imported, one that is none."""
    (tmp_path / "tape_sinks.py").write_text(MODULE)
    (tmp_path / "tape_broken.py").write_text("import no_such_package_at_all")
    info = tmp_path / "tape-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tape\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[quark.sinks]\ntape = tape_sinks:TapeSink\nbroken = tape_broken:X\nodd = tape_sinks:NOT_A_SINK\n"
        "memory = tape_sinks:TapeSink\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("tape_sinks", None)


def test_own_names():
    """Every sink of Quark's own has a name, which its class tells too."""
    own = ("console", "jsonl", "memory", "store", "webhook")
    assert [sink_class(name).name for name in own] == list(own)
    assert set(own) <= set(known_sinks())


def test_a_sink_a_class_or_a_name(tmp_path):
    """A sink is taken as it is; a class and a name are made."""
    sink = MemorySink()
    assert sink_from(sink) is sink
    assert isinstance(sink_from(MemorySink), MemorySink)
    assert isinstance(sink_from("memory"), MemorySink)


def test_made_again_from_its_spec(tmp_path):
    """What ``spec`` told makes the same sink again."""
    sink = JsonlSink(tmp_path / "run.jsonl", fsync="never", max_bytes=10)
    assert sink_from_spec("jsonl", sink.spec()).spec() == sink.spec()


def test_a_sink_of_another_package(installed):
    """A package announces its sink by entry point; it cannot take the name of one of Quark's own."""
    made = sink_from_spec("tape", {"speed": 3})
    assert (type(made).__name__, made.speed) == ("TapeSink", 3)
    assert "tape" in known_sinks()
    assert isinstance(sink_from("memory"), MemorySink)


def test_a_sink_that_cannot_be_imported(installed):
    """The error names the sink, where it comes from and what is missing."""
    with pytest.raises(MissingDependencyError, match=r"broken.*tape_broken:X.*no_such_package_at_all"):
        sink_from("broken")


def test_something_announced_that_is_no_sink(installed):
    """An entry point that leads to something else is refused."""
    with pytest.raises(ConfigurationError, match="write"):
        sink_from("odd")


def test_an_unknown_name():
    """The error lists what is known, the nearest first."""
    with pytest.raises(ConfigurationError, match="'jsonll'; known are jsonl, "):
        sink_from("jsonll")


@pytest.mark.parametrize("bad", [None, 3, object()])
def test_what_is_no_sink(bad):
    """Something that cannot take batches is refused with the names that could be meant."""
    with pytest.raises(ConfigurationError, match="memory"):
        sink_from(bad)


def test_options_that_a_sink_does_not_take():
    """Wrong options are named, but not their values: one of them may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        sink_from_spec("memory", {"token": "s3cret"})
    assert "token" in str(caught.value)
    assert "s3cret" not in str(caught.value)
