"""Imports TensorBoard's event files: a directory that holds some is a run."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import quark

from .event_records import events
from .files import found, located, modified_ns
from .numbers import time_of
from .source import Row, SourceRun

PATTERN = "*tfevents*"
HPARAMS = "_hparams_/"


def import_tensorboard(source: str) -> Iterator[SourceRun]:
    """The runs below a log directory, or that of one event file."""
    path = located(source)
    directories: dict[Path, list[Path]] = {}
    for file in found(path, PATTERN) if path.is_dir() else [path]:
        directories.setdefault(file.parent, []).append(file)
    if not directories:
        raise quark.SchemaValidationError(f"{path} holds no event files (*tfevents*); name the log directory")
    root = path if path.is_dir() else path.parent
    ids: dict[Path, str] = {}
    for directory, files in sorted(directories.items()):
        run = _run(root, directory, files)
        above = next((place for place in directory.parents if place in ids), None)
        run.parent_id = None if above is None else ids[above]
        ids[directory] = run.source_id
        yield run


def _run(root: Path, directory: Path, files: list[Path]) -> SourceRun:
    name = "/".join(directory.relative_to(root).parts) or root.name
    reading = _Reading(files)
    run = SourceRun(
        source_id="", location=str(directory), read=reading.rows, started_ns=modified_ns(files[0]),
        project=root.name or "tensorboard", name=name, config=reading.config,
    )  # fmt: skip
    first = next(events(run, files[0]), None)
    run.source_id = f"{files[0].name} {None if first is None else first.wall_time!r}"
    if first is not None:
        run.started_ns = time_of(first.wall_time) or run.started_ns
    return run


class _Reading:
    """Reads the files of a directory one after the other: a writer that begins anew begins a new file."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self.config: dict[str, Any] = {}

    def rows(self, run: SourceRun) -> Iterator[Row]:
        """A row for each event; its hyperparameters are added to the configuration."""
        others: Counter[str] = Counter()
        for file in self._files:
            plugins: dict[str, str] = {}
            for event in events(run, file):
                values: dict[str, Any] = {}
                for value in event.summary.value:
                    self._add(run, value, plugins, values, others)
                if values:
                    yield Row(values, event.step, None, time_of(event.wall_time))
        for what, count in sorted(others.items()):
            run.remark(f"{count:,} {what} are not imported")

    def _add(
        self, run: SourceRun, value: Any, plugins: dict[str, str], values: dict[str, Any], others: Counter[str]
    ) -> None:
        plugin = value.metadata.plugin_data.plugin_name
        if plugin:  # only the first value of a tag says it
            plugins[value.tag] = plugin
        plugin = plugins.get(value.tag, "")
        if plugin == "hparams" or value.tag.startswith(HPARAMS):
            self._hyperparameters(run, value.metadata.plugin_data.content)
        elif value.WhichOneof("value") == "simple_value":
            values[value.tag] = value.simple_value
        elif value.WhichOneof("value") == "tensor" and plugin in ("", "scalars", "text"):
            single = _single(value.tensor)
            if single is None:
                others["tensors of several elements"] += 1
            else:
                values[value.tag] = single
        else:
            kind = {"histo": "histograms"}.get(value.WhichOneof("value") or "", f"{value.WhichOneof('value')}s")
            others[plugin or kind] += 1

    def _hyperparameters(self, run: SourceRun, content: bytes) -> None:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]

        try:
            given = HParamsPluginData.FromString(content).session_start_info.hparams
        except DecodeError:
            run.remark("hyperparameters that are damaged are left out")
            return
        for name, value in given.items():
            kind = value.WhichOneof("kind")
            is_plain = kind in ("number_value", "string_value", "bool_value")
            self.config[name] = getattr(value, kind) if is_plain and kind else MessageToDict(value)


def _single(tensor: Any) -> Any:
    """The one element of a tensor, a number or text; None if it has several, or a type that is neither."""
    from tensorboard.util.tensor_util import make_ndarray

    if sum(dimension.size for dimension in tensor.tensor_shape.dim) > 1 << 10:
        return None
    try:
        array = make_ndarray(tensor)
    except (TypeError, ValueError):
        return None
    if array.size != 1:
        return None
    element = array.item()
    return element.decode("utf-8", "replace") if isinstance(element, bytes) else element
