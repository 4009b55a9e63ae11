"""Imports the runs of a source into a storage directory, one after the other."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..delivery.ownership import make_directory
from ..errors import QuarkError
from ..session.placement import Placement, resolve_storage_dir
from .checking import Checked, check_run
from .source import SourceRun
from .writing import Imported, RunWriter


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that could not be imported, and why."""

    location: str
    error: QuarkError


def import_all(
    runs: Iterable[SourceRun], kind: str, storage_dir: Any = None, *, project: str | None = None, check: bool = False,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> Iterator[tuple[Imported, Checked | None] | Failed]:  # fmt: skip
    """Import runs, and compare each with its source if ``check``; one that fails does not stop those behind it.

    Args:
        kind: the name of the importer.
        storage_dir: the directory to record in; else QUARK_STORAGE_DIR, else the working directory.
        project: the project of the runs; their own if None.
        on_rows: called now and then with the number of rows that were read since the last call.
    """
    from ..storage import SqlStore

    placement = Placement(resolve_storage_dir(storage_dir))
    placement.check()
    placement.storage_dir.mkdir(parents=True, exist_ok=True)
    make_directory(placement.store_root)
    with SqlStore(placement.db_path) as store:
        for source in runs:
            try:
                done = RunWriter(store, placement, kind, source, project, on_rows).write()
                result = done, check_run(store, source, done) if check else None
            except QuarkError as error:
                yield Failed(source.location, error)
            else:
                yield result
