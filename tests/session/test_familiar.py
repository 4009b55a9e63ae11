"""Words that people know from other trackers: a run in three lines, and hints for the rest."""

import datetime
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import quark
from quark import SchemaValidationError, WrongTypeError
from quark.core.hints import COMMAND_WORDS, MODULE_WORDS, RUN_WORDS
from quark.session.session import TrainingSession


class Saved:
    """An object whose text has several lines, and does not hold all of it."""

    def __repr__(self) -> str:
        return "saved\n  things"


def stored(place: Path, run_id: str) -> Any:
    """The run as it is read back."""
    with quark.open(place) as store:
        view = store.run(run_id)
        return (
            view.status,
            view.reason,
            view.latest(),
            {one.artifact_key: view.load_bytes(one) for one in view.artifacts()},
        )


def test_a_run_in_three_lines(tmp_path: Path) -> None:
    """``init``, ``log`` and ``finish`` are a whole run."""
    run = quark.init("digits", "cnn", config={"lr": 0.1}, tags=["first"], storage_dir=tmp_path)
    quark.log({"loss": 2.0}, step=0)
    quark.log(loss=1.0, step=1)
    context = quark.finish()
    assert context is not None and (context.status, quark.current_run()) == ("completed", None)
    assert stored(tmp_path, run.run_id)[:3] == ("completed", "completed", {"loss": (1, 1.0)})


def test_a_run_says_what_it_is(tmp_path: Path) -> None:
    """``id``, ``name``, ``config`` and ``tags``; a tag that is added is there at once."""
    with quark.start_run(project="p", name="n", config={"lr": 0.1}, tags=["a"], storage_dir=tmp_path) as run:
        run.add_tag("b")
        assert (run.id, run.name, run.tags, dict(run.config)) == (run.run_id, "n", ("a", "b"), {"lr": 0.1})


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda run: run.finish(), "completed"), (lambda run: quark.finish(0), "completed"),
        (lambda run: quark.finish(1), "failed"), (lambda run: quark.finish(exit_code=255), "failed"),
    ],
)  # fmt: skip
def test_a_run_is_finished_without_a_reason(tmp_path: Path, end: Callable[[Any], Any], status: str) -> None:
    """Completed unless the exit code says otherwise; a second time changes nothing."""
    run = quark.start_run(project="p", storage_dir=tmp_path)
    end(run)
    run.finish()
    assert stored(tmp_path, run.run_id)[0] == status


def test_finish_knows_of_a_stop(tmp_path: Path) -> None:
    """A loop that was stopped is not called completed, as at the end of its block."""
    run = quark.start_run(project="p", storage_dir=tmp_path)
    for _ in run.steps(range(3)):
        run.stop()
    run.finish()
    assert stored(tmp_path, run.run_id)[1] == "stopped"


def test_values_are_logged_by_keyword(tmp_path: Path) -> None:
    """Alone and beside a mapping; what is no mapping is refused and its neighbours are recorded."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log(loss=1.0, step=0)
        run.log({"a": 1.0}, b=2.0, step=1)
        run.log(step=2)
        run.log(3, step=3)  # type: ignore[arg-type]
    assert stored(tmp_path, run.run_id)[2] == {"a": (1, 1.0), "b": (1, 2.0), "loss": (0, 1.0)}


def test_values_are_attributes_too(tmp_path: Path) -> None:
    """``run.config.lr = 0.1`` is recorded as ``run.config["lr"] = 0.1`` is, and read; the summary likewise."""
    with quark.start_run(project="p", storage_dir=tmp_path, config={"lr": 1.0, "items": 3}) as run:
        run.config.lr = run.config.lr / 10
        run.config.values = [1, 2]
        run.summary.best = 0.5
        assert (run.config.lr, run.config["values"], list(run.config.values())) == (0.1, [1, 2], [0.1, 3, [1, 2]])
        assert run.summary.best == 0.5
        for missing in (run.config, run.summary):
            with pytest.raises(AttributeError, match="has no value 'optimizer'"):
                missing.optimizer  # noqa: B018
            assert not hasattr(missing, "_private")
    with quark.open(tmp_path) as store:
        view = store.run(run.id)
        assert (view.config, view.summary()) == ({"lr": 0.1, "items": 3, "values": [1, 2]}, {"best": 0.5})


def test_name_tags_and_notes_are_assigned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tags are added and notes written down; a run keeps its name, which is said and stops no training."""
    with quark.start_run(project="p", name="first", storage_dir=tmp_path, tags=["a"]) as run:
        run.name = "first"
        run.tags = (*run.tags, "b")
        run.tags += ("c" * 1000,)
        run.notes = "as the paper has it"
        run.name = "second"
        run.tags = 3  # type: ignore[assignment]
    with quark.open(tmp_path) as store:
        view = store.run(run.id)
        assert (view.name, view.tags) == ("first", ("a", "b"))
        assert view.notes() == ("as the paper has it",)
    for words in ("use start_run(name='second')", "at most 512 characters", "tags must be a list"):
        assert words in caplog.text


