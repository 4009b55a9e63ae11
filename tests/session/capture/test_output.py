"""What the program prints is recorded with its run, and printed as it would be without."""

import contextlib
import io
import logging
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import quark
from quark.session.capture import output as module


class Stream(io.TextIOWrapper):
    """A stand-in for the program's own stream, such as pytest has put its own in place of."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def printed(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture
def out():
    """What is ``sys.stdout`` from the first run of the test on: pytest puts its own in place when a test begins."""
    return Stream()


@pytest.fixture
def capture(capture, request, monkeypatch):
    """The runs of a test that asks for ``out`` find that in ``sys.stdout``."""

    def start(*names, **arguments):
        if "out" in request.fixturenames:
            monkeypatch.setattr(sys, "stdout", request.getfixturevalue("out"))
        return capture(*names, **arguments)

    return start


def _messages(view, stream=None):
    return [line.payload["message"] for line in view.log_lines(stream)]


def test_printed_lines_are_recorded_and_printed(out, capture, view_of):
    """Lines of both streams, in their order, with the time that they came at; the terminal shows the same as ever."""
    run = capture("OUTPUT")
    print("a", 1)
    print("to stderr", file=sys.stderr)
    out.write("half ")
    out.writelines(["of it\n", "b\nc\n", "no end"])
    run.end_run()
    print("after the run")
    view = view_of(run)
    assert _messages(view, "stdout") == ["a 1", "half of it", "b", "c", "no end"]
    assert _messages(view, "stderr") == ["to stderr"]
    assert [line.payload["line"] for line in view.log_lines()] == list(range(6))
    assert out.printed() == "a 1\nhalf of it\nb\nc\nno endafter the run\n"


def test_the_streams_stay_what_they_are(out, capture):
    """Identity, encoding, descriptor and terminal are the stream's own; at the end of the run so is ``write``."""
    attributes = set(vars(out))
    run = capture("OUTPUT")
    assert sys.stdout is out
    assert sys.stdout.write("12345") == 5
    assert (sys.stdout.isatty(), sys.stdout.encoding) == (False, "utf-8")
    with pytest.raises(TypeError):
        sys.stdout.write(5)  # type: ignore[arg-type]
    run.end_run()
    assert set(vars(out)) == attributes


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("\r 0%\r 50%\r100%\nnext\n", ["100%", "next"]),
        ("\r 0%\r100%\r\n", ["100%"]),
        ("\r 0%\r100%\r   \rdone\n", ["done"]),
        ("\r 0%\r50%", ["50%"]),
        ("\n\n  \nx\n", ["x"]),
        ("\r" + "x" * 20_000 + "\n", ["x" * 8192]),
        ("\udce4\n", ["\ufffd"]),
    ],
    ids=["bar", "bar with line end", "bar cleared", "bar unfinished", "empty", "long", "surrogate"],
)  # fmt: skip
def test_a_line_is_recorded_as_it_looked_last(monkeypatch, capture, view_of, printed, kept):
    """A progress bar is one line, in its last state; empty lines are left out; whatever can be printed can be kept."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    run = capture("OUTPUT")
    for piece in (printed[:7], printed[7:]):
        sys.stdout.write(piece)
    run.end_run()
    assert _messages(view_of(run)) == kept
    assert stream.getvalue() == printed


def test_a_progress_bar_that_never_ends_its_line_takes_no_memory(out, capture, view_of):
    """A million updates of one line are as large as one."""
    run = capture("OUTPUT")
    output = run.capture._output
    for number in range(3000):
        sys.stdout.write(f"\r{number} {'#' * 100}")
        if number % 500 == 0:
            output.write()
    output.write()
    assert len(output._begun["stdout"].text()) < 40_000
    run.end_run()
    assert _messages(view_of(run)) == [f"2999 {'#' * 100}"]


def test_secrets_are_taken_out_of_lines(out, capture, view_of):
    """By name, by format, and a private key over all of its lines."""
    run = capture("OUTPUT")
    print("api_key=hunter2-canary")
    print("-----BEGIN PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEAcanary" + "\n-----END PRIVATE KEY-----")
    print("loss=0.5")
    run.end_run()
    messages = _messages(view_of(run))
    assert "canary" not in repr(messages)
    assert (len(messages), messages[-1]) == (5, "loss=0.5")


def test_more_than_can_be_kept_is_counted(out, capture, view_of, monkeypatch):
    """Memory and store are bounded: the first lines and the last thousand stay, and a run says how many it lost."""
    monkeypatch.setenv("QUARK_LOG_LINES", "1500")
    run = capture("OUTPUT")
    for number in range(4000):
        print(number)
        if number % 100 == 0:
            run.capture.tick()
    run.end_run()
    view = view_of(run)
    assert _messages(view) == [str(number) for number in [*range(500), *range(3000, 4000)]]
    assert [event.payload["count"] for event in view.events("log_lines_dropped")] == [2500]


def test_what_comes_faster_than_it_is_taken_is_counted(out, capture, view_of, monkeypatch):
    """Between two visits of the journal's thread so many writes wait, and of each so many characters."""
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    run = capture("OUTPUT")
    run.capture._output._writing.acquire()  # the journal's thread is away
    for number in range(30):
        sys.stdout.write(f"{number}\n")
    run.capture._output._writing.release()
    run.end_run()
    view = view_of(run)
    assert _messages(view) == [str(number) for number in range(10)]
    assert [event.payload["count"] for event in view.events("log_lines_dropped")] == [20]


