"""Every environment variable that Quark reads, in one table: argument, then variable, then default."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: what it holds, its default in words, and how its text is read."""

    name: str
    meaning: str
    default: Any
    read: Callable[[str], Any] = str


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("use 1 or 0")


def _size(text: str) -> int:
    """Bytes, or a number with K, M or G (powers of 1024)."""
    scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper())
    size = int(float(text[:-1]) * scale) if scale else int(text)
    if size <= 0:
        raise ValueError("it must be above 0")
    return size


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError("it must be at least 1")
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError("it must be between 0 and 1e9 seconds")
    return seconds


def _which_ranks(text: str) -> str:
    word = text.strip().lower()
    if word == "all":
        return word
    try:
        return "1" if _flag(word) else "0"
    except ValueError:
        raise ValueError("use 1, 0 or all") from None


def _hook_kernel(text: str) -> str:
    word = text.strip().lower()
    if word not in ("auto", "compiled", "plain"):
        raise ValueError("use auto, compiled or plain")
    return word


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("QUARK_ANALYZE", "0: a run is not analyzed when it ends", True, _flag),
        Setting("QUARK_CAPTURE_DIFF", "0: what differs from the commit in the working tree is not stored with a run",
                True, _flag),
        Setting("QUARK_CAPTURE_OUTPUT", "0: what the program prints is not recorded; all: that of every rank, not only "
                "of rank 0", "1", _which_ranks),
        Setting("QUARK_CAPTURE_PACKAGES", "0: the list of installed packages is not stored with a run", True, _flag),
        Setting("QUARK_CAPTURE_SCRIPT", "0: the text of the script, or of the notebook's cells, is not stored with a "
                "run", True, _flag),
        Setting("QUARK_CAPTURE_SYSTEM", "0: the machine is recorded only by `run.steps` and SystemTelemetry, not in "
                "other loops", True, _flag),
        Setting("QUARK_CLOSE_TIMEOUT", "seconds that the end of a run waits for its sinks before the rest is left to "
                "`quark sync`", 10.0, _seconds),
        Setting("QUARK_CONSOLE", "1: print a line with the latest metrics every few seconds", False, _flag),
        Setting("QUARK_DISABLE", "1: every call does nothing; no thread, no file, no socket", False, _flag),
        Setting("QUARK_FSYNC_INTERVAL", "seconds between two syncs of the journal to the disk; bounds what a power "
                "loss costs; 0 turns them off", 1.0, _seconds),
        Setting("QUARK_GOODBYE", "1: a few lines on stderr at the end of each run: how it ended, what is wrong, "
                "its best values, where it is; 0: none; unset: on a terminal and in notebooks", None, _flag),
        Setting("QUARK_HEARTBEAT_INTERVAL", "seconds between two heartbeats of a run, by which it also hears of "
                "requests to stop; 0 turns them off", 10.0, _seconds),
        Setting("QUARK_HOOK_KERNEL", "how statistics of tensors in main memory are taken: auto (compiled where "
                "llvmlite is installed), compiled (an error where it is not) or plain", "auto", _hook_kernel),
        Setting("QUARK_JOIN_RUN_ID", "run that ranks other than 0 join; set by rank 0 for the processes that it starts",
                None),
        Setting("QUARK_JOURNAL_DIR", "directory of the journals, when the storage directory should not hold them",
                None),
        Setting("QUARK_JOURNAL_QUOTA", "size that the journal of a run may reach, with K, M or G; past it the oldest "
                "metrics go first and are counted", 2 << 30, _size),
        Setting("QUARK_LOG_LINES", "lines of a command's output that `quark run` keeps for an attempt; of more the "
                "first ones and the last thousand", 100_000, _count),
        Setting("QUARK_PERSISTENCE_AUTH_MODE", "how the key travels to the service: header (X-Quark-API-Key) or bearer",
                "header"),
        Setting("QUARK_PERSISTENCE_TIMEOUT_SECONDS", "seconds that a request to the service may take", 15.0, _seconds),
        Setting("QUARK_PERSISTENCE_URL", "address of the Quark service", "http://127.0.0.1:8765"),
        Setting("QUARK_POSTGRES_CONNECTIONS", "connections that a process opens to a PostgreSQL database at most", 16,
                _count),
        Setting("QUARK_PROGRESS", "0: no progress bars", True, _flag),
        Setting("QUARK_PROJECT", "project of runs that name none", None),
        Setting("QUARK_RUN_ATTEMPT", "which attempt at QUARK_RUN_ID a process is; set by `quark run`", 1, _count),
        Setting("QUARK_RUN_FILE", "file in which the run that `quark run` waits for says where it lives; set by "
                "`quark run`", None),
        Setting("QUARK_RUN_ID", "id of the run to join or to create, set by launchers and for the ranks of one job",
                None),
        Setting("QUARK_RUN_TAKEN", "the QUARK_RUN_ID that a process has taken; set by it for the processes that it "
                "starts", None),
        Setting("QUARK_SAFE_DIRS", "storage directories that other users own, or that links lead to, and that are used "
                "all the same, separated by colons; * for all", None),
        Setting("QUARK_SERVICE_DATA", "directory of a service's artifacts, for `quark serve` and `quark keys`", None),
        Setting("QUARK_SERVICE_DB", "database of a service, for `quark serve` and `quark keys`; so a password in it "
                "is not in the list of processes", None),
        Setting("QUARK_SERVICE_LOST_AFTER", "seconds that a run may read stale before its service closes it as lost",
                600.0, _seconds),
        Setting("QUARK_SINK_PROCESSES", "0: mirrors work on threads of the training's process, not in processes of "
                "their own", True, _flag),
        Setting("QUARK_STORAGE_DIR", "storage directory of runs that name none; else the working directory", None),
        Setting("QUARK_TRACKERS", "sinks that every run gets, by name, separated by commas", ""),
        Setting("QUARK_USER_KEY", "key of the Quark service; a secret", None),
        Setting("QUARK_WEBHOOK_URL", "address that WebhookSink posts to; a secret", None),
    )
}  # fmt: skip


def setting(name: str) -> Any:
    """The value of a variable, or its default when it is unset or empty.

    Raises:
        ConfigurationError: the text cannot be read.
    """
    known = SETTINGS[name]
    text = os.environ.get(name)
    if text is None or not text.strip():
        return known.default
    try:
        return known.read(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} cannot be used: got {text!r}; {error}") from error
