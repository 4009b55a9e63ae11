"""No tensor ends the process, and none keeps its neighbours from being recorded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import foreign

pytestmark = pytest.mark.torch
HERE = Path(__file__).parents[2]

FAULTY = {"wrapped", "int4_bits", "bool", "float8"}
"""Those of which something cannot be had, which is a fault that is counted; all others are read or passed over."""


@pytest.mark.parametrize("kernel", ["plain", "compiled"])
def test_odd_tensors(kernel: str) -> None:
    """Whatever a layer returns and a parameter is, the layers and parameters beside it have all their records."""
    if kernel == "compiled":
        pytest.importorskip("llvmlite", reason="the compiled way needs llvmlite")
    done = subprocess.run(
        [sys.executable, "-m", "tests.hooks.foreign"], cwd=HERE, env={**os.environ, "QUARK_HOOK_KERNEL": kernel},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} {done.stderr[-2000:]}"
    assert [line[0] for line in lines] == list(foreign.TENSORS)
    assert {line[0] for line in lines if line[2:] != ["8", "8"]} == set()
    assert {line[0] for line in lines if line[1] != "-"} == FAULTY
