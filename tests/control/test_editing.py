"""Notes and tags of a run are written from afar, in a folder and in a service."""

from typing import Any

import pytest

import quark
from quark import MemorySink, SchemaValidationError
from quark.reading.replay import replay

from .conftest import QuickService, opened


def test_notes_and_tags_from_afar(where: str) -> None:
    """A run that goes on and one that has ended take notes and tags; a note may replace all before it."""
    with quark.start_run(project="p", run_id="r", tags=["first"]) as run:
        run.note("by the program")
        run.flush()
        with opened(where) as store:
            store.run("r").note("while it runs")
            store.run("r").add_tag("watched")
        run.note("by the program again")
    with opened(where) as store:
        view = store.run("r")
        assert view.notes() == ("by the program", "while it runs", "by the program again")
        view.add_tag("best")
        view.add_tag("first")
        assert view.tags == store.run("r").tags == ("first", "watched", "best")
        view.note("this one alone", replace=True)
        view.note("and another, password=hunter2")
        assert view.notes() == ("this one alone", "and another, password=[redacted]")
        assert (view.status, view.reason) == ("completed", "completed")
        sink = MemorySink()
        replay(view, sink)
        assert [one.payload["text"] for one in sink.of("event") if one.event_type == "note"][-1].startswith("and")


def test_what_no_note_or_tag_can_be(where: str) -> None:
    """Words that the run itself would refuse are refused, and nothing is stored; neither is anything of no run."""
    with quark.start_run(project="p", run_id="r"):
        pass
    with opened(where) as store:
        view = store.run("r")
        wrong: list[Any] = ["", " ", 5, None, "x" * 100_001]
        for text in wrong:
            with pytest.raises(SchemaValidationError, match="a note is text"):
                view.note(text)
        for tag in wrong:
            with pytest.raises((SchemaValidationError, quark.WrongTypeError), match="a tag"):
                view.add_tag(tag)
        assert (view.notes(), view.tags) == ((), ())
        view.delete()
        with pytest.raises(quark.RunNotFoundError):
            view.note("too late")


def test_a_key_that_may_only_read_writes_nothing(service: QuickService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service refuses it, and says which scope is missing."""
    with quark.start_run(project="p", run_id="r"):
        pass
    with quark.connect(user_key=service.new_key(["read"])) as store:
        view = store.run("r")
        with pytest.raises(quark.SessionStoreError, match="write"):
            view.note("no")
        assert view.notes() == ()
