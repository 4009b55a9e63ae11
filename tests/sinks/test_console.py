"""ConsoleSink: few lines, the urgent ones at once, nothing that could steer a terminal."""

import io
import sys

import pytest

from quark.errors import ConfigurationError
from quark.records.base import Origin
from quark.sinks.console import ConsoleSink
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

ORIGIN = Origin("run-1", "writer-a")
END = run_line("end", {"status": "failed", "reason": "error", "ended_at": "2026-05-07T01:02:03Z"})


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(*batches, stream=None, now=lambda: 0.0, manifest=None, **options):
    stream = io.StringIO() if stream is None else stream
    sink = ConsoleSink(stream=stream, monotonic=now, **options)
    sink.on_start(manifest or make_manifest(ORIGIN))
    for batch in batches:
        sink.write(batch)
    return stream.getvalue().splitlines()


def test_a_run_from_start_to_end():
    """Start, latest values, an alert at its moment, the last values, and the end with status, reason and time."""
    lines = shown(
        make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(3, ("loss", "acc"), epoch=1)]),
        make_batch(
            ORIGIN, [*metric_lines(2, ("loss",), first_step=3), alert_line("spike", step=4, title="it rose"), END], 7
        ),
    )
    assert lines == [
        "quark: run cnn (run-1) of digits started",
        "quark: step 2  epoch 1  loss 0.3333  acc 1.333",
        "quark: warning: spike at step 4: it rose",
        "quark: step 4  epoch 1  loss 0.2  acc 1.333",
        "quark: run cnn (run-1) failed (error) after 1 h 02 min",
    ]


def test_not_more_often_than_asked():
    """Metrics are shown once per interval, with the values of that moment, and only when there are new ones."""
    now = [0.0]
    stream = io.StringIO()
    sink = ConsoleSink(5.0, stream=stream, monotonic=lambda: now[0])
    for first in range(12):
        now[0] = float(first)
        sink.write(make_batch(ORIGIN, metric_lines(1, first_step=first), first))
    for number in (12, 13):
        now[0] = number * 10.0
        sink.write(make_batch(ORIGIN, [event_line("note")], number))
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["0", "5", "10", "11"]


def test_chosen_keys():
    """Only the keys that were asked for, in that order; all others are counted when none were."""
    batch = make_batch(ORIGIN, wide_lines(1, [f"m{number}" for number in range(9)]))
    assert shown(batch, keys=["m8", "m1", "nothing"]) == ["quark: step 0  m8 9  m1 2"]
    assert shown(batch)[0].endswith("m5 6  +3 more")


def test_only_rank_0_prints():
    """Other ranks are silent, and rank 0 does not repeat what they recorded."""
    other = Origin("run-1", "writer-b", 1)
    batch = make_batch(other, metric_lines(3))
    assert shown(batch, manifest=make_manifest(other)) == []
    assert shown(batch) == []


def test_errors_are_shown_at_once_and_lesser_events_are_not():
    """An event of severity error or critical is shown with its message."""
    events = [event_line("note", s, {"message": f"m-{s}"}, step=1) for s in ("info", "warning", "error", "critical")]
    assert shown(make_batch(ORIGIN, events)) == [
        "quark: error: note at step 1: m-error",
        "quark: critical: note at step 1: m-critical",
    ]


def test_no_terminal_escapes_from_records():
    """Control characters, escapes and marks that turn the direction of writing never reach the console."""
    evil = "a\x1b[31mb\x07\r\nc\u202ed\u2028e\x9bf"
    (line,) = shown(make_batch(ORIGIN, [alert_line("rule", title=evil)]))
    assert line == "quark: warning: rule: a [31mb c d e f"


def test_colour_on_a_terminal_only(monkeypatch):
    """What is urgent is coloured on a terminal, and never with NO_COLOR or in a file."""
    batch = make_batch(ORIGIN, [alert_line("rule", "critical", title="x")])
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in shown(batch, stream=Terminal())[0]
    assert "\x1b" not in shown(batch)[0]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(batch, stream=Terminal())[0]


def test_a_batch_that_comes_again_is_not_shown_again():
    """A batch that is tried again repeats no line on the console."""
    batch = make_batch(ORIGIN, [start_line(ORIGIN), alert_line("rule")])
    assert len(shown(batch, batch)) == 2


def test_a_console_that_cannot_show_a_letter():
    """An ASCII console gets a question mark for what it lacks."""
    raw = io.BytesIO()
    sink = ConsoleSink(stream=io.TextIOWrapper(raw, encoding="ascii"))
    sink.write(make_batch(ORIGIN, [alert_line("rule", title="loß")]))
    assert raw.getvalue() == b"quark: warning: rule: lo?\n"


def test_a_console_that_is_gone(monkeypatch):
    """A closed stream, or a process without one, is no fault of the run."""
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        ConsoleSink().write(make_batch(ORIGIN, metric_lines(1)))


def test_the_end_without_an_end_line():
    """Where the run's last line is missing, ``on_stop`` tells the end; with it, nothing is told twice."""
    stream = io.StringIO()
    sink = ConsoleSink(stream=stream)
    sink.on_start(make_manifest(ORIGIN))
    sink.on_stop(None, "interrupted")
    sink.on_stop(None, "interrupted")
    assert stream.getvalue() == "quark: run cnn (run-1) interrupted\n"


@pytest.mark.parametrize(("options", "words"), [({"every_s": -1}, "every_s"), ({"keys": "loss"}, r"\['loss'\]")])
def test_options_that_cannot_be_used(options, words):
    """A wrong option is told when the sink is made."""
    with pytest.raises(ConfigurationError, match=words):
        ConsoleSink(**options)
