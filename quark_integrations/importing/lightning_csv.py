"""Imports what Lightning's CSVLogger wrote: directories ``version_N`` with ``metrics.csv`` and ``hparams.yaml``."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import quark

from .files import content, found, located, modified_ns
from .source import SourceRun
from .tables import csv_records, reader


def import_lightning_csv(source: str) -> Iterator[SourceRun]:
    """The runs below a directory, or the one whose directory or ``metrics.csv`` is named."""
    path = located(source)
    files = list(found(path, "metrics.csv")) if path.is_dir() else [path]
    if not files:
        raise quark.SchemaValidationError(f"{path} holds no metrics.csv; name the save_dir of the CSVLogger")
    for file in files:
        run = SourceRun(
            source_id=str(file.parent), location=str(file.parent),
            read=reader(file, partial(csv_records, torn=True), {}), started_ns=modified_ns(file),
            project=file.parent.parent.name or "lightning", name=file.parent.name,
        )  # fmt: skip
        run.config = _hyperparameters(run, file.with_name("hparams.yaml"))
        yield run


def _hyperparameters(run: SourceRun, file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        import yaml
    except ImportError:
        run.remark("hparams.yaml is not read: pip install pyyaml")
        return {}
    try:
        made = yaml.safe_load(content(file))  # a tag of a Python object would have it made
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "holds Python objects, which are never made" if "python/" in str(error) else "cannot be read"
        run.remark(f"hparams.yaml {reason}, so the configuration is not imported")
        return {}
    return made if isinstance(made, dict) else {}
