"""Mirrors a run into Weights & Biases."""

from .sink import WandbSink

__all__ = ["WandbSink"]
