"""Reads MLflow's file store: ``mlruns/<experiment>/<run>/{meta.yaml,metrics,params,tags}``."""

import heapq
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import quark

from .files import content, found, opened
from .mlflow_run import MlflowRun, Point
from .source import SourceRun

STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
LONGEST_LINE = 1 << 16


def runs_of_files(path: Path) -> Iterator[MlflowRun]:
    """The runs below a directory that are not deleted.

    Raises:
        SchemaValidationError: it holds no runs.
    """
    none = True
    for file in found(path, "meta.yaml"):
        meta = _meta(file)
        run_id = meta.get("run_id") or meta.get("run_uuid")
        if not isinstance(run_id, str) or "artifact_uri" not in meta:
            continue  # an experiment, a model, a trace
        none = False
        if meta.get("lifecycle_stage", "active") != "active":
            continue
        directory, status = file.parent, meta.get("status")
        experiment = _meta(directory.parent / "meta.yaml").get("name")
        yield MlflowRun(
            run_id=run_id, name=meta.get("run_name") or None, experiment=str(experiment or "mlflow"),
            status=STATUSES.get(status, str(status)) if isinstance(status, int) else str(status),
            started_ms=_whole(meta.get("start_time")) or 0, ended_ms=_whole(meta.get("end_time")),
            params=_texts(directory / "params"), tags=_texts(directory / "tags"),
            points=partial(_points, directory / "metrics"),
        )  # fmt: skip
    if none:
        raise quark.SchemaValidationError(f"{path} holds no runs of MLflow; name the directory mlruns or mlflow.db")


def _meta(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise quark.MissingDependencyError("MLflow's files are YAML: pip install pyyaml") from error
    try:
        made = yaml.safe_load(content(file))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return made if isinstance(made, dict) else {}


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Keys and files; a link, which could lead anywhere, is none."""
    for file in found(directory, "*"):
        if not file.is_symlink():
            yield file.relative_to(directory).as_posix(), file


def _texts(directory: Path) -> dict[str, str]:
    return {key: content(file).decode("utf-8", "replace") for key, file in _files(directory)}


def _points(directory: Path, run: SourceRun) -> Iterator[Point]:
    """All points by their time, those of a metric in the order of its file: a run that goes on adds at the end."""
    yield from heapq.merge(*(_of(run, key, file) for key, file in _files(directory)), key=itemgetter(2))


def _of(run: SourceRun, key: str, file: Path) -> list[Point]:
    made: list[Point] = []
    with opened(file) as data:
        while line := data.readline(LONGEST_LINE):
            parts = line.split()
            try:
                point = key, float(parts[1]), int(parts[0]), int(parts[2]) if len(parts) > 2 else 0
            except (ValueError, IndexError):
                point = None
            if point is None or not line.endswith(b"\n"):
                run.remark(f"the metric {key!r} has lines that are torn or damaged, which are left out")
            else:
                made.append(point)
    return made
