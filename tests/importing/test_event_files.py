"""`quark import tensorboard`: event files of PyTorch's SummaryWriter and of TensorBoard's own writers."""

import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import quark
from quark.reading import RunView

from .conftest import CORPUS, STEPS, Import, whole

pytest.importorskip("torch")
pytest.importorskip("tensorboard")
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

pytestmark = pytest.mark.torch

with np.errstate(all="ignore"):
    FLOAT32 = np.array(CORPUS, dtype="float64").astype("float32").astype("float64")
"""The corpus as a scalar of TensorBoard holds it."""


def bits(values: object) -> bytes:
    """Values as they are in memory."""
    return np.asarray(values, dtype="float64").tobytes()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory by PyTorch: the corpus, new-style scalars, text, what is not imported, hyperparameters."""
    place = tmp_path_factory.mktemp("logs") / "vision"
    with SummaryWriter(str(place / "a")) as writer:
        for step, value in zip(STEPS, CORPUS, strict=True):
            writer.add_scalar("loss/train", value, step, walltime=1_700_000_000.25 + step)
        writer.add_scalar("below", 1.0, -7)
        writer.add_scalar("new", 0.1, 3, new_style=True)
        writer.add_scalar("double", 0.1, 3, new_style=True, double_precision=True)
        writer.add_text("remark", "warming up", 1)
        writer.add_histogram("weights", np.arange(10.0), 1)
        writer.add_hparams({"lr": 0.1, "deep": True, "name": "net"}, {"score": 0.5}, run_name="hp")
    with SummaryWriter(str(place / "b")) as writer:
        writer.add_scalars("pair", {"x": 1.0, "y": 2.0}, 4)
    return place


@pytest.fixture
def runs(logs: Path, imports: Import, stored: Callable[..., RunView]) -> dict[str, RunView]:
    """The runs of the log directory by their names."""
    done = imports("tensorboard", logs)
    return {imported.name or "": stored(whole([(imported, checked)])) for imported, checked in done}


def test_every_bit_that_tensorboard_kept(runs: dict[str, RunView]) -> None:
    """A scalar is a float32 in the file: it is widened exactly, its wall time kept, what overflowed is not finite."""
    series = runs["a"].series("loss/train")
    kept = np.isfinite(FLOAT32)
    assert bits(series.values) == bits(FLOAT32[kept])
    assert series.steps.tolist() == np.array(STEPS)[kept].tolist()
    assert series.timestamps.tolist() == [
        1_700_000_000_250_000_000 + step * 10**9 for step in np.array(STEPS)[kept].tolist()
    ]
    assert len(series.nonfinite) == len(CORPUS) - kept.sum() > sum(not math.isfinite(value) for value in CORPUS)


def test_tensors_are_scalars_too(runs: dict[str, RunView]) -> None:
    """The way of TensorFlow 2, in single and double precision; texts are events; a step below zero is kept."""
    run = runs["a"]
    assert run.series("new").values.tolist() == [float(np.float32(0.1))]
    assert run.series("double").values.tolist() == [0.1]
    assert [event.payload for event in run.events(event_type="logged_text")] == [{"remark/text_summary": "warming up"}]
    assert [event.payload["step"] for event in run.events(event_type="metric_misplaced")] == [-7]


def test_folders_below_are_runs_of_their_own(runs: dict[str, RunView]) -> None:
    """As in TensorBoard: the series of ``add_scalars`` share a tag; hyperparameters are a configuration."""
    assert set(runs) == {"a", "a/hp", "b", "b/pair_x", "b/pair_y"}
    assert runs["a/hp"].config == {"lr": 0.1, "deep": True, "name": "net"}
    assert runs["a/hp"].record.parent_run_id == runs["a"].id
    assert runs["b/pair_x"].series("pair").values.tolist() == [1.0]
    assert runs["a"].record.project_name == "vision"


def test_what_is_not_imported_is_said(logs: Path, imports: Import) -> None:
    """Histograms are counted; a second import of everything finds nothing new."""
    done, again = imports("tensorboard", logs), imports("tensorboard", logs)
    (remarks,) = [imported.remarks for imported, _ in done if imported.name == "a"]
    assert "1 histograms are not imported" in remarks
    assert [imported.added for imported, _ in again] == [0] * len(done)


def scalar_file(place: Path, steps: range, name: str = "events.out.tfevents.1700000000.host.1.0") -> Path:
    """An event file of scalars by TensorBoard's own writer; the file."""
    place.mkdir(exist_ok=True)
    with (place / name).open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1_700_000_000.0, file_version="brain.Event:2").SerializeToString())
        for step in steps:
            summary = Summary(value=[Summary.Value(tag="loss", simple_value=1 / (step + 1))])
            writer.write(Event(wall_time=1_700_000_001.0 + step, step=step, summary=summary).SerializeToString())
    return place / name


@pytest.mark.parametrize("cut", [1, 4, 20, 38])
def test_a_torn_tail_and_what_follows_later(
    cut: int, tmp_path: Path, imports: Import, stored: Callable[..., RunView]
) -> None:
    """A killed writer leaves half a record; it is left out and said. Files that follow, of a restart, are added."""
    file = scalar_file(tmp_path / "run", range(10))
    whole_file = file.read_bytes()
    file.write_bytes(whole_file[:-cut])
    first = whole(imports("tensorboard", tmp_path / "run"))
    assert first.counts["points"] == 9
    assert any("torn or damaged" in remark for remark in first.remarks)
    scalar_file(tmp_path / "run", range(5, 12), "events.out.tfevents.1700000100.host.2.0")
    second = whole(imports("tensorboard", tmp_path / "run"))
    assert second.run_id == first.run_id
    assert stored(second).series("loss").steps.tolist() == [*range(9), *range(5, 12)]


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 100, b"\xff" * 12, struct.pack("<QI", 2**62, 0), b"not a record at all", b""],
    ids=["zeros", "ones", "enormous", "text", "nothing"],
)
def test_damage_is_said_and_costs_nothing_before_it(damage: bytes, tmp_path: Path, imports: Import) -> None:
    """Records before it count; lengths that a stranger invented take no memory."""
    file = scalar_file(tmp_path / "run", range(3))
    file.write_bytes(file.read_bytes() + damage)
    imported = whole(imports("tensorboard", file))
    assert imported.counts["points"] == 3
    assert any("torn or damaged" in remark for remark in imported.remarks) == bool(damage)


def test_a_bit_that_flipped_is_found(tmp_path: Path, imports: Import) -> None:
    """The checksum of the record tells: what follows is left out, never read wrongly."""
    file = scalar_file(tmp_path / "run", range(3))
    data = bytearray(file.read_bytes())
    data[-10] ^= 1
    file.write_bytes(data)
    assert whole(imports("tensorboard", file)).counts["points"] == 2


def test_a_moved_directory_is_the_same_run(tmp_path: Path, imports: Import) -> None:
    """The name and the first time of its first file identify it, not its place."""
    scalar_file(tmp_path / "run", range(3))
    first = whole(imports("tensorboard", tmp_path / "run"))
    (tmp_path / "run").rename(tmp_path / "moved")
    second = whole(imports("tensorboard", tmp_path / "moved"))
    assert (second.run_id, second.counts["points"]) == (first.run_id, 3)


def test_a_directory_without_event_files(tmp_path: Path, imports: Import) -> None:
    """The error says what was looked for."""
    with pytest.raises(quark.SchemaValidationError, match="tfevents"):
        imports("tensorboard", tmp_path)
