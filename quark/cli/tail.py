"""`quark tail`: what happened last in a run, and on request what happens next."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, RunId, ServiceUrl, StorageDir
from .output import console, print_json, status_text

if TYPE_CHECKING:
    from rich.console import Console

    from ..reading.happening import Happening

POLL_S = 0.5


def tail(
    run: RunId = None,
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends; metrics twice a second at most.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="How many of the last lines.")] = 20,
    system: Annotated[bool, typer.Option("--system", help="Also the machine's own metrics (system/...).")] = False,
    output: Annotated[
        bool, typer.Option("--output", help="Instead of these the lines that the program printed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the latest events and metrics of a run, with -f also those to come."""
    from ..reading.happening import Watch, latest, printed
    from .choosing import chosen, opened

    if follow and as_json:
        raise typer.BadParameter("--json is one document and -f has no end; use one of them")
    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        watch = Watch(view, system=system, output=output)
        last = printed(view, lines) if output else latest(view, lines, system=system)
        if as_json:
            print_json({"run": view.record.to_dict(), "lines": [one.to_dict() for one in last]})
            return
        out = console()
        _print(out, last)
        while follow and view.refresh().status == "running":
            time.sleep(POLL_S)
            _print(out, watch.news())
        if follow:
            _print(out, watch.news())
            out.print(status_text(view.status, view.reason))


def _print(out: "Console", happenings: "list[Happening]") -> None:
    from .happening import line_of

    for one in happenings:
        out.print(line_of(one), soft_wrap=True)
    out.file.flush()
