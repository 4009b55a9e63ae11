"""`quark tail`."""

import threading
from pathlib import Path

import pytest

import quark
from quark.cli.happening import line_of
from quark.reading.happening import Watch, latest

from .conftest import Command


def test_the_last_lines_in_the_order_of_time(command: Command, storage: Path) -> None:
    """Metrics of one step are one line; events stand between them."""
    lines = command("tail", "good-run", "-n", 4, "-d", storage).out.splitlines()
    assert "step 49 epoch 1  train/accuracy 0.98  train/loss 0.02  val/loss 0.25" in lines[-3]
    assert "run_ended" in lines[-1]


def test_json_is_one_document(command: Command, storage: Path) -> None:
    """The run and its last lines; with -f there would be no end, so that is refused."""
    document = command("tail", "good-run", "-n", 3, "-d", storage, "--json").json()
    assert [line["kind"] for line in document["lines"]] == ["metrics", "event", "event"]
    assert document["run"]["status"] == "completed"
    assert command("tail", "good-run", "-f", "-d", storage, "--json").code == 2


def test_following_a_run_ends_with_it(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New events and metrics are printed as they come, and at the end how the run ended."""
    monkeypatch.setattr("quark.cli.tail.POLL_S", 0.02)
    session = quark.start_run(project="p", storage_dir=tmp_path, run_id="live-run")
    session.flush()
    seen = threading.Event()

    def go_on() -> None:
        seen.wait(10)
        session.log({"loss": 0.5}, step=7)
        session.add_log("nearly done")
        session.flush()
        session.end_run()

    thread = threading.Thread(target=go_on)
    thread.start()
    monkeypatch.setattr("quark.cli.tail._print", _noting(seen))
    answer = command("tail", "live-run", "-f", "-d", tmp_path)
    thread.join()
    assert answer.code == 0
    assert "loss 0.5" in answer.out and "nearly done" in answer.out and answer.out.rstrip().endswith("completed")


@pytest.fixture
def printing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> quark.TrainingSession:
    """An open run that has printed 30 lines."""
    monkeypatch.setenv("QUARK_CAPTURE_OUTPUT", "1")
    session = quark.start_run(project="p", storage_dir=tmp_path, run_id="loud")
    session.log({"loss": 1.0})
    with session.capture._output._writing:  # so that all of them are one event
        print("".join(f"line {number} \x1b[1mbold\x1b[0m\n" for number in range(30)))
    return session


def test_printed_lines_are_shown_by_themselves(
    command: Command, tmp_path: Path, printing: quark.TrainingSession
) -> None:
    """--output: the last lines, as plain text, also as JSON; without it lines push nothing out."""
    printing.end_run()
    assert command("tail", "loud", "--output", "-n", 2, "-d", tmp_path).out.splitlines() == [
        "line 28 bold",
        "line 29 bold",
    ]
    document = command("tail", "loud", "--output", "-n", 1, "-d", tmp_path, "--json").json()
    assert [line["payload"]["line"] for line in document["lines"]] == [29]
    assert command("tail", "loud", "--output", "-n", 0, "-d", tmp_path).out == ""
    shown = command("tail", "loud", "-d", tmp_path).out
    assert "line 29" not in shown
    assert "loss 1" in shown


def test_following_the_printed_lines(
    command: Command, tmp_path: Path, printing: quark.TrainingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With -f lines come as they are printed, each once."""
    monkeypatch.setattr("quark.cli.tail.POLL_S", 0.02)
    printing.capture.tick()
    printing.flush()
    seen = threading.Event()
    monkeypatch.setattr("quark.cli.tail._print", _noting(seen))

    def go_on() -> None:
        seen.wait(10)
        printing.capture._output.put("stdout", "news\n")
        printing.end_run()

    thread = threading.Thread(target=go_on)
    thread.start()
    lines = command("tail", "loud", "--output", "-f", "-n", 1, "-d", tmp_path).out.splitlines()
    thread.join()
    assert lines[:2] == ["line 29 bold", "news"]
    assert lines[-1] == "completed"


def _noting(seen: threading.Event):
    from quark.cli.tail import _print

    def noting(out: object, happenings: list) -> None:
        _print(out, happenings)  # type: ignore[arg-type]
        seen.set()

    return noting


def test_a_watch_tells_every_event_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many pages of events none is told twice and none is left out."""
    monkeypatch.setattr("quark.reading.happening.PAGE", 3)
    with quark.start_run(project="p", storage_dir=tmp_path) as session:
        session.flush()
        with quark.open(tmp_path) as store:
            watch = Watch(store.run(session.run_id))
            told = []
            for count in (2, 0, 5, 1):
                for _ in range(count):
                    session.add_log(f"message {len(told)}")
                session.flush()
                news = [one.event for one in watch.news() if one.event is not None]
                assert len(news) == count
                told += news
    assert [event.event_type for event in told] == ["user_log"] * 8
    assert len({event.id for event in told}) == 8


def test_many_metrics_are_counted_not_hidden(tmp_path: Path) -> None:
    """A line shows the first few, and how many more there are; the machine's own on request."""
    with quark.start_run(project="p", storage_dir=tmp_path) as session:
        session.log({f"m{number}": 1.0 for number in range(9)} | {"system/x": 2.0}, step=1)
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        line = latest(view, 10)[1]
        assert str(line_of(line)).endswith("+3 more")
        assert "system/x" not in line.metrics and "system/x" in latest(view, 10, system=True)[1].metrics
