"""The tracked loop: declared tasks and a criterion, iterated and recorded."""

from .declared import LoopTask
from .loop import Loop
from .steps import LoopSteps

__all__ = ["Loop", "LoopSteps", "LoopTask"]
