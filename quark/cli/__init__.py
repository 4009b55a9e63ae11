"""The command `quark`: what was recorded, listed, shown, followed, exported and checked."""

from .entry import main, run

__all__ = ["main", "run"]
