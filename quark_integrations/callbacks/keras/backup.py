"""What Keras' BackupAndRestore carries of a run: a file beside its backup, so that a restored fit continues its run."""

import json
import os
from collections.abc import Mapping
from typing import Any

FILE = "quark_run.json"


def backup_dir(callbacks: list[Any]) -> str | None:
    """The directory of the fit's BackupAndRestore; None without one, or where it is not on a file system here."""
    for callback in callbacks:
        if any(cls.__name__ == "BackupAndRestore" for cls in type(callback).__mro__):
            path = os.fspath(callback.backup_dir)
            return None if "://" in path else path
    return None


def carried(directory: str | None) -> dict[str, Any] | None:
    """What is said of the run that made the backup; None if there is no backup that Keras would restore."""
    if directory is None or not os.path.exists(os.path.join(directory, "training_metadata.json")):
        return None
    try:
        with open(os.path.join(directory, FILE), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):  # the backup is older than the callback, or a crash cut the file
        return None
    return found if isinstance(found, dict) and found.get("run_id") else None


def carry(directory: str, state: Mapping[str, Any]) -> None:
    """Leave word of the run for the fit that restores this backup; whole or not at all."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, FILE)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(dict(state), file)
    os.replace(path + ".new", path)
