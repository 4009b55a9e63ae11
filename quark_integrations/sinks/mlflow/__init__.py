"""Mirrors runs into MLflow: a tracking server, a database, or files."""

from .sink import MLflowSink

__all__ = ["MLflowSink"]
