"""`quark sync`: delivers what dead processes left behind."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, StorageDir
from .output import console, print_json, text

if TYPE_CHECKING:
    from rich.console import Console


def sync(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", show_default=False, help="The storage directory.")
    ] = None,
    storage_dir: StorageDir = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", show_default=False,
            help="Send what is meant for a service to the one at this address, such as one that has moved. "
            "Its key comes from QUARK_USER_KEY.",
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Also use the sinks that a journal names which no process of yours has signed."),
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Deliver what processes that died left behind.

    Runs that vanished with their process are closed as failed (lost). Runs that are still being recorded are left
    alone. Nothing is delivered twice. A journal that another user or machine made goes to the store of its directory
    and nowhere else, unless you say --trust. Without a directory it is the working directory, or the only one below it
    or the nearest one above that holds runs. The exit code is 1 if something could not be delivered or waits.
    """
    from ..session.finding import found_placement
    from ..session.sync import sync as deliver

    place = found_placement(directory if directory is not None else storage_dir).storage_dir
    if not place.is_dir():
        from ..errors import SessionStoreError

        raise SessionStoreError(f"there is no directory {place}; name the one that runs were recorded in")
    report = deliver(place, url=url, trust=trust)
    if as_json:
        print_json({"storage_dir": str(place), **report.to_dict()})
    else:
        out = console()
        for run_id, count in sorted(report.delivered.items()):
            lost = "; its process vanished: closed as failed (lost)" if run_id in report.lost else ""
            out.print(text(f"{run_id}: {count} records delivered{lost}"))
        for run_id in report.alive:
            out.print(text(f"{run_id}: still running, left alone"))
        for note in report.waiting:
            out.print(text(f"waiting: {note}", "yellow", 2000))
        for problem in report.problems:
            out.print(text(f"problem: {problem}", "red", 2000))
        if not (report.delivered or report.alive or report.problems or report.waiting):
            out.print(text(f"{place}: nothing was left to deliver", limit=4000), soft_wrap=True)
        _print_fallbacks(place, out)
    if report.problems or report.waiting:
        raise typer.Exit(1)


def _print_fallbacks(place: Path, out: "Console") -> None:
    """Runs that found no room in their storage directory have journals elsewhere."""
    from ..session.placement import Placement, fallback_directories
    from ..session.sync import leftover_runs

    for directory in fallback_directories():
        if directory != place and (found := leftover_runs(Placement(directory))):
            words = f"{len(found)} more wait in {directory}: quark sync {directory}"
            out.print(text(words, limit=4000), soft_wrap=True)
