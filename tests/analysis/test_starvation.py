"""Whether the steps wait for data: told of real loaders of torch, by the times that the loop over them takes."""

import time
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import AnalyzerEngine, AnalyzerResult

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch
STEPS = 20 + 5 * 50 + 1


class Samples(torch.utils.data.Dataset):
    """Samples, each of which takes so long to make."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 2 * STEPS

    def __getitem__(self, index: int) -> Any:
        time.sleep(self.seconds)
        return torch.full((4,), float(index))


def trained(directory: Path, *, loading_s: float, computing_s: float, workers: int = 0) -> AnalyzerResult:
    """A run over a loader of two samples a batch, and what the rules say of it."""
    loader = torch.utils.data.DataLoader(Samples(loading_s), batch_size=2, num_workers=workers)
    with quark.start_run(project="starvation", storage_dir=directory) as run:
        for batch in run.steps(loader, progress=False):
            run.log({"train/mean": batch.mean().item()})
            time.sleep(computing_s)
    with quark.open(directory) as store:
        return AnalyzerEngine(store.run(run.run_id)).analyze()


def said(result: AnalyzerResult) -> set[str]:
    """The rules that spoke."""
    return {alert.rule_id for alert in result.alerts}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_is_slower_than_its_steps_starves_them(tmp_path: Path, workers: int) -> None:
    """30 ms to make a batch, 1 ms to use it: in the process itself and with a worker that loads ahead."""
    result = trained(tmp_path, loading_s=0.015, computing_s=0.001, workers=workers)
    found = next(alert for alert in result.alerts if alert.rule_id == "dataloader_starvation")
    assert found.severity in ("warning", "error")
    assert "runtime_bottleneck_risk" in said(result)


def test_a_loader_that_keeps_up_starves_nobody(tmp_path: Path) -> None:
    """A batch is there at once; the rule could judge, and only a loader that takes as long as a step would trip it."""
    result = trained(tmp_path, loading_s=0.0, computing_s=0.02)
    assert "dataloader_starvation" not in said(result)
    assert "dataloader_starvation" not in result.abstentions
