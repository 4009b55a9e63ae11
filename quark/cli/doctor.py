"""`quark doctor`: whether runs can be recorded here safely, tried out on request by killing processes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, StorageDir
from .output import console, print_json, table, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..session.placement import Placement
    from .chaos import ChaosReport
    from .checks import Check

SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("problem", "bold red")}


def doctor(
    storage_dir: StorageDir = None,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Kill logging processes for half a minute and count what was lost.")
    ] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, max=3600, help="How long --chaos kills.")] = 25.0,
    as_json: AsJson = False,
) -> None:
    """Check that runs can be recorded here, and that what was recorded is whole.

    The exit code is 1 if there is a problem.
    """
    from .checks import all_checks

    placement, several = _chosen(storage_dir)
    checks = [*several, *all_checks(placement)]
    report = None
    if not as_json:
        _print_checks(checks, console())
    if chaos:
        from .chaos import kill_test

        report = kill_test(placement, seconds, _progress if sys.stderr.isatty() else lambda said: None)
    if as_json:
        print_json({
            "storage_dir": str(placement.storage_dir), "checks": [check.to_dict() for check in checks],
            "chaos": None if report is None else report.to_dict(),
        })  # fmt: skip
    elif report is not None:
        _print_chaos(report, console())
    lossy = report is not None and (report.lost or report.twice)
    if lossy or any(check.status == "problem" for check in checks):
        raise typer.Exit(1)


def _chosen(storage_dir: Path | None) -> "tuple[Placement, list[Check]]":
    """The directory to look at; where several below hold runs, the working directory, and a finding that lists them."""
    from ..errors import SessionStoreError
    from ..session.finding import found_placement
    from ..session.placement import Placement, resolve_storage_dir
    from .check import Check

    try:
        return found_placement(storage_dir), []
    except SessionStoreError as error:
        if error.code != "store_ambiguous":
            raise
        check = Check("other stores", "warning", str(error), "look at each of them: quark doctor -d DIR")
        return Placement(resolve_storage_dir(storage_dir)), [check]


def _print_checks(checks: "list[Check]", out: "Console") -> None:
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for check in checks:
        sign, style = SIGNS[check.status]
        made.add_row(text(sign, style), text(check.name), text(check.detail))
        if check.remedy and check.status != "ok":
            made.add_row("", "", text(f"to do: {check.remedy}", "dim"))
    out.print(made)


def _print_chaos(report: "ChaosReport", out: "Console") -> None:
    verdict = text("nothing was lost", "bold green")
    if report.lost or report.twice:
        verdict = text(f"records were lost or doubled; everything is kept in {report.kept}", "bold red", 2000)
    out.print()
    out.print(
        text(f"{report.kills} processes, four threads logging in each, killed by SIGKILL; {report.seconds:.0f} s")
    )
    counts = table("acknowledged", "found", "lost", "twice", right=("acknowledged", "found", "lost", "twice"))
    counts.add_row(*(text(f"{n:,}") for n in (report.acknowledged, report.found, report.lost, report.twice)))
    out.print(counts)
    out.print(verdict)
    out.print()
    cost = table("cost of a call", "p50", "p99", "max", right=("p50", "p99", "max"))
    for name, label in (("log_ns", "metrics.log"), ("floor_ns", "the same bytes into a mapped file")):
        cost.add_row(text(label), *(text(f"{report.cost[name][p] / 1e3:.1f} us") for p in ("p50", "p99", "max")))
    out.print(cost)


def _progress(said: str) -> None:
    sys.stderr.write(f"\r\x1b[K{said}")
    if said.startswith("delivering"):
        sys.stderr.write("\r\x1b[K")
    sys.stderr.flush()
