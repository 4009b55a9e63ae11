"""Reads MLflow's SQLite database without MLflow, which would bring its tables up to date: a source is only read."""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import quark

from .mlflow_run import MlflowRun, Point
from .source import SourceRun

RUNS = """
SELECT runs.run_uuid, runs.name, experiments.name, runs.status, runs.start_time, runs.end_time
FROM runs LEFT JOIN experiments ON experiments.experiment_id = runs.experiment_id
WHERE runs.lifecycle_stage = 'active' ORDER BY runs.start_time, runs.run_uuid
"""
POINTS = "SELECT key, value, is_nan, timestamp, step FROM metrics WHERE run_uuid = ? ORDER BY rowid"
TEXTS = {
    "params": "SELECT key, value FROM params WHERE run_uuid = ?",
    "tags": "SELECT key, value FROM tags WHERE run_uuid = ?",
}


def runs_of_database(path: Path) -> Iterator[MlflowRun]:
    """The runs of a database that are not deleted.

    Raises:
        SchemaValidationError: it is no database of MLflow.
    """
    try:
        with closing(_opened(path)) as connection:
            found = connection.execute(RUNS).fetchall()
            texts = [{what: _texts(connection, what, row[0]) for what in TEXTS} for row in found]
    except sqlite3.Error as error:
        raise quark.SchemaValidationError(f"{path} cannot be read as a database of MLflow: {error}") from error
    for (run_id, name, experiment, status, started_ms, ended_ms), of_run in zip(found, texts, strict=True):
        yield MlflowRun(
            run_id=run_id, name=name, experiment=experiment or "mlflow", status=status or "RUNNING",
            started_ms=started_ms or 0, ended_ms=ended_ms, params=of_run["params"], tags=of_run["tags"],
            points=lambda run, run_id=run_id: _points(path, run_id, run),
        )  # fmt: skip


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _texts(connection: sqlite3.Connection, what: str, run_id: str) -> dict[str, str]:
    return {key: "" if value is None else str(value) for key, value in connection.execute(TEXTS[what], (run_id,))}


def _points(path: Path, run_id: str, run: SourceRun) -> Iterator[Point]:
    with closing(_opened(path)) as connection:
        for key, value, is_nan, time_ms, step in connection.execute(POINTS, (run_id,)):
            yield key, math.nan if is_nan else float(value), time_ms, step