def test_lines_that_come_together_are_one_event(out, capture, view_of):
    """A thousand lines in a moment are ten events, and read back as a thousand lines."""
    run = capture("OUTPUT")
    with run.capture._output._writing:
        sys.stdout.write("".join(f"{number}\n" for number in range(1000)))
    run.end_run()
    view = view_of(run)
    assert len(view.events("log_line")) < 15
    assert _messages(view) == [str(number) for number in range(1000)]
    assert [line.payload["line"] for line in view.log_lines()] == list(range(1000))


def test_nested_runs_each_have_what_was_printed_in_them(out, capture, view_of):
    """The innermost run of the context takes a line; a thread without a run gives its lines to the one opened last."""
    outer = capture("OUTPUT")
    print("outer")
    inner = capture(parent_run_id=outer.run_id)
    print("inner")
    thread = threading.Thread(target=lambda: print("thread"))
    thread.start()
    thread.join()
    inner.end_run()
    print("outer again")
    outer.end_run()
    assert _messages(view_of(outer)) == ["outer", "outer again"]
    assert _messages(view_of(inner)) == ["inner", "thread"]


def test_a_stream_that_is_put_in_place_of_the_other_is_not_the_programs_output(out, capture, view_of):
    """What is redirected into a text is not printed; what a replacement passes on to the real stream is, once."""

    class Both:
        def __init__(self, stream):
            self.stream = stream

        def write(self, text):
            return self.stream.write(text)

        def flush(self):
            self.stream.flush()

    run = capture("OUTPUT")
    with contextlib.redirect_stdout(io.StringIO()):
        print("into a text")
    sys.stdout = Both(out)
    print("both")
    run.end_run()
    assert _messages(view_of(run)) == ["both"]


def test_somebody_who_wraps_the_stream_too_keeps_working(out, capture, view_of):
    """Another tracker may wrap ``write`` during a run and give it back later; a second run records each line once."""
    seen = []
    first = capture("OUTPUT")
    ours = sys.stdout.write
    sys.stdout.write = lambda text: (seen.append(text), ours(text))[1]  # type: ignore[method-assign]
    print("first")
    first.end_run()
    print("between")
    second = capture("OUTPUT")
    print("second")
    second.end_run()
    sys.stdout.write = ours  # type: ignore[method-assign]
    print("idle")
    third = capture("OUTPUT")
    print("third")
    third.end_run()
    assert [_messages(view_of(run)) for run in (first, second, third)] == [["first"], ["second"], ["third"]]
    assert "write" not in vars(out)
    assert out.printed() == "first\nbetween\nsecond\nidle\nthird\n"
    assert seen == ["first", "\n", "between", "\n", "second", "\n"]


@pytest.mark.parametrize("stream", [None, object(), "slots"])
def test_a_stream_that_cannot_be_wrapped_is_left_alone(monkeypatch, capture, view_of, stream):
    """No console, an object that is no stream, one without room: the run goes on, and so does printing."""

    class Slots:
        __slots__ = ()

        def write(self, text):
            return len(text)

        def flush(self):
            return None

    monkeypatch.setattr(sys, "stdout", Slots() if stream == "slots" else stream)
    run = capture("OUTPUT")
    if stream == "slots":
        print("x")
    print("y", file=sys.stderr)
    run.end_run()
    assert _messages(view_of(run)) == ["y"]


def test_both_streams_may_be_one(out, capture, view_of, monkeypatch):
    """A line is recorded once."""
    monkeypatch.setattr(sys, "stderr", out)
    run = capture("OUTPUT")
    print("x", file=sys.stderr)
    run.end_run()
    assert _messages(view_of(run)) == ["x"]


def test_quarks_own_threads_are_not_recorded(out, capture, view_of, caplog):
    """The console sink prints what was recorded; to record that would print it again, for ever."""
    run = capture("OUTPUT", trackers=[quark.ConsoleSink(every_s=0.0)])
    run.log({"a": 1.0})
    run.flush()
    print("mine")
    run.end_run()
    assert _messages(view_of(run)) == ["mine"]
    assert "quark: run" in out.printed()