def test_switches_of_other_trackers_are_no_metrics(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """``run.log(values, commit=False)`` records the values and says that it has no such option; numbers are metrics."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"loss": 1.0}, commit=False, step=0)
        run.log({"loss": 2.0, "commit": 3.0}, sync=True, step=1)
        run.log({"loss": 2.0}, sync=0.5, step=2)
        assert run.health()["refused"] == 0
    assert stored(tmp_path, run.run_id)[2] == {"loss": (2, 2.0), "commit": (1, 3.0), "sync": (2, 0.5)}
    assert "log has no option commit" in caplog.text


def test_outside_a_run_nothing_happens(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning each; a script that logs without a run goes on."""
    monkeypatch.setattr("quark.session.api._warned", set())
    with caplog.at_level(logging.WARNING, "quark"):
        for _ in range(3):
            quark.log({"loss": 1.0})
            assert quark.finish() is None
    assert len(caplog.records) == 2


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_file(tmp_path: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is given to ``log_artifact`` names a file; its content is stored, not its name."""
    monkeypatch.chdir(tmp_path)
    Path("m.pt").write_bytes(b"weights")
    with quark.start_run(project="p", storage_dir=tmp_path / "runs") as run:
        assert run.log_artifact(kind("m.pt"), artifact_type="checkpoint", step=3).artifact_type == "checkpoint"  # type: ignore[union-attr]
        run.log_artifact(kind("m.pt"), "model/best")
        run.log_artifact(b"raw", "bytes")
    assert stored(tmp_path / "runs", run.run_id)[3] == {"m.pt": b"weights", "model/best": b"weights", "bytes": b"raw"}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nope.pt", "there is no file"),
        (".", "store_files"),
        (b"raw", "need a name"),
        ({"a": 1}, "takes a path or bytes"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, file: Any, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Counted and warned about, raised in strict mode; the message says what takes it."""
    with caplog.at_level(logging.WARNING, "quark"), quark.start_run(project="p", storage_dir=tmp_path) as run:
        assert run.log_artifact(file) is None
    assert words in caplog.text and run.health()["refused"] == 1
    with (
        quark.start_run(project="p", storage_dir=tmp_path, strict_mode=True) as strict,
        pytest.raises((SchemaValidationError, WrongTypeError), match=words),
    ):
        strict.log_artifact(file)


def test_an_artifact_has_the_name_of_its_file(tmp_path: Path) -> None:
    """As it is, also where no key may be so; strict mode makes a key of it."""
    file = tmp_path / "learning curve (größe).png"
    file.write_bytes(b"png")
    for strict, name in ((False, file.name), (True, "learning-curve-gr-e-.png")):
        with quark.start_run(project="p", storage_dir=tmp_path, strict_mode=strict) as run:
            run.log_artifact(file)
        with quark.open(tmp_path) as store:
            view = store.run(run.run_id)
            (artifact,) = view.artifacts()
            assert view.recorded_names("artifact").get(artifact.artifact_key, artifact.artifact_key) == name


@pytest.mark.parametrize(
    "payload", [object(), SimpleNamespace, stored, Saved()], ids=["object", "class", "function", "instance"]
)
def test_an_object_is_not_stored_as_its_description(
    tmp_path: Path, payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An image or a model that reads ``<Image size=4x4>`` in the store would be lost; values that are text are kept."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run, quark.ArtifactStore(run) as artifacts:
        for name in ("first", "second"):
            assert artifacts.store("media", name, payload).refused
        for kept in (datetime.date(2026, 1, 1), 1j, ValueError("no data"), {"model": payload}, float("nan")):
            assert not artifacts.store("media", "kept", kept).refused
    said = [record.getMessage() for record in caplog.records]
    assert ["save it to a file" in words and "\n" not in words for words in said] == [True, True]


def test_a_path_in_an_artifact_store_is_a_file(tmp_path: Path) -> None:
    """``store`` keeps text as text, and a ``Path`` as what lies there."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    with quark.start_run(project="p", storage_dir=tmp_path) as run, quark.ArtifactStore(run) as artifacts:
        artifacts.store("file", "text", "a.bin")
        artifacts.store("file", "path", tmp_path / "a.bin")
    assert stored(tmp_path, run.run_id)[3] == {"text": b"a.bin", "path": b"abc"}


def test_a_file_that_is_named_is_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its extension; a path that is not there is said."""
    (tmp_path / "m.pt").write_bytes(b"weights")
    with caplog.at_level(logging.WARNING, "quark"), quark.start_run(project="p", storage_dir=tmp_path / "r") as run:
        assert quark.store_files(run, tmp_path / "m.pt") == 1
        assert not caplog.records
        assert quark.store_files(run, tmp_path / "nope") == 0
    assert "there is no file or directory" in caplog.text
    assert stored(tmp_path / "r", run.run_id)[3] == {"m.pt": b"weights"}


def test_what_was_left_out_of_a_directory_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By extension, with what to pass to have it."""
    for name in ("a.png", "b.pt", "c.pt", "d"):
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"x")
    with caplog.at_level(logging.WARNING, "quark"), quark.start_run(project="p", storage_dir=tmp_path / "r") as run:
        assert quark.store_files(run, tmp_path / "out") == 1
        assert quark.store_files(run, tmp_path / "out", extensions=None) == 4
        assert quark.store_files(run, tmp_path / "out", glob="*.csv") == 0
    assert "3 were left out" in caplog.text and ".pt 2" in caplog.text and "matches '*.csv'" in caplog.text


@pytest.mark.parametrize(
    ("owner", "words", "word"),
    [*((quark, MODULE_WORDS, word) for word in MODULE_WORDS),
     *((quark.DisabledSession("p"), RUN_WORDS, word) for word in RUN_WORDS)],
    ids=[*MODULE_WORDS, *(f"run.{word}" for word in RUN_WORDS)],
)  # fmt: skip
def test_a_familiar_word_names_ours(owner: Any, words: dict[str, str], word: str) -> None:
    """What is not here says what does it here, and that is here."""
    with pytest.raises(AttributeError, match=f"{word}.; use ") as error:
        getattr(owner, word)
    assert words[word] in str(error.value)
    for place, name in re.findall(r"(quark|run)\.(\w+)", words[word]):
        assert hasattr(TrainingSession if place == "run" else quark, name)


def test_a_misspelt_name_gets_near_ones() -> None:
    """As the interpreter does for modules and runs, with the names that are public."""
    with pytest.raises(AttributeError, match="did you mean start_run"):
        quark.strat_run  # noqa: B018


def test_words_of_others_are_no_names_of_a_run() -> None:
    """They are not completed, and looking for one finds none; the class has no ``__getattr__``, which slows ``log``."""
    run = quark.DisabledSession("p")
    assert not any(word in dir(run) or hasattr(run, word) or hasattr(TrainingSession, word) for word in RUN_WORDS)
    assert not hasattr(TrainingSession, "__getattr__")


def test_commands_with_a_hint_are_none_of_ours() -> None:
    """A command that exists needs no hint."""
    import typer.main

    from quark.cli.entry import app

    ours = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(COMMAND_WORDS) & set(ours) == set()
    hinted = {words.split()[1] for words in COMMAND_WORDS.values() if words.startswith("quark ")}
    assert hinted <= set(ours)
