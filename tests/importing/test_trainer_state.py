"""`quark import transformers`: what a Trainer's own state writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.reading import RunView

from .conftest import CORPUS, STEPS, Import, whole

pytest.importorskip("transformers")
from transformers.trainer_callback import TrainerState

pytestmark = pytest.mark.torch


def write(place: Path, entries: int = len(CORPUS), **fields: Any) -> Path:
    """A state with the corpus as its history, by Transformers; the file."""
    history = [
        {"epoch": step / 8, "loss": value, "learning_rate": 5e-5, "step": step}
        for step, value in zip(STEPS, CORPUS, strict=True)
    ]
    place.mkdir(parents=True, exist_ok=True)
    state = TrainerState(
        log_history=history[:entries], global_step=entries, max_steps=100, num_train_epochs=3, **fields
    )
    state.save_to_json(str(place / "trainer_state.json"))
    return place / "trainer_state.json"


def test_a_training_is_a_run(tmp_path: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """What was logged, at its step; parts of epochs as a metric; settings and results of the state."""
    write(tmp_path / "lm" / "out" / "checkpoint-14", best_metric=0.25)
    run = stored(whole(imports("transformers", tmp_path / "lm")))
    assert (run.record.project_name, run.name) == ("lm", "out")
    assert (run.config["max_steps"], run.summary()["best_metric"]) == (100, 0.25)
    assert run.series("epoch").values.tolist() == [step / 8 for step in STEPS]
    assert (len(run.series("loss")), len(run.series("loss").nonfinite)) == (11, 3)


def test_the_newest_checkpoint_continues_the_run(
    tmp_path: Path, imports: Import, stored: Callable[..., RunView]
) -> None:
    """By number, not by name: checkpoint-10 is newer than checkpoint-9; an import after it adds what it has more."""
    write(tmp_path / "out" / "checkpoint-9", 9)
    first = whole(imports("transformers", tmp_path / "out"))
    write(tmp_path / "out" / "checkpoint-10", 10)
    (tmp_path / "out" / "checkpoint-10" / "training_args.bin").write_bytes(b"\x80\x04.")
    second = whole(imports("transformers", tmp_path / "out"))
    assert second.run_id == first.run_id
    assert len(stored(second).series("learning_rate")) == 10
    assert any("never read" in remark for remark in second.remarks)
    assert any("step 10 of 100" in remark for remark in second.remarks)


def test_a_checkpoint_that_was_cut_off_is_left_out(tmp_path: Path, imports: Import) -> None:
    """A training that was killed while it wrote its newest checkpoint is read from the one before."""
    text = write(tmp_path / "out" / "checkpoint-9", 9).read_text()
    (tmp_path / "out" / "checkpoint-10").mkdir()
    (tmp_path / "out" / "checkpoint-10" / "trainer_state.json").write_text(text[:-50])
    imported = whole(imports("transformers", tmp_path / "out"))
    assert any("checkpoint-10" in remark for remark in imported.remarks)
    assert imported.location.endswith("checkpoint-9/trainer_state.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"log_history": {}}', "[" * 100_000])
def test_what_is_no_state_is_refused(content: str, tmp_path: Path, imports: Import) -> None:
    """The error names the file."""
    (tmp_path / "trainer_state.json").write_text(content)
    with pytest.raises(quark.SchemaValidationError, match=r"trainer_state\.json"):
        imports("transformers", tmp_path)


def test_entries_of_other_forms_are_left_out(tmp_path: Path, imports: Import) -> None:
    """A file that another program wrote imports what can be read."""
    state = {"log_history": [{"step": 1, "loss": 2}, "x", {"step": "3", "loss": None}, {"step": 4}], "global_step": "?"}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    imported = whole(imports("transformers", tmp_path / "trainer_state.json"))
    assert imported.counts["points"] == 1
    assert any("no objects" in remark for remark in imported.remarks)