def test_log_records_of_python_are_recorded(out, capture, view_of):
    """A handler that was made before the run writes to the same stream."""
    handler = logging.StreamHandler(out)
    logger = logging.getLogger("a-program")
    logger.addHandler(handler)
    try:
        run = capture("OUTPUT")
        logger.warning("careful")
        run.end_run()
    finally:
        logger.removeHandler(handler)
    assert _messages(view_of(run)) == ["careful"]


@pytest.mark.parametrize(
    ("setting", "rank", "kept"), [("1", 0, True), ("1", 1, False), ("all", 1, True), ("0", 0, False)]
)
def test_which_ranks_record_what_they_print(monkeypatch, setting, rank, kept):
    """Rank 0 by default, every rank if asked, none if switched off."""
    from quark.session.capture.capture import Wanted

    monkeypatch.setenv("QUARK_CAPTURE_OUTPUT", setting)
    assert Wanted.from_settings(rank).output is kept


def _script(tmp_path, text, *launcher, **variables):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    environment = {**os.environ, "QUARK_CAPTURE_OUTPUT": "1", "QUARK_STORAGE_DIR": str(tmp_path), **variables}
    return subprocess.run(
        [*launcher, sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_forked_child_prints_and_records_nothing(tmp_path):
    """The child's lines are printed; they belong to no run, and take no memory in the child."""
    ran = _script(
        tmp_path,
        """
        import os, sys, quark
        run = quark.start_run(project="p", run_id="r")
        print("parent", flush=True)
        child = os.fork()
        if child == 0:
            print("child", flush=True)
            assert len(run.capture._output._waiting) <= 2
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        run.end_run()
        """,
    )
    assert (ran.returncode, sorted(ran.stdout.split())) == (0, ["child", "parent"]), ran.stderr
    with quark.open(tmp_path) as store:
        assert _messages(store.run("r")) == ["parent"]


def test_a_program_that_configures_its_logging_later_loses_no_word(tmp_path):
    """Its own lines, Python's warnings and Quark's are printed and recorded; only who asks for it silences Quark."""
    ran = _script(
        tmp_path,
        """
        import logging, logging.config, warnings, quark
        run = quark.start_run(project="p", run_id="r")
        handlers = {"h": {"class": "logging.StreamHandler"}}
        root = {"handlers": ["h"], "level": "INFO"}
        logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root})
        logging.getLogger("mine").info("my line")
        warnings.warn("a warning of Python")
        run.log({"seen": object()}, step=0)
        logging.getLogger("quark").disabled = True
        run.log({"unseen": object()}, step=0)
        logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root, "loggers": {"quark": {}}})
        run.log({"seen again": object()}, step=0)
        assert logging.getLogger("quark").handlers == []
        run.end_run()
        """,
    )
    assert ran.returncode == 0, ran.stderr
    with quark.open(tmp_path) as store:
        recorded = "\n".join(_messages(store.run("r"), "stderr"))
    for text in (ran.stderr, recorded):
        assert "my line" in text and "a warning of Python" in text
        assert "metric 'seen'" in text and "metric 'seen again'" in text and "metric 'unseen'" not in text


def test_the_traceback_that_ends_a_program_is_recorded(tmp_path):
    """A run that nobody ended holds the last lines of its process."""
    ran = _script(
        tmp_path,
        """
        import quark
        run = quark.start_run(project="p", run_id="r")
        print("begins")
        1 / 0
        """,
    )
    assert ran.returncode == 1
    with quark.open(tmp_path) as store:
        assert _messages(store.run("r"), "stderr")[-1] == "ZeroDivisionError: division by zero"


def test_under_quark_run_a_line_is_recorded_once(tmp_path):
    """The launcher records the lines of the run that it waits for, those of C code and child processes too."""
    ran = _script(
        tmp_path,
        """
        import quark
        with quark.start_run(project="p") as run:
            print("line of", run.run_id)
        with quark.start_run(project="p", run_id="other"):
            print("line of another")
        """,
        sys.executable, "-m", "quark.cli", "run", "--",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    with quark.open(tmp_path) as store:
        lines = {view.id: _messages(view) for view in store.runs()}
    assert lines.pop("other") == ["line of another"]
    ((run_id, messages),) = lines.items()
    assert messages == [f"line of {run_id}", "line of another"]


def test_a_disabled_run_touches_no_stream(out, capture, monkeypatch):
    """QUARK_DISABLE: nothing is wrapped."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    before = set(vars(out))
    run = capture("OUTPUT", "DIFF", "PACKAGES", "SCRIPT", "SYSTEM")
    assert set(vars(out)) == before
    assert run.capture is None
    run.end_run()
