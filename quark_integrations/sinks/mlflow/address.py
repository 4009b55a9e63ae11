"""Where a run goes in MLflow: what the user has set or opened there, read without a request and without an import."""

import os
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

NO_PATHS = ("databricks", "databricks-uc", "uc")
"""Addresses that look like the name of a file and are none."""


class Address(NamedTuple):
    """The tracking URI, and the run to join; None: a run of its own is opened."""

    uri: str
    run_id: str | None


def address_of(tracking_uri: str | None, run_id: str | None) -> Address:
    """What the arguments say, else what the user has set in this thread and process, else MLflow's own default.

    A run that is active in the calling thread is joined, unless it lies at another address than ``tracking_uri``.
    """
    loaded = sys.modules.get("mlflow")
    current = loaded.get_tracking_uri() if hasattr(loaded, "get_tracking_uri") else None  # type: ignore[union-attr]
    current = absolute(current or os.environ.get("MLFLOW_TRACKING_URI") or _default())
    uri = current if tracking_uri is None else _with_secret(absolute(tracking_uri), current)
    if run_id is None and uri == current:
        active = loaded.active_run() if hasattr(loaded, "active_run") else None  # type: ignore[union-attr]
        run_id = active.info.run_id if active is not None else os.environ.get("MLFLOW_RUN_ID")
    return Address(uri, run_id)


def absolute(uri: str) -> str:
    """The same address, which another process in another directory understands."""
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).absolute()}"
    return uri if ":" in uri or uri in NO_PATHS else Path(uri).absolute().as_uri()


def without_secret(uri: str) -> str:
    """The address without user, password and query, each of which may be a secret."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc and not parts.query:
        return uri
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=place, query=""))


def _with_secret(uri: str, current: str) -> str:
    """What is secret is not written down: the process that goes on finds it where the user has set the address."""
    known = urlsplit(uri).password is not None or without_secret(current) != without_secret(uri)
    return uri if known else current


def _default() -> str:
    """What MLflow takes if nothing is set: ./mlruns if there are runs in it, else ./mlflow.db."""
    if any(Path("mlruns").glob("[0-9]*/meta.yaml")):
        return "mlruns"
    return "sqlite:///mlflow.db"
