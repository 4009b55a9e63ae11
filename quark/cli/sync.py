"""`quark sync`: delivers what dead processes left behind."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, StorageDir
from .output import console, print_json, text


def sync(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", show_default=False, help="The storage directory.")
    ] = None,
    storage_dir: StorageDir = None,
    as_json: AsJson = False,
) -> None:
    """Deliver what processes that died left behind.

    Runs that vanished with their process are closed as failed (lost). Runs that are still being recorded are left
    alone. Nothing is delivered twice.
    """
    from ..session.placement import resolve_storage_dir
    from ..session.sync import sync as deliver

    place = resolve_storage_dir(directory if directory is not None else storage_dir)
    if not place.is_dir():
        from ..errors import SessionStoreError

        raise SessionStoreError(f"there is no directory {place}; name the one that runs were recorded in")
    report = deliver(place)
    if as_json:
        print_json({"storage_dir": str(place), **report.to_dict()})
    else:
        out = console()
        for run_id, count in sorted(report.delivered.items()):
            lost = "; its process vanished: closed as failed (lost)" if run_id in report.lost else ""
            out.print(text(f"{run_id}: {count} records delivered{lost}"))
        for run_id in report.alive:
            out.print(text(f"{run_id}: still running, left alone"))
        for problem in report.problems:
            out.print(text(f"problem: {problem}", "red", 2000))
        if not (report.delivered or report.alive or report.problems):
            out.print(text(f"{place}: nothing was left to deliver"))
    if report.problems:
        raise typer.Exit(1)
