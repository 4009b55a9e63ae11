"""Many processes, one run: rank 0 owns its life, every rank records, whoever ends last leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark.session.sync import sync
from tests.children import child_environment

TRAIN = """
import os, sys, time, quark
rank = int(os.environ["RANK"])
sink = quark.JsonlSink(sys.argv[1] + "/run.jsonl")
with quark.start_run(project="ranks", storage_dir=sys.argv[1], trackers=[sink]) as run:
    for step in range(50):
        run.log({"loss": 100.0 * rank + step}, step=step)
    quark.SystemTelemetry(run).sample(step=1)
    time.sleep(float(sys.argv[2 + rank]))
assert (run.rank, run.status) == (rank, "completed")
"""


def plain_environment() -> dict[str, str]:
    """The variables of this process without those of Quark's."""
    return child_environment()


PAUSES = {"together": ("0", "0"), "owner last": ("1.5", "0"), "owner first": ("0", "1.5")}


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_two_ranks_under_torchrun_are_one_run(tmp_path, pauses):
    """Two real ranks: one run with both ranks' records, each once, one JSONL file a rank, and no journal left."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script),
         str(tmp_path / "store"), *pauses],
        capture_output=True, text=True, check=False, env={**plain_environment(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with quark.open(tmp_path / "store", sync=False) as store:
        (view,) = list(store.runs())
        assert (view.status, view.reason) == ("completed", "completed")
        series = view.series("loss", all_attempts=True)
        assert sorted(series.values.tolist()) == [100.0 * rank + step for rank in (0, 1) for step in range(50)]
        assert sorted(set(series.ranks.tolist())) == [0, 1]
        assert {record.origin.rank for record in view.telemetry()} == {0, 1}
        assert [event.event_type for event in view.events()] == ["run_started", "run_ended"]
    assert not any(Path(tmp_path / "store" / ".quark" / "journal").iterdir())
    assert (tmp_path / "store" / "run.rank0.jsonl").exists() or (tmp_path / "store" / "run.jsonl").exists()
    assert (tmp_path / "store" / "run.rank1.jsonl").exists()


def train_alone(tmp_path: Path, rank: int) -> None:
    """One rank of a job of two, from its begin to its end, while the other does not run."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    job = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29501"}
    subprocess.run(
        [sys.executable, str(script), str(tmp_path / "store"), "0", "0"], check=True, env=plain_environment() | job
    )


@pytest.mark.slow
def test_a_rank_that_ends_before_its_owner_begins_does_not_call_the_run_lost(tmp_path):
    """Processes of a job start unevenly: a rank may be through before rank 0 has imported anything."""
    train_alone(tmp_path, 1)
    train_alone(tmp_path, 0)
    with quark.open(tmp_path / "store", sync=False) as store:
        (view,) = list(store.runs())
        assert (view.status, view.reason) == ("completed", "completed")
        assert view.series("loss", all_attempts=True).values.size == 100
        assert [event.event_type for event in view.events()] == ["run_started", "run_ended"]
    assert not any(Path(tmp_path / "store" / ".quark" / "journal").iterdir())


@pytest.mark.slow
def test_a_run_whose_owner_never_came_is_lost_for_a_later_sync(tmp_path):
    """The rank that ended first leaves its journal behind, in which a sync finds that nobody ended the run."""
    train_alone(tmp_path, 1)
    with quark.open(tmp_path / "store", sync=False) as store:
        assert [view.status for view in store.runs()] == ["running"]
    assert len(sync(tmp_path / "store").lost) == 1
    with quark.open(tmp_path / "store", sync=False) as store:
        (view,) = list(store.runs())
        assert (view.status, view.reason) == ("failed", "lost")
        assert view.series("loss").values.size == 50
