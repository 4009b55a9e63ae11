"""Mirrors a run into ClearML."""

from .sink import ClearMLSink

__all__ = ["ClearMLSink"]
