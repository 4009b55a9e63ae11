"""Imports W&B's offline folders: the transaction log of each run, ``run-<id>.wandb``, which W&B writes online too."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import quark

from ..sinks.wandb.translog import records
from .files import found, located, modified_ns, opened
from .numbers import time_of
from .source import Row, SourceRun

REASONS = {0: "completed", 255: "interrupted"}
OTHERS = {"stats": "system measurements", "output_raw": "printed lines", "artifact": "artifacts", "alert": "alerts"}
INTERNAL = ("_step", "_timestamp", "_runtime", "_wandb")


def import_wandb(source: str) -> Iterator[SourceRun]:
    """The runs below a directory, or that of one ``.wandb`` file; the parts of a run that was resumed are one run."""
    path = located(source)
    parts: dict[str, list[tuple[Path, Any]]] = {}
    unread: list[Path] = []
    for file in found(path, "*.wandb") if path.is_dir() else [path]:
        try:
            head = next((record.run for record in _records(None, file) if record.HasField("run")), None)
        except quark.SchemaValidationError:
            if file == path:
                raise
            head = None
        if head is None:
            unread.append(file)
            continue
        parts.setdefault(f"{head.entity}/{head.project}/{head.run_id}", []).append((file, head))
    if not parts:
        raise quark.SchemaValidationError(
            f"{path} holds no runs of W&B (*.wandb); name the directory 'wandb' that the runs were recorded in"
        )
    for source_id, files in parts.items():
        yield _run(source_id, files, unread)
        unread = []


def _run(source_id: str, files: list[tuple[Path, Any]], unread: list[Path]) -> SourceRun:
    file, head = files[-1]
    start = files[0][1].start_time
    reading = _Reading([file for file, _ in files])
    known = {"host": head.host, "group": head.run_group, "job_type": head.job_type, "sweep": head.sweep_id}
    run = SourceRun(
        source_id=source_id, location=str(file.parent), read=reading.rows,
        started_ns=start.seconds * 10**9 + start.nanos if start.seconds > 0 else modified_ns(files[0][0]),
        project=head.project or "wandb", name=head.display_name or head.run_id, config=reading.config,
        summary=reading.summary, tags=tuple(head.tags), notes=head.notes or None, reason="lost",
        environment={"wandb": {name: value for name, value in known.items() if value}},
    )  # fmt: skip
    run.remarks += [f"{other} holds no run that can be read and is left out" for other in unread]
    return run


def _records(run: SourceRun | None, file: Path) -> Iterator[Any]:
    """The records of a log, up to where a killed writer left it torn."""
    try:
        from google.protobuf.message import DecodeError

        import_module("wandb.proto.wandb_internal_pb2")
    except ImportError as error:
        raise quark.MissingDependencyError(
            'W&B\'s files are read with W&B: pip install "quark-tracker[wandb]"'
        ) from error
    try:
        opened(file).close()  # a pipe is refused
        yield from records(file)
    except (ValueError, DecodeError) as error:
        if isinstance(error, quark.QuarkError):
            raise
        if run is None:
            raise quark.SchemaValidationError(f"{file} cannot be read: {error}") from None
        run.remark(f"{file.name} is damaged, and what follows the damage is left out: {error}")


class _Reading:
    """Reads the logs of a run one after the other, and learns what they say of the run as a whole."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}

    def rows(self, run: SourceRun) -> Iterator[Row]:
        """A row for each record of the history."""
        others: Counter[str] = Counter()
        last: dict[str, Any] = {}
        exit_code: int | None = None
        for file in self._files:
            exit_code = None
            for record in _records(run, file):
                if record.HasField("history"):
                    row = _row(record.history, others)
                    last.update(row.values)
                    if row.values:
                        yield row
                elif record.HasField("exit"):
                    exit_code = record.exit.exit_code
                else:
                    self._of_run(run, record, others)
        for name in [name for name, value in self.summary.items() if repr(last.get(name)) == repr(value)]:
            del self.summary[name]  # W&B repeats the last value of each metric there
        for what, count in sorted(others.items()):
            run.remark(f"{count:,} {what} are not imported")
        if exit_code is None:
            run.remark("it has no end: its process was killed or is still running, and its last record may be lost")
        run.reason = "lost" if exit_code is None else REASONS.get(exit_code, "error")

    def _of_run(self, run: SourceRun, record: Any, others: Counter[str]) -> None:
        kind, head = record.WhichOneof("record_type"), record.run
        if kind == "run":
            self._configure(head.config)
            run.name, run.notes = head.display_name or run.name, head.notes or run.notes
            run.tags = tuple(head.tags) or run.tags
        elif kind == "config":
            self._configure(record.config)
        elif kind == "summary":
            self._summarize(record.summary)
        elif kind in OTHERS:
            others[OTHERS[kind]] += 1

    def _configure(self, config: Any) -> None:
        for item, value in _parsed(config.update):
            *above, name = item.nested_key or [item.key]
            if (above or [name])[0] != "_wandb":
                inside = self.config
                for part in above:
                    inside = inside[part] = inside[part] if isinstance(inside.get(part), dict) else {}
                inside[name] = value
        for item in config.remove:
            self.config.pop(_name(item), None)

    def _summarize(self, summary: Any) -> None:
        values = dict(_items(summary.update))
        media = _media(values)
        for name, value in values.items():
            if not name.startswith("_") and _owner(name, media) is None:
                self.summary[name] = value
        for item in summary.remove:
            self.summary.pop(_name(item), None)


def _row(history: Any, others: Counter[str]) -> Row:
    given = dict(_items(history.item))
    step = given.get("_step", history.step.num)
    time_ns = time_of(given.get("_timestamp"))
    media = _media(given)
    values: dict[str, Any] = {}
    for name, value in given.items():
        internal = name in INTERNAL or name.startswith("_wandb.")
        if not internal and value is not None and _owner(name, media) is None:
            values[name] = value
    for kind in media.values():
        others[f"values of the type {kind}"] += 1
    return Row(values, step, None, time_ns)


def _media(values: dict[str, Any]) -> dict[str, str]:
    """The types of images, tables, histograms and the like by their names."""
    found = {name: value["_type"] for name, value in values.items() if isinstance(value, dict) and "_type" in value}
    found.update({name.removesuffix("._type"): value for name, value in values.items() if name.endswith("._type")})
    return {name: str(kind) for name, kind in found.items()}


def _owner(name: str, media: dict[str, str]) -> str | None:
    """The image or table that a value is part of; None for one that stands for itself."""
    return next((owner for owner in media if name == owner or name.startswith(f"{owner}.")), None)


def _items(items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; those of a nested object one by one, as W&B shows them: ``outer.inner``."""
    for item, value in _parsed(items):
        yield from _flat(_name(item), value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and "_type" not in value and value:
        for inner, found in value.items():
            yield from _flat(f"{name}.{inner}", found)
    else:
        yield name, value


def _parsed(items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for item in items:
        try:
            yield item, json.loads(item.value_json, parse_int=_whole)
        except (ValueError, RecursionError):  # of a file that W&B did not write
            continue


def _whole(text: str) -> int | float:
    """W&B writes -0.0 as -0."""
    return -0.0 if text == "-0" else int(text)


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)
