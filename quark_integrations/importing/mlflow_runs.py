"""Imports runs of MLflow: from a directory of files, a SQLite database, or a tracking server."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import quark

from .files import located, opened
from .mlflow_run import MlflowRun, Point
from .source import Row, SourceRun

REASONS = {"FINISHED": "completed", "FAILED": "error", "KILLED": "interrupted"}
NOTES, PARENT = "mlflow.note.content", "mlflow.parentRunId"
LONGEST_TAG = 500
MAGIC = b"SQLite format 3\0"


def import_mlflow(source: str) -> Iterator[SourceRun]:
    """The runs that are not deleted in a directory ``mlruns``, in a SQLite database or at ``http(s)://...``."""
    runs, infinite = _reader(source)
    for run in runs:
        yield _run(source, run, infinite)


def _reader(source: str) -> tuple[Iterator[MlflowRun], bool]:
    """The runs, and whether their store keeps infinities."""
    scheme = urlsplit(source).scheme
    if scheme in ("http", "https"):
        from .mlflow_rest import runs_of_server

        return runs_of_server(source), False
    if scheme in ("sqlite", "file"):
        source = _path_of(source)
    elif "://" in source:
        raise quark.SchemaValidationError(
            f"MLflow's runs are read from a directory, a SQLite file or http(s)://..., got {scheme}://...; start "
            "'mlflow server' over that database and name its address"
        )
    path = located(source)
    if path.is_dir():
        from .mlflow_files import runs_of_files

        return runs_of_files(path), True
    with opened(path) as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise quark.SchemaValidationError(f"{path} is no SQLite database; name mlflow.db or the directory mlruns")
    from .mlflow_sql import runs_of_database

    return runs_of_database(path), False


def _path_of(address: str) -> str:
    """The path in ``sqlite:///relative``, ``sqlite:////absolute`` and ``file:///absolute``."""
    parts = urlsplit(address)
    path = unquote(parts.path)
    return path[1:] if parts.scheme == "sqlite" else path


def _run(source: str, found: MlflowRun, keeps_infinite: bool) -> SourceRun:
    tags = {name: value for name, value in found.tags.items() if not name.startswith("mlflow.")}
    known = {
        name.removeprefix("mlflow."): value
        for name, value in found.tags.items()
        if name not in tags and name not in (NOTES, PARENT, "mlflow.runName") and len(value) <= LONGEST_TAG
    }
    run = SourceRun(
        source_id=found.run_id, location=f"{_shown(source)}#{found.run_id}", project=found.experiment,
        read=lambda run: _rows(run, found.points(run), keeps_infinite), started_ns=found.started_ms * 10**6,
        name=found.name or found.tags.get("mlflow.runName"), notes=found.tags.get(NOTES),
        config={name: parameter(value) for name, value in found.params.items()},
        tags=[f"{name}={value}" if value else name for name, value in tags.items()],
        parent_id=found.tags.get(PARENT), environment={"mlflow": known},
        reason=REASONS.get(found.status),
        ended_ns=None if found.ended_ms is None else found.ended_ms * 10**6,
    )  # fmt: skip
    if run.reason is None:
        run.remark(f"MLflow says that it is {found.status}, so it has no end yet")
    return run


def _shown(source: str) -> str:
    """An address without a password."""
    parts = urlsplit(source)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl() if parts.netloc else str(Path(source).resolve())


def _rows(run: SourceRun, points: Iterator[Point], keeps_infinite: bool) -> Iterator[Row]:
    for key, value, time_ms, step in points:
        if not keeps_infinite and abs(value) == sys.float_info.max:
            run.remark(f"some values are {sys.float_info.max!r}, which MLflow's databases hold in place of infinities")
        yield Row({key: value}, step, None, time_ms * 10**6)


def parameter(text: str) -> Any:
    """A parameter, of which MLflow keeps only the text: a number or flag where exactly that was written."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and math.isfinite(number):
            return number
    return text
