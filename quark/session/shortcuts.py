"""``quark.init``, ``quark.log`` and ``quark.finish``: a run in three lines, under the names of other trackers."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..records.run import RunContext
from .api import run_for, start_run
from .session import TrainingSession


def init(
    project: str | None = None, name: str | None = None, config: Any = None, tags: Iterable[str] | None = None,
    **options: Any,
) -> TrainingSession:  # fmt: skip
    """Start a run and return its session; the same as ``start_run``, whose other arguments ``options`` takes.

    The run ends with ``quark.finish()``, with its ``with`` block, or with the program.
    """
    return start_run(project=project, name=name, config=config, tags=tags, **options)


def log(
    values: Mapping[str, Any] | None = None, *, step: int | None = None, epoch: int | None = None, **more: Any
) -> None:
    """Record metrics in the current run, as its ``log`` does: ``quark.log({"loss": 1.0})`` or ``quark.log(loss=1.0)``.

    Outside a run they are ignored, with one warning.
    """
    run = run_for(None, "log")
    if run is not None:
        run.log(values, step=step, epoch=epoch, **more)


def finish(exit_code: int | None = None) -> RunContext | None:
    """End the current run: completed, or failed where ``exit_code`` is not 0.

    Outside a run it does nothing, with one warning, and returns None.
    """
    run = run_for(None, "finish")
    if run is None:
        return None
    run.finish("error" if exit_code else None)
    return run.context


for _public in (init, log, finish):
    _public.__module__ = "quark"
