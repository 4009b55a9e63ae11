"""What Keras' BackupAndRestore carries of a run: a file beside its backup, so that a restored fit continues its run."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import quark

from ..lightning.runs import Plan

FILE = "quark_run.json"
logger = logging.getLogger("quark")


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


def resumed(plan: Plan, known: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The run of a backup as a further attempt, or its id as the parent of a new run, or neither."""
    run_id, where = str(known["run_id"]), plan.storage_dir or known.get("storage_dir")
    try:
        run = quark.resume_run(
            run_id=run_id, storage_dir=where, trackers=plan.trackers, close_timeout_s=plan.close_timeout_s
        )
        return run, None
    except quark.InvalidRunStateError:  # it is completed, or another process goes on with it
        return None, run_id
    except quark.RunNotFoundError as error:
        logger.warning("quark: the backup is of run %s, which is not here (%s); a new run starts", run_id, error)
        return None, None
