"""What a run gets at its end: its tables, the plots of its resources, its whole configuration and its summary."""

import json
from typing import Any

from ..mirror import TABLES, KeptRows
from .sending import plain_name

PLOTS: dict[str, tuple[str, dict[str, str]]] = {
    "quark/plots/step_time": ("Time of a step (ms)", {
        "step": "step_time_ms", "data": "data_time_ms", "compute": "compute_time_ms",
    }),
    "quark/plots/memory": ("Memory (bytes)", {
        "process": "process_rss_bytes", "GPU used": "gpu_memory_used_bytes",
        "GPU allocated": "gpu_memory_allocated_bytes", "GPU reserved": "gpu_memory_reserved_bytes",
    }),
    "quark/plots/utilization": ("Utilization (%)", {
        "CPU": "cpu_usage_percent", "RAM": "ram_usage_percent", "GPU": "gpu_utilization_percent",
    }),
}  # fmt: skip
"""Line plots over the step, from the telemetry table: the title, and the lines by the column that each one shows."""


PEAKS = (
    "step_time_ms", "cpu_usage_percent", "ram_usage_percent", "process_rss_bytes", "gpu_utilization_percent",
    "gpu_memory_used_bytes", "gpu_memory_allocated_bytes", "gpu_memory_reserved_bytes",
    "gpu_memory_peak_allocated_bytes",
)  # fmt: skip
"""The columns of the telemetry whose highest value is in the summary, as ``quark/peak/<column>``."""


def log_end(run: Any, kept: KeptRows, whole: dict[str, Any], status: str, reason: str, *, tables: bool = True) -> None:
    """Log all that is shown of a finished run; without ``tables`` neither them nor the plots drawn from them."""
    import wandb

    shown = _tables_and_plots(kept) if tables else {}
    if shown:
        run.log(shown)
    if whole:
        artifact = wandb.Artifact(plain_name(f"{run.id}-config"), "config")
        with artifact.new_file("config.json", encoding="utf-8") as file:
            json.dump(whole, file, ensure_ascii=False)
        run.log_artifact(artifact)
    about = {"quark/status": status, "quark/reason": reason, "quark/alerts": len(kept.of("alert"))}
    run.summary.update({**about, **peaks_of(kept.of("telemetry"))})


def _tables_and_plots(kept: KeptRows) -> dict[str, Any]:
    import wandb

    shown: dict[str, Any] = {}
    for kind, table in TABLES.items():
        rows: list[Any] = kept.of(kind)
        if rows:
            shown[f"quark/tables/{table.name}"] = wandb.Table(
                columns=list(table.columns), data=rows, allow_mixed_types=True
            )
    for name, (title, lines) in PLOTS.items():
        keys, xs, ys = lines_of(kept.of("telemetry"), lines)
        if keys:
            shown[name] = wandb.plot.line_series(xs=xs, ys=ys, keys=keys, title=title, xname="step")
    return shown


def peaks_of(rows: list[list[Any]]) -> dict[str, float]:
    """The highest value of each column that has one; the rows that a table keeps hold its extremes."""
    columns = TABLES["telemetry"].columns
    found = {name: [row[columns.index(name)] for row in rows] for name in PEAKS}
    present = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {f"quark/peak/{name}": max(values) for name, values in present.items() if values}


def lines_of(rows: list[list[Any]], lines: dict[str, str]) -> tuple[list[str], list[list[int]], list[list[float]]]:
    """Names, x and y of the lines that have a value at all; a missing value is no point, so it is never drawn as 0."""
    columns = TABLES["telemetry"].columns
    step = columns.index("step")
    keys, xs, ys = [], [], []
    for name, column in lines.items():
        at = columns.index(column)
        points = [(row[step], row[at]) for row in rows if row[step] is not None and row[at] is not None]
        if points:
            keys.append(name)
            xs.append([x for x, _ in points])
            ys.append([y for _, y in points])
    return keys, xs, ys
