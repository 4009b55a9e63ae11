"""Metrics as data frames and Parquet files."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import quark
from quark import SessionStoreError
from quark.reading import RunView


def test_the_long_form_has_a_row_a_point(view: RunView) -> None:
    """Key, step, epoch, value, time, attempt and rank; what a point has not is missing."""
    frame = view.to_pandas()
    assert list(frame.columns) == ["key", "step", "epoch", "value", "timestamp", "attempt", "rank"]
    assert len(frame) == 22
    val = frame[frame["key"] == "val/loss"]
    assert val["step"].isna().all() and val["epoch"].tolist() == [0, 1]
    assert str(frame["timestamp"].dtype) == "datetime64[ns, UTC]"


def test_the_wide_form_has_a_row_a_step(view: RunView) -> None:
    """Steps first, then the points that have an epoch only; nothing is left out."""
    frame = view.to_pandas(wide=True)
    assert list(frame.columns) == ["step", "epoch", "train/loss", "val/loss"]
    assert frame["step"].tolist()[:20] == list(range(20)) and frame["step"][20:].isna().all()
    assert frame["epoch"].tolist() == [0] * 10 + [1] * 10 + [0, 1]
    assert frame["val/loss"].dropna().tolist() == pytest.approx([0.41, 0.31])


def test_chosen_keys_keep_their_order(view: RunView) -> None:
    """Columns come as they were asked for; an unknown key is an error."""
    assert list(view.to_pandas(["val/loss", "train/loss"], wide=True).columns)[2:] == ["val/loss", "train/loss"]
    with pytest.raises(SessionStoreError, match="no metric"):
        view.to_pandas(["nope"])


def test_a_step_that_was_logged_again_counts_once_in_the_wide_form(tmp_path: Path) -> None:
    """The last value of a step is its value; the long form has them all."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"loss": 1.0}, step=3)
        run.log({"loss": 2.0}, step=3)
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert view.to_pandas(wide=True)["loss"].tolist() == [2.0]
        assert view.to_pandas()["value"].tolist() == [1.0, 2.0]


def test_a_run_without_metrics_is_an_empty_frame(tmp_path: Path) -> None:
    """No metrics, no rows, the same columns."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        pass
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert list(view.to_pandas().columns)[:2] == ["key", "step"]
        assert list(view.to_pandas(wide=True).columns) == ["step", "epoch"]
        assert len(view.to_pandas()) == len(view.to_pandas(wide=True)) == 0


def test_a_parquet_file_holds_the_same(view: RunView, tmp_path: Path) -> None:
    """Points as in the long form, the run in the metadata, no other file left behind."""
    folder = tmp_path / "out"
    folder.mkdir()
    path = view.to_parquet(folder / "run.parquet")
    frame, expected = pd.read_parquet(path), view.to_pandas()
    assert frame["value"].tolist() == expected["value"].tolist()
    assert frame["step"].isna().sum() == 2
    assert json.loads(pq.read_schema(path).metadata[b"quark.run"])["id"] == view.id
    assert list(folder.iterdir()) == [path]


def test_a_failed_parquet_file_is_not_there(view: RunView, tmp_path: Path) -> None:
    """A file is complete or absent."""
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(SessionStoreError):
        view.to_parquet(folder / "run.parquet", ["train/loss", "nope"])
    assert list(folder.iterdir()) == []
