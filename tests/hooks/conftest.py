"""A run in memory for the hooks, and what they recorded of it."""

from collections.abc import Iterator

import pytest
import torch

from quark.testing import MemoryRunHandle


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same numbers every time."""
    torch.manual_seed(0)


@pytest.fixture(params=["plain", "compiled"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to take statistics in main memory, one after the other."""
    if request.param == "compiled":
        pytest.importorskip("llvmlite", reason="the compiled way needs llvmlite")
    monkeypatch.setenv("QUARK_HOOK_KERNEL", request.param)
    return request.param


@pytest.fixture
def run() -> Iterator[MemoryRunHandle]:
    """A strict run: every fault in a hook is raised. Its producers are closed with it."""
    handle = MemoryRunHandle()
    yield handle
    handle.close()


@pytest.fixture
def lenient() -> Iterator[MemoryRunHandle]:
    """A run that is not strict: no fault in a hook may be felt."""
    handle = MemoryRunHandle(strict=False)
    yield handle
    handle.close()
