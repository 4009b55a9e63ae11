"""`quark import wandb`: offline folders that W&B itself wrote."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import quark
from quark.reading import RunView

from ..integrations.wandb_files import wandb_environment
from .conftest import CORPUS, Import, whole

PROGRAM = """
import os, sys
import wandb

run = wandb.init(
    project="digits", id="abc123", name="first", config={"lr": 0.1, "net": {"depth": 3}, "api_key": "xyz"},
    tags=["a", "b"], notes="a note", group="g", settings=wandb.Settings(x_disable_stats=True),
)
for step, text in enumerate(sys.argv[1:]):
    run.log({"loss": float(text), "n": {"x": step}}, step=2 * step)
run.log({"loss": 9.0}, step=3)  # which W&B loses
run.log({"phase": "end", "h": wandb.Histogram([1, 2, 3])}, step=100)
run.config.update({"late": 1})
run.summary["best"] = 0.25
run.finish(exit_code=3)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory ``wandb`` with one finished run, by W&B in a process of its own."""
    place = tmp_path_factory.mktemp("offline")
    environment = {**os.environ, **wandb_environment(place), "WANDB_MODE": "offline", "WANDB_DIR": str(place)}
    values = [repr(value) for value in CORPUS]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *values],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place / "wandb"


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "wandb", symlinks=True))


def log_of(folder: Path) -> Path:
    """The transaction log of the run."""
    (found,) = folder.glob("offline-run-*/*.wandb")
    return found


def test_a_run_is_the_same_run(folder: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """Config as it was at the end, tags, notes, results, status, and every bit of every value at W&B's step."""
    imported = whole(imports("wandb", folder))
    run = stored(imported)
    assert (run.record.project_name, run.name, run.record.tags) == ("digits", "first", ("a", "b"))
    assert run.config == {"lr": 0.1, "net": {"depth": 3}, "api_key": "[redacted]", "late": 1}
    assert (run.notes(), run.summary()) == (("a note",), {"best": 0.25})
    assert (run.status, run.record.reason) == ("failed", "error")
    kept = np.isfinite(CORPUS)
    series = run.series("loss")
    assert series.values.tobytes() == np.array(CORPUS)[kept].tobytes()
    assert series.steps.tolist() == (2 * np.arange(len(CORPUS))[kept]).tolist()
    assert list(map(str, series.nonfinite.values.tolist())) == ["nan", "inf", "-inf"]
    assert run.series("n.x").values.tolist() == list(range(len(CORPUS)))
    assert run.record.environment["wandb"]["group"] == "g"
    assert "1 values of the type histogram are not imported" in imported.remarks


def test_a_second_import_changes_nothing(folder: Path, imports: Import) -> None:
    """Named by its directory or by its file, here or elsewhere: entity, project and id identify a run."""
    first = whole(imports("wandb", folder))
    moved = folder.rename(folder.with_name("moved"))
    second = whole(imports("wandb", log_of(moved)))
    assert (second.run_id, second.added) == (first.run_id, 0)


def test_a_killed_run_is_lost_until_it_ends(folder: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """A log without an end, torn in its last record, is a lost run; when the log is whole, the run is."""
    log = log_of(folder)
    data = log.read_bytes()
    log.write_bytes(data[: data.index(b'"9.0"') if b'"9.0"' in data else len(data) * 3 // 5])
    first = whole(imports("wandb", folder))
    assert (stored(first).status, stored(first).record.reason) == ("failed", "lost")
    assert any("has no end" in remark for remark in first.remarks)
    log.write_bytes(data)
    second = whole(imports("wandb", folder))
    assert second.run_id == first.run_id and second.added > 0
    assert second.counts["points"] > first.counts["points"]
    assert (stored(second).record.reason, stored(second).config["late"]) == ("error", 1)


def test_the_parts_of_a_resumed_run_are_one_run(folder: Path, imports: Import) -> None:
    """Each start of a run writes a log of its own with the same id."""
    log = log_of(folder)
    later = folder / "offline-run-29991231_235959-abc123"
    first = whole(imports("wandb", folder))
    shutil.copytree(log.parent, later)
    second = whole(imports("wandb", folder))
    assert second.run_id == first.run_id
    assert second.counts["points"] == 2 * first.counts["points"]


@pytest.mark.parametrize(("content", "words"), [(b"text that is no log", "cannot be read"), (b"", "holds no runs")])
def test_what_is_no_log_is_refused(content: bytes, words: str, tmp_path: Path, imports: Import) -> None:
    """The error names the file, or what was looked for."""
    (tmp_path / "run-x.wandb").write_bytes(content)
    with pytest.raises(quark.SchemaValidationError, match=words):
        imports("wandb", tmp_path / "run-x.wandb")
