"""Which rank the others wait for: on written times, and on two real processes that exchange gradients."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import AnalyzerEngine, AnalyzerEngineConfig
from quark.analysis.analysis import Analysis
from quark.analysis.frames import Event, Frame
from quark.analysis.rules import RuleOutcome
from tests.children import child_environment

RANKS, STEPS = 4, 400
Times = tuple[float, float, float | None]
"""Data, compute and exchange of one step, ms."""


def verdict(times: Callable[[int, int], Times], *, interleaved: bool = True, announced: bool = True) -> RuleOutcome:
    """What the rule says of the times of ranks and steps, read step by step or rank by rank."""
    analysis = Analysis(AnalyzerEngineConfig())
    if announced:
        start = Frame(None, None, 0, 0)
        start.events = [Event("run_started", payload={"world_size": RANKS})]
        analysis.feed(start)
    places = [(step, rank) for step in range(STEPS) for rank in range(RANKS)]
    for step, rank in places if interleaved else sorted(places, key=lambda place: place[1]):
        data, compute, sync = times(rank, step)
        frame = Frame(step, None, rank, step)
        frame.values = {
            "system/runtime/step_time_ms": data + compute, "system/runtime/data_time_ms": data,
            "system/runtime/compute_time_ms": compute,
        }  # fmt: skip
        if sync is not None:
            frame.values["system/runtime/sync_time_ms"] = sync
        analysis.feed(frame)
    assert analysis.faults == {}
    return next(one for one in analysis.result() if one.rule_id == "ddp_straggler")


def said(found: RuleOutcome) -> list[tuple[str | None, str]]:
    """Which ranks, how severely."""
    return [(finding.subject, finding.severity) for finding in found.findings]


@pytest.mark.parametrize("interleaved", [True, False], ids=["as time goes by", "rank by rank"])
@pytest.mark.parametrize(
    "times",
    [
        lambda rank, step: (0.0, 55.0 if rank == 2 else 40.0, None),
        lambda rank, step: (20.0, 40.0, None) if rank == 2 else (1.0, 59.0, None),
        lambda rank, step: (0.0, 60.0, (1.0 if rank == 2 else 16.0) if step % 10 == 0 else None),
    ],
    ids=["works longer", "its data are late, the others wait", "computes longer, the others wait"],
)
def test_a_slow_rank_is_named(times: Callable[[int, int], Times], interleaved: bool) -> None:
    """By its work, by its data, by its lack of waiting; whichever order the ranks are read in."""
    assert said(verdict(times, interleaved=interleaved)) == [("rank 2", "error")]


def test_the_number_of_ranks_need_not_be_known() -> None:
    """A run that nobody announced has as many ranks as were seen."""
    assert said(verdict(lambda rank, step: (0.0, 55.0 if rank == 2 else 40.0, None), announced=False)) == [
        ("rank 2", "error")
    ]


@pytest.mark.parametrize(
    "times",
    [
        lambda rank, step: (1.0, 40.0, 2.0),
        lambda rank, step: (0.0, 40.0, 1.0 if step // 10 % RANKS == rank else 20.0),
        lambda rank, step: (0.0, 40.0, 1.0 if rank == 2 and step % 10 else 20.0),
        lambda rank, step: (0.0, 4.0, 0.0 if rank == 2 else 2.0),
        lambda rank, step: (0.0, 3.0 if rank == 2 else 1.0, None),
        lambda rank, step: (20.0, 30.0, None) if rank == 2 else (1.0, 60.0, None),
    ],
    ids=["alike", "each in turn", "one in ten is not", "2 ms", "2 ms of work", "late data, less work"],
)
def test_ranks_that_take_turns_or_lose_nothing_are_left_alone(times: Callable[[int, int], Times]) -> None:
    """Whoever is last by chance is no straggler, and a few milliseconds are nobody's problem."""
    found = verdict(times)
    assert said(found) == []
    assert found.abstained is None


def test_a_single_rank_is_not_compared() -> None:
    """There is nobody to compare it with, and the rule says so."""
    found = verdict(lambda rank, step: (0.0, 40.0, None) if rank == 0 else (0.0, 0.0, None))
    assert found.abstained is None
    analysis = Analysis(AnalyzerEngineConfig())
    for step in range(STEPS):
        frame = Frame(step, None, 0, step)
        frame.values = {"system/runtime/step_time_ms": 40.0}
        analysis.feed(frame)
    alone = next(one for one in analysis.result() if one.rule_id == "ddp_straggler")
    assert alone.abstained is not None
    assert "two ranks" in alone.abstained


TRAIN = """
import os, sys, time, torch, quark
import torch.distributed as dist
pauses = [float(pause) for pause in sys.argv[2].split(",")]
pause = pauses[int(os.environ["RANK"])]
dist.init_process_group("gloo")
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 1)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
with quark.start_run(project="ranks", storage_dir=sys.argv[1]) as run:
    run.watch(model, optimizer, every=2)
    if run.rank == 0:
        run.add_tracker(quark.LiveAnalyzer())
    for step in run.steps(range(150), progress=False):
        loss = model(torch.randn(8, 16)).square().mean()
        time.sleep(pause)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
os._exit(0)  # gloo's threads may abort a process at the interpreter's end
"""


def trained(directory: Path, pauses: str) -> Any:
    """Two real processes under torchrun that exchange their gradients, done."""
    script = directory / "train.py"
    script.write_text(TRAIN)
    environment = child_environment()
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script),
         str(directory / "store"), pauses],
        capture_output=True, text=True, check=False, timeout=280, env={**environment, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return quark.open(directory / "store")


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(300)  # three processes that import torch take long beside other work
def test_of_two_real_processes_the_slow_one_is_named(tmp_path: Path) -> None:
    """One rank sleeps for 80 ms in its forward pass. Both steps take as long, and it is rank 1, whoever looks when."""
    with trained(tmp_path, "0.002,0.08") as store:
        (run,) = store.runs()
        found = [alert for alert in AnalyzerEngine(run).analyze().alerts if alert.rule_id == "ddp_straggler"]
        assert [(alert.subject, alert.severity) for alert in found] == [("rank 1", "error")]
        assert "wait" in found[0].fact
        steps = {rank: [row.step_time_ms for row in run.telemetry() if row.origin.rank == rank] for rank in (0, 1)}
        assert all(times and max(times) > 60.0 for times in steps.values())
        # how much of the other rank's journal has arrived when the first one ends is a matter of luck
        live = {(alert.subject, alert.severity) for alert in run.alerts() if alert.rule_id == "ddp_straggler"}
        assert live <= {("rank 1", "error")}


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(300)  # three processes that import torch take long beside other work
def test_of_two_real_processes_alike_none_is_named(tmp_path: Path) -> None:
    """Both sleep as long. Whichever the machine holds up, it is not the same one 19 times of 20."""
    with trained(tmp_path, "0.02,0.02") as store:
        (run,) = store.runs()
        result = AnalyzerEngine(run).analyze()
        assert "ddp_straggler" not in result.abstentions
        assert [alert for alert in result.alerts if alert.rule_id == "ddp_straggler"] == []
        assert [alert for alert in run.alerts() if alert.rule_id == "ddp_straggler"] == []
        assert set(run.series("system/runtime/sync_time_ms", all_attempts=True).ranks.tolist()) == {0, 1}
