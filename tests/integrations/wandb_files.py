"""What W&B's own file of a run says, for tests: rows, config, alerts, tables, artifacts and the end."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quark_integrations.sinks.wandb import translog
from tests.children import CAPTURE_NOTHING

QUIET = {
    "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_API_KEY": "", "NETRC": "/dev/null",
}  # fmt: skip


def wandb_environment(folder: Path) -> dict[str, str]:
    """Variables that keep W&B's caches and settings below ``folder``, and nobody logged in."""
    places = {name: str(folder / f"wandb-{name.lower()}") for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR")}
    homes = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    return {**QUIET, **{f"WANDB_{name}": place for name, place in places.items()}, **homes, **CAPTURE_NOTHING}


@dataclass
class Written:
    """Everything in the files of a run, in the order in which they were begun."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    runs: list[Any] = field(default_factory=list)
    alerts: list[Any] = field(default_factory=list)
    artifacts: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def points(self) -> list[tuple[str, int | None, float]]:
        """Key, step and value of every point of a metric; W&B's and our own columns are none."""
        return [
            (key, row.get("quark/step"), value)
            for row in self.rows
            for key, value in row.items()
            if not key.startswith(("_", "quark/step", "quark/epoch", "quark/position", "quark/tables", "quark/plots"))
            and isinstance(value, (int, float))
        ]


def files(folder: Path) -> list[Path]:
    """The transaction logs below ``folder``, in the order in which they were begun."""
    return sorted((folder / "wandb").glob("*run-*/run-*.wandb"), key=lambda path: path.stat().st_ctime_ns)


def settled(folder: Path) -> None:
    """Wait until wandb-core has brought what it got to its files."""
    before = None
    while (now := [path.stat().st_size for path in files(folder)]) != before:
        before = now
        time.sleep(1.3)


def written(folder: Path) -> Written:
    """Read all files of runs below ``folder``."""
    found = Written()
    for path in files(folder):
        for record in translog.records(path):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                _row(found, record.history.item, path.parent)
            elif kind == "run":
                found.runs.append(record.run)
                _update(found.config, record.run.config.update)
            elif kind == "config":
                _update(found.config, record.config.update)
            elif kind == "summary":
                _update(found.summary, record.summary.update)
            elif kind == "exit":
                found.exits.append(record.exit.exit_code)
            elif kind in ("alert", "artifact", "metric"):
                getattr(found, f"{kind}s").append(getattr(record, kind))
    return found


def _name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def _update(into: dict[str, Any], items: Any) -> None:
    for item in items:
        into[_name(item)] = json.loads(item.value_json)


def _whole(text: str) -> float:
    """A number without a point; wandb-core writes -0.0 as ``-0``, and an int has no sign of zero."""
    return -0.0 if text == "-0" else int(text)


def _row(found: Written, items: Any, folder: Path) -> None:
    row = {_name(item): json.loads(item.value_json, parse_int=_whole) for item in items}
    found.rows.append(row)
    for name, value in row.items():
        if name.endswith("/path") and isinstance(value, str) and value.endswith(".table.json"):
            found.tables[name.removesuffix("/path")] = json.loads((folder / "files" / value).read_text("utf-8"))
