"""`quark watch`: runs on a live screen in the terminal."""

import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .options import AsJson, ServiceUrl, StorageDir
from .output import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from ..reading.matching import Pattern
    from .watching.data import Watched
    from .watching.state import State

MOST_RUNS = 8
REFRESH_S = 1.0
KEY_S = 0.2
PRINTED_LINES = 40
"""Lines of what is printed where there is no terminal."""


def watch(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN", show_default=False,
            help="Ids of runs, the starts of ids, or names; the latest run if omitted.",
        ),
    ] = None,
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    only: Annotated[
        str, typer.Option("--filter", "-f", metavar="REGEX", help="Only metrics whose name matches this.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end, as without a terminal.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Watch runs while they train, or look at them later: charts, verdict, alerts, the machine, printed lines.

    Each column of a chart reaches from the least to the greatest value in it, so no spike is missing; NaN is a red
    mark, and where nothing was recorded nothing is drawn.

    Keys: q ends, / filters metrics by a regular expression, 1 to 9 set the number of columns (0: automatic), j and k
    turn pages, tab goes to the alerts, the log or the machine, y switches the logarithmic axis, x between step and
    time, h the heat map of layers, n and p go through the alerts.
    """
    from ..reading.matching import Pattern
    from .choosing import chosen, opened
    from .watching.data import Watched
    from .watching.state import State

    Pattern(only)  # one that cannot be used is an error before the screen is taken
    if runs and len(runs) > MOST_RUNS:
        raise typer.BadParameter(f"watch shows at most {MOST_RUNS} runs, got {len(runs)}; name fewer")
    store = opened(storage_dir, url)
    watched = None
    try:
        ids = [chosen(store, run).id for run in dict.fromkeys(runs or [None])]  # type: ignore[list-item]
        watched = Watched(store, lambda: opened(storage_dir, url), list(dict.fromkeys(ids)))
        watched.look()
        out = console()
        if as_json:
            print_json(document_of(watched, Pattern(only)))
        elif once or not out.is_terminal or out.is_dumb_terminal:
            _print(watched, State(filter=only), out)
        else:
            _live(watched, State(filter=only), out)
    finally:
        (store if watched is None else watched.store).close()


def document_of(watched: "Watched", pattern: "Pattern") -> dict[str, object]:
    """What the screen shows, as JSON values: each run, and the courses of its metrics."""
    from dataclasses import asdict

    from .watching.frame import CHART_WIDTH

    runs = []
    for one in watched.snapshots:
        keys = pattern.among(one.latest)
        charts = {key: asdict(watched.course(one, key, 2 * CHART_WIDTH, "step")) for key in keys}
        runs.append({**one.to_dict(), "charts": charts})
    return {"runs": runs}


def _print(watched: "Watched", state: "State", out: "Console") -> None:
    from .watching.frame import frame, plain_lines

    for line in plain_lines(frame(watched, state, (out.width, PRINTED_LINES), live=False)):
        line.rstrip()
        out.print(line, no_wrap=True, overflow="ignore", crop=False)


def _live(watched: "Watched", state: "State", out: "Console") -> None:
    from rich.console import Group
    from rich.live import Live

    from .watching import panes
    from .watching.frame import frame
    from .watching.keyboard import Keyboard

    looked, cost, drawn = time.monotonic(), 0.0, None
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        with (
            quiet(),
            Keyboard() as keyboard,
            Live(console=out, screen=True, auto_refresh=False, transient=True) as live,
        ):
            while not state.quit:
                now = frame(watched, state, (out.width, out.height))
                if now != drawn:
                    live.update(Group(*now), refresh=True)
                    drawn = now
                for key in keyboard.keys(KEY_S):
                    state.press(key, len(panes.alerts(watched.snapshots)))
                if time.monotonic() - looked >= max(REFRESH_S, 5 * cost):  # a slow store is asked less often
                    start = time.monotonic()
                    watched.look()
                    looked = time.monotonic()
                    cost = looked - start
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def quiet() -> Iterator[None]:
    """No warning of Quark is written over the screen; those of opening the store were told before it was taken."""
    logger = logging.getLogger("quark")
    handler, propagated = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _terminated(number: int, at: FrameType | None) -> NoReturn:
    """End in order, so that the terminal gets its screen and its keyboard back."""
    sys.exit(128 + number)
