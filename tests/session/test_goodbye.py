"""The last lines of a run: how it ended, what was best, where it is and what to type."""

import io
import shlex
from pathlib import Path

import pytest

import quark
from quark.cli import run as run_command


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The lines are asked for, and the working directory is one of the test's own."""
    monkeypatch.setenv("QUARK_GOODBYE", "1")
    monkeypatch.setattr("quark.session.goodbye.READ_S", 60.0)  # a busy machine may be slow to open a store
    monkeypatch.chdir(tmp_path)


def record(name: str | None = None) -> quark.TrainingSession:
    """A run with an accuracy, two losses and a learning rate, and a value that is refused."""
    with quark.start_run(project="p", name=name, storage_dir="quark-runs") as run:
        for step in range(20):
            run.log(
                {"Train Loss": 1 / (step + 1), "val/acc": 0.9 - abs(step - 7) / 10, "val/loss": 2.0, "lr": 0.1},
                step=step,
            )
        run.log({"val/acc": None}, step=20)
    return run


@pytest.mark.usefixtures("asked")
def test_three_lines_say_what_there_is_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    """Status, time and what was refused; the best values, of a validation first; the place and the command."""
    run = record("my run")
    ended, best, place = [line for line in capsys.readouterr().err.splitlines() if "refused_" not in line]
    assert ended.startswith(f"quark: run my run ({run.run_id}) completed after ") and ended.endswith(
        ", 1 value refused"
    )
    assert best == "quark: best: val/acc 0.9 at step 7, val/loss 2 at step 0, Train Loss 0.05 at step 19"
    assert place == f"quark: kept in {Path.cwd()}/quark-runs; see it with: quark show 'my run' -d quark-runs"


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("name", [None, "twin", "-n", "tab\there"])
def test_the_command_works_as_it_stands(capsys: pytest.CaptureFixture[str], name: str | None) -> None:
    """Also for a run without a name of its own: two share one, or it cannot be typed."""
    record(name)
    run = record(name)
    command = capsys.readouterr().err.splitlines()[-1].partition("see it with: quark ")[2]
    assert run_command(shlex.split(command)) == 0
    assert run.run_id in capsys.readouterr().out


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("names", "said"), [(["Loss"], "2 values NaN or infinite (Loss)"), ("abcde", "(a, b, c and 2 more)")]
)
def test_nan_is_said(capsys: pytest.CaptureFixture[str], names: list[str], said: str) -> None:
    """Also of a run that is too short to be analyzed, and by the names of the metrics."""
    with quark.start_run(project="p", storage_dir="quark-runs", analyze=False) as run:
        for value in (float("nan"), float("inf")):
            run.log(dict.fromkeys(names, value))
    ended = next(line for line in capsys.readouterr().err.splitlines() if "completed after" in line)
    assert ended.endswith(said)


@pytest.mark.usefixtures("asked")
def test_a_failure_and_alerts_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The status is the true one, and alerts are counted."""
    with pytest.raises(ValueError), quark.start_run(project="p", storage_dir="quark-runs") as run:
        run.alerts = 2
        raise ValueError
    assert "failed after" in (err := capsys.readouterr().err) and ", 2 alerts" in err


@pytest.mark.parametrize("value", ["0", None])
def test_nothing_is_printed_where_nobody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str | None
) -> None:
    """Standard error that is no terminal stays empty, and QUARK_GOODBYE=0 silences a terminal too."""
    if value is None:
        monkeypatch.delenv("QUARK_GOODBYE")
    else:
        monkeypatch.setattr("quark.session.ending.is_watched", lambda: True)
    quark.start_run(project="p", storage_dir=tmp_path).end_run()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_them_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As progress bars do."""
    monkeypatch.delenv("QUARK_GOODBYE")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    quark.start_run(project="p", storage_dir=tmp_path).end_run()
    assert "see it with: quark show" in capsys.readouterr().err


@pytest.mark.usefixtures("asked")
def test_a_closed_or_missing_stderr_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run ends as it would have."""
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr("sys.stderr", stream)
        run = quark.start_run(project="p", storage_dir=tmp_path)
        run.end_run()
        assert run.status == "completed"


@pytest.mark.usefixtures("asked")
def test_a_store_that_cannot_be_read_leaves_out_the_best_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other lines are there."""

    def refuse(reader: object, run_id: str) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr("quark.session.goodbye._best_values", refuse)
    record("n")
    err = capsys.readouterr().err
    assert "best:" not in err and "completed after" in err and "see it with" in err
