"""A run of MLflow, wherever it is read from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .source import SourceRun

Point = tuple[str, float, int, int]
"""Key, value, time in milliseconds since 1970, and step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowRun:
    """A run as MLflow has it; ``points`` gives its points in an order to which MLflow only adds at the end."""

    run_id: str
    name: str | None
    experiment: str
    status: str
    started_ms: int
    ended_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Callable[[SourceRun], Iterator[Point]]
