"""Which kernels take the statistics: a word in the environment, and no harm where they cannot be compiled."""

import logging
import subprocess
import sys

import pytest
import torch

from quark import ConfigurationError, HookEngine, LayerSummaryRecord, MissingDependencyError
from quark.producers.hooks import compiled
from quark.producers.hooks.compiled import Table
from quark.producers.hooks.llvm_squares import KEEP, MOVED, SQUARES
from quark.testing import MemoryRunHandle

pytestmark = pytest.mark.torch


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """llvmlite is not installed."""
    compiled._compiled.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "llvmlite"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llvmlite", None)


def test_a_word_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """plain compiles nothing; another word than the three is refused by name."""
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "plain")
    assert compiled.kernels() is None
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "fast")
    with pytest.raises(ConfigurationError, match=r"QUARK_HOOK_KERNEL.*auto, compiled or plain"):
        compiled.kernels()


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler(
    run: MemoryRunHandle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By default the plain way serves, with a line for those who debug; demanded, the error has the pip line."""
    with caplog.at_level(logging.DEBUG, "quark"):
        model = torch.nn.Linear(3, 2)
        with HookEngine(run, model) as hooks, hooks.step(0):
            model(torch.ones(1, 3))
    assert len(run.records(LayerSummaryRecord)) == 1
    assert [line.levelname for line in caplog.records if "not compiled" in line.message] == ["DEBUG"]
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "compiled")
    with pytest.raises(MissingDependencyError, match=r"quark-tracker\[fast\]"):
        compiled.kernels()


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot compile is not used; demanded, the error says why."""
    pytest.importorskip("llvmlite", reason="a compiler that is there and fails")
    compiled._compiled.cache_clear()
    monkeypatch.setattr(compiled, "_text", lambda: "define nothing")
    assert compiled.kernels() is None
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "compiled")
    with pytest.raises(ConfigurationError, match="QUARK_HOOK_KERNEL=compiled cannot be had here: RuntimeError"):
        compiled.kernels()


def test_kernels_that_are_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are held against the plain way once before anything relies on them."""
    pytest.importorskip("llvmlite", reason="kernels are compiled here")
    compiled._compiled.cache_clear()
    text = compiled._text().replace("fsub double %spread, %shift2", "fadd double %spread, 1.0")
    monkeypatch.setattr(compiled, "_text", lambda: text)
    assert compiled.kernels() is None
    compiled._compiled.cache_clear()


def test_nothing_is_imported_before_a_watcher_is_made() -> None:
    """Neither Quark nor its hooks load the compiler."""
    code = "import quark, quark.producers.hooks, sys; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_sums_of_squares_of_many_tensors(kind: torch.dtype) -> None:
    """Of any length; a copy is one to the last bit, and nothing beyond it is written."""
    pytest.importorskip("llvmlite", reason="kernels are compiled here")
    made = compiled.kernels()
    assert made is not None
    tensors = [torch.randn(size).to(kind) for size in (0, 1, 7, 16, 33, 70_000)]
    copies = [torch.full((tensor.numel() + 1,), 5.0, dtype=kind) for tensor in tensors]
    table = Table(made, tensors, copies)
    exact = pytest.approx([float(tensor.double().square().sum()) for tensor in tensors], rel=1e-9)
    assert table.squares(SQUARES, tensors) == exact
    assert table.squares(KEEP, tensors) == exact
    for copy, tensor in zip(copies, tensors, strict=True):
        assert torch.equal(copy[:-1], tensor)
        assert copy[-1] == 5.0
    moved = [tensor + 1 for tensor in tensors]
    exact = [float((new.double() - old.double()).square().sum()) for new, old in zip(moved, tensors, strict=True)]
    assert table.squares(MOVED, moved) == pytest.approx(exact, rel=1e-9)
