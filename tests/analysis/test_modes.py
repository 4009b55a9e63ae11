"""A network that trains in eval mode, as real hooks see it."""

from pathlib import Path

import pytest

import quark

torch = pytest.importorskip("torch")


def trained(storage_dir: Path, *, eval_from: int | None, whole: bool = True, dropout: bool = True) -> list[str]:
    """The rules that have something to say of a training whose network is put into eval mode in some step."""
    torch.manual_seed(0)
    inside = [torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2)] if dropout else [torch.nn.Tanh()]
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), *inside, torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with quark.start_run(project="modes", storage_dir=storage_dir) as run:
        run.watch(model, optimizer, every=1)
        for step in run.steps(range(20)):
            if step == eval_from:
                (model if whole else model[1]).eval()
            inputs = torch.randn(16, 8)
            loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"train/loss": float(loss.detach())})
        return [alert.rule_id for alert in quark.AnalyzerEngine(run).analyze().alerts]


@pytest.mark.torch
def test_a_forgotten_call_of_train(tmp_path: Path) -> None:
    """A validation left the network in eval mode: told from the fifth look on."""
    assert "training_in_eval_mode" in trained(tmp_path, eval_from=8)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("eval_from", "whole", "dropout"),
    [(None, True, True), (8, False, True), (8, True, False)],
    ids=["train mode", "frozen normalization", "nothing that differs"],
)
def test_nothing_is_said(tmp_path: Path, eval_from: int | None, whole: bool, dropout: bool) -> None:
    """Where the mode is right, meant so, or of no effect."""
    assert "training_in_eval_mode" not in trained(tmp_path, eval_from=eval_from, whole=whole, dropout=dropout)
