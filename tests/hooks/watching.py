"""Short ways to watch a model for one step."""

from collections.abc import Callable
from typing import Any

import torch

from quark import HookEngine, LayerSummaryRecord
from quark.testing import MemoryRunHandle


def probed(run: MemoryRunHandle, model: torch.nn.Module, act: Callable[[], Any], **arguments: Any) -> list[Any]:
    """The summaries of one step in which ``act`` was called."""
    with HookEngine(run, model, **arguments) as hooks, hooks.step(0, epoch=0):
        act()
    return run.records(LayerSummaryRecord)


def of(records: list[Any], name: str, kind: str = "activation") -> list[Any]:
    """The summaries of one layer and kind."""
    return [record for record in records if record.module_name == name and record.summary_type == kind]


def places(records: list[Any]) -> list[tuple[str, str, int]]:
    """Which layers were seen, in which direction, in which call."""
    return [(record.module_name, record.hook_direction, record.call_index) for record in records]
