"""A plain loop with torch's DistributedDataParallel in two real processes under torchrun: one run."""

import subprocess
import sys
from typing import Any

import pytest

import quark
from tests.children import child_environment

pytest.importorskip("torch")

STEPS = 8
TRAIN = """
import os, sys, torch, quark
import torch.distributed as dist
how, rank = sys.argv[2], int(os.environ["RANK"])
dist.init_process_group("gloo")
torch.manual_seed(rank)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with quark.start_run(project="ddp", storage_dir=sys.argv[1]) as run:
    for step in run.steps(range(8)):
        loss = model(torch.randn(2, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0:
            run.log({"loss": loss.item()})
        run.log({"weight": model.module.weight.sum().item()})
        if step == 4 and (how, rank) in (("owner fails", 0), ("other fails", 1)):
            raise ValueError("boom")
        if step == 4 and how == "one stops":
            stop = torch.tensor(float(rank == 1))
            dist.all_reduce(stop)
            if stop:
                run.stop()
dist.destroy_process_group()
sys.stdout.flush(), sys.stderr.flush()
os._exit(0)  # gloo's threads may abort a process at the interpreter's end
"""


def job(directory: Any, how: str) -> Any:
    """The two processes, done."""
    script = directory / "train.py"
    script.write_text(TRAIN)
    environment = child_environment()
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script),
         str(directory / "store"), how],
        capture_output=True, text=True, check=False, timeout=280, env={**environment, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


ENDS = {
    # how: (exit status, ends that are true, steps of the ranks)
    "both finish": (0, {("completed", "completed")}, STEPS),
    "one stops": (0, {("completed", "stopped")}, 5),
    "owner fails": (1, {("failed", "error")}, 5),
    # rank 0 loses its peer in the next step, or torchrun's SIGTERM is there first
    "other fails": (1, {("failed", "error"), ("interrupted", "interrupted")}, 5),
}


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ENDS)
def test_two_processes_of_a_plain_loop_are_one_run(tmp_path, how):
    """Every value of both ranks once, the telemetry of both, the true end, and no journal that waits."""
    code, ends, steps = ENDS[how]
    done = job(tmp_path, how)
    assert done.returncode == code, done.stderr
    with quark.open(tmp_path / "store") as store:
        (run,) = store.runs()
        assert (run.status, run.reason) in ends
        loss, weight = (run.series(key, all_attempts=True) for key in ("loss", "weight"))
        assert (loss.steps.tolist(), set(loss.ranks.tolist())) == (list(range(steps)), {0})
        found = sorted(zip(weight.ranks.tolist(), weight.steps.tolist(), strict=True))
        assert found == [(rank, step) for rank in (0, 1) for step in range(steps)]
        assert {record.origin.rank for record in run.telemetry()} == {0, 1}
        assert [event.event_type for event in run.events()].count("run_started") == 1
    assert not any((tmp_path / "store" / ".quark" / "journal").iterdir())
