"""Reads a ClearML offline session back, with nothing but json, and keeps clearml inside a folder."""

import json
import zipfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.children import CAPTURE_NOTHING

UNSET = ("CLEARML_API_HOST", "CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY", "CLEARML_OFFLINE_MODE")


def clearml_environment(folder: Path) -> dict[str, str]:
    """What keeps clearml quiet and inside of ``folder``, and Quark from recording what nobody logs."""
    return {
        "HOME": str(folder / "home"), "XDG_STATE_HOME": str(folder / "state"),
        "CLEARML_CACHE_DIR": str(folder / "clearml"), "CLEARML_LOG_LEVEL": "ERROR",
        "CLEARML_CONFIG_FILE": str(folder / "clearml.conf"), **CAPTURE_NOTHING,
    }  # fmt: skip


def sessions(folder: Path) -> list[Path]:
    """The folders of the sessions, the oldest first."""
    found = (path for path in (folder / "clearml" / "offline").glob("offline-*") if path.is_dir())
    return sorted(found, key=lambda path: path.stat().st_ctime_ns)


class Session:
    """What one session holds."""

    def __init__(self, folder: Path) -> None:
        (self.path,) = sessions(folder)
        self.task: dict[str, Any] = json.loads((self.path / "task.json").read_text("utf-8"))

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return self._events("metrics.jsonl")

    @cached_property
    def lines(self) -> list[str]:
        return [event["msg"] for event in self._events("log.jsonl")]

    def points(self) -> list[tuple[str, str, int, float]]:
        """Title, series, iteration and value of every scalar."""
        return [
            (event["metric"], event["variant"], event["iter"], event["value"])
            for event in self.events
            if event["type"] == "training_stats_scalar"
        ]

    def counted(self) -> Counter[tuple[str, int, float]]:
        """Every scalar by its whole key, those of ``quark`` left out."""
        return Counter((whole(m, v), step, value) for m, v, step, value in self.points() if m != "quark")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table; there is one of each name."""
        (plot,) = [event for event in self.events if event["type"] == "plot" and event["variant"] == name]
        return rows_of(plot)

    def params(self, section: str = "General") -> dict[str, str]:
        return {item["name"]: item["value"] for item in self.task["hyperparams"].get(section, {}).values()}

    def configuration(self, name: str) -> Any:
        return json.loads(self.task["configuration"][name]["value"])

    def packed(self) -> set[str]:
        """The names in the session's zip."""
        with zipfile.ZipFile(f"{self.path}.zip") as file:
            return set(file.namelist())

    def _events(self, name: str) -> list[dict[str, Any]]:
        text = (self.path / name).read_text("utf-8")
        return [event for line in text.splitlines() for event in json.loads(line)]


def whole(metric: str, variant: str) -> str:
    """The key that became this title and series."""
    return metric if metric == variant else f"{metric}/{variant}"


def rows_of(plot: dict[str, Any]) -> list[dict[str, Any]]:
    """A table's rows, from the plot event."""
    (data,) = json.loads(plot["plot_str"])["data"]
    return [dict(zip(data["header"]["values"], row, strict=True)) for row in zip(*data["cells"]["values"], strict=True)]
