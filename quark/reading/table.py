"""Runs and metrics as tables: pandas data frames, long or wide, and Parquet files."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ..analysis.best import best_of
from ..core.direction import direction_of
from ..core.reader import Series
from ..drawing.elapsed import elapsed_s
from ..errors import require
from ..records.grammar import dotted
from ..records.run import RunRecord

if TYPE_CHECKING:
    import pandas

    from .view import RunView

RUN_COLUMNS: tuple[str, ...] = ("id", "name", "project", "status", "reason", "started_at", "duration_s", "tags")

ROW_GROUP = 1 << 20
"""Rows of a Parquet row group at most: about 40 MB in memory."""


def long_frame(series: Iterable[Series]) -> "pandas.DataFrame":
    """One row a point: key, step, epoch, value, timestamp, attempt, rank."""
    pd: Any = require("pandas", "parquet")
    columns = ["key", "step", "epoch", "value", "timestamp", "attempt", "rank"]
    frames = [_long(pd, one) for one in series]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)[columns].astype({"key": "category"})


def _long(pd: Any, one: Series) -> Any:
    return pd.DataFrame({
        "key": one.key, "step": _index(pd, one.steps), "epoch": _index(pd, one.epochs), "value": one.values,
        "timestamp": pd.to_datetime(one.timestamps, unit="ns", utc=True), "attempt": one.attempts, "rank": one.ranks,
    })  # fmt: skip


def _index(pd: Any, numbers: Any) -> Any:
    """Steps or epochs as whole numbers that may be missing; the arrays hold -1 there."""
    return pd.arrays.IntegerArray(numbers.astype("int64"), numbers < 0)


def wide_frame(series: Iterable[Series]) -> "pandas.DataFrame":
    """One row a step, one column a metric; points without a step come after them, with a row per epoch.

    A metric that is itself called step or epoch has the column ``metric/step`` or ``metric/epoch``.
    """
    pd: Any = require("pandas", "parquet")
    by_step: dict[str, Any] = {}
    by_epoch: dict[str, Any] = {}
    epochs = []
    order = []
    for one in series:
        column = f"metric/{one.key}" if one.key in ("step", "epoch") else one.key
        order.append(column)
        stepped = one.steps >= 0
        by_step[column] = _last_of_each(pd, one.values[stepped], one.steps[stepped])
        by_epoch[column] = _last_of_each(pd, one.values[~stepped], one.epochs[~stepped])
        known = stepped & (one.epochs >= 0)
        epochs.append(_last_of_each(pd, one.epochs[known], one.steps[known]))
    steps = pd.DataFrame(by_step, columns=order).sort_index()
    ends = pd.DataFrame({key: values for key, values in by_epoch.items() if len(values)}, columns=order).sort_index()
    epoch_of = pd.concat(epochs) if epochs else pd.Series(dtype="int64")
    epoch_of = epoch_of[~epoch_of.index.duplicated(keep="last")].reindex(steps.index)
    steps.insert(0, "step", steps.index.astype("Int64"))
    steps.insert(1, "epoch", epoch_of.astype("Int64"))
    if not len(ends):
        return steps.reset_index(drop=True)
    ends.insert(0, "step", pd.array([pd.NA] * len(ends), dtype="Int64"))
    ends.insert(1, "epoch", ends.index.astype("Int64"))
    return pd.concat([steps, ends.astype({key: "float64" for key in order})], ignore_index=True)


def _last_of_each(pd: Any, values: Any, index: Any) -> Any:
    """The last value of each index: of several ranks, or of a step that was logged again, the last one counts."""
    made = pd.Series(values, index=index)
    return made[~made.index.duplicated(keep="last")]


def runs_frame(views: "Iterable[RunView]", keys: Iterable[str] | None) -> "pandas.DataFrame":
    """One row a run: what it is, its settings, its summary, the last and the best value of its metrics."""
    pd: Any = require("pandas", "parquet")
    wanted = [keys] if isinstance(keys, str) else None if keys is None else list(keys)
    rows = [_run_row(view, wanted) for view in views]
    names: dict[str, None] = dict.fromkeys(RUN_COLUMNS)
    for group in ("config.", "summary.", "last.", "best."):
        names.update(dict.fromkeys(sorted({name for row in rows for name in row if name.startswith(group)})))
    frame = pd.DataFrame(rows, columns=list(names))
    frame["started_at"] = pd.to_datetime(frame["started_at"], utc=True, format="ISO8601")
    return frame


def _run_row(view: "RunView", keys: list[str] | None) -> dict[str, Any]:
    run = view.record
    row: dict[str, Any] = {
        "id": view.id, "name": view.name, "project": view.project, "status": view.status, "reason": view.reason,
        "started_at": view.started_at, "duration_s": elapsed_s(run), "tags": list(view.tags),
    }  # fmt: skip
    row.update({f"config.{path}": value for path, value in dotted(view.config)})
    row.update({f"summary.{name}": value for name, value in view.summary().items()})
    for key, (_, last) in view.latest().items():
        if key in keys if keys is not None else not key.startswith("system/"):
            row[f"last.{key}"] = last
            if direction_of(key) is not None:
                best = best_of(view.series(key))
                row[f"best.{key}"] = None if best is None else best.value
    return row


def write_parquet(path: Path, series: Iterable[Series], run: RunRecord) -> Path:
    """Write one row a point; the file's metadata holds the run as JSON under ``quark.run``."""
    pa: Any = require("pyarrow", "parquet")
    parquet: Any = require("pyarrow.parquet", "parquet")
    schema = pa.schema(
        [
            ("key", pa.string()), ("step", pa.int64()), ("epoch", pa.int64()), ("value", pa.float64()),
            ("timestamp", pa.timestamp("ns", tz="UTC")), ("attempt", pa.int32()), ("rank", pa.int32()),
        ],
        metadata={"quark.run": orjson.dumps(run.to_dict())},
    )  # fmt: skip
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with parquet.ParquetWriter(temporary, schema) as writer:
            for one in series:
                for part in _row_groups(pa, schema, one):
                    writer.write_table(part)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _row_groups(pa: Any, schema: Any, one: Series) -> Iterator[Any]:
    for start in range(0, len(one), ROW_GROUP):
        part = slice(start, start + ROW_GROUP)
        steps, epochs = one.steps[part], one.epochs[part]
        yield pa.table(
            [
                pa.repeat(pa.scalar(one.key), len(steps)), pa.array(steps, mask=steps < 0),
                pa.array(epochs, mask=epochs < 0), pa.array(one.values[part]),
                pa.array(one.timestamps[part]).cast(pa.timestamp("ns", tz="UTC")), pa.array(one.attempts[part]),
                pa.array(one.ranks[part]),
            ],
            schema=schema,
        )  # fmt: skip
