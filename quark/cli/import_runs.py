"""`quark import`: runs that another tracker recorded."""

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import printable
from .options import AsJson, RecordingDir
from .output import console, print_json, text

if TYPE_CHECKING:
    from ..importing.checking import Checked
    from ..importing.writing import Imported

UNEQUAL = 3
"""The exit code of a check that found differences."""


def import_runs(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The kind of source, such as csv, jsonl, tensorboard or wandb.")
    ],
    path: Annotated[
        str, typer.Argument(metavar="PATH_OR_URI", help="A file, a directory of runs, or the address of a server.")
    ],
    storage_dir: RecordingDir = None,
    project: Annotated[
        str | None,
        typer.Option("--project", "-p", metavar="NAME", show_default=False, help="Project of the runs; else theirs."),
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", metavar="COLUMN", show_default=False, help="csv, jsonl: column of steps.")
    ] = None,
    epoch: Annotated[
        str | None, typer.Option("--epoch", metavar="COLUMN", show_default=False, help="csv, jsonl: column of epochs.")
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", show_default=False, help="csv, jsonl: column of times.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read source and store again and compare every point, bit for bit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import runs that another tracker recorded.

    Doing it again adds only what the source has gained since. The source is only read. With --check the exit code is 3
    if a point differs. A run that cannot be imported does not stop the others, and makes the exit code 1.
    """
    from ..importing.discovery import importer
    from ..importing.importing import Failed, import_all

    columns = {name: value for name, value in (("step", step), ("epoch", epoch), ("time", time)) if value is not None}
    read = importer(source)
    try:
        runs = read(path, **columns)
    except TypeError as error:
        if not columns:
            raise
        raise typer.BadParameter(f"{source} has no columns to name: {error}; leave the options out") from error
    done: list[tuple[Imported, Checked | None]] = []
    failures: list[Failed] = []
    with _Progress(as_json) as progress:
        for one in import_all(runs, source, storage_dir, project=project, check=check, on_rows=progress.rows):
            if isinstance(one, Failed):
                failures.append(one)
            else:
                done.append(one)
                if not as_json:
                    progress.show(*one)
    if as_json:
        failed = [{"location": one.location, "message": str(one.error)} for one in failures]
        print_json({"runs": [_document(*one) for one in done], "failed": failed})
    for one in failures if not as_json else ():
        print(printable(f"quark: {one.error}"), file=sys.stderr)
    if failures:
        raise typer.Exit(1)
    if any(checked is not None and checked.differences for _, checked in done):
        raise typer.Exit(UNEQUAL)


def _document(imported: "Imported", checked: "Checked | None") -> dict[str, Any]:
    document = dataclasses.asdict(imported)
    del document["started_ns"]
    return {**document, "check": None if checked is None else dataclasses.asdict(checked)}


class _Progress:
    """The number of rows so far, on a terminal; the result of each run."""

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        self._console = console()
        shown = Console(stderr=True)
        column = TextColumn("{task.completed:,.0f} rows read")
        self._bar = Progress(column, console=shown, transient=True, disable=as_json or not shown.is_terminal)
        self._task = self._bar.add_task("rows", total=None)
        self.rows: Callable[[int], None] = lambda rows: self._bar.advance(self._task, rows)

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, imported: "Imported", checked: "Checked | None") -> None:
        """The result of a run in a few lines."""
        for line, style in _lines(imported, checked):
            self._console.print(text(line, style, 4000), soft_wrap=True)


def _lines(imported: "Imported", checked: "Checked | None") -> list[tuple[str, str]]:
    counts = imported.counts
    news = f"{imported.added:,} records added" if imported.added else "nothing new"
    made = [(f"{imported.run_id}  {imported.project}/{imported.name or ''}: {counts['points']:,} points, {news}", "")]
    words = {
        "nonfinite": "not finite (kept as events)", "texts": "of text (kept as events)",
        "misplaced": "at a negative, decimal or missing step (kept as events)",
        "left_out": "left out, being no number or too large",
    }  # fmt: skip
    told = "; ".join(f"{counts[name]:,} {meaning}" for name, meaning in words.items() if counts[name])
    made += [(f"values: {told}", "")] if told else []
    made += [(f"names that have a key of their own: {counts['renamed']:,}", "")] if counts["renamed"] else []
    made += [(f"note: {remark}", "yellow") for remark in imported.remarks]
    if checked is not None:
        result = f"checked: {checked.points:,} points, {checked.equal:,} equal"
        made.append((result, "red" if checked.differences else "green"))
        made += [(f"differs: {difference}", "red") for difference in checked.differences]
    return made
