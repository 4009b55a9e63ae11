"""`quark demo`: trains a small network on real handwritten digits and shows what Quark recorded of it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson
from .output import console, counted, print_json, status_text, text

if TYPE_CHECKING:
    from ..demo.training import Outcome


def demo(
    storage_dir: Annotated[
        Path, typer.Option("--storage-dir", "-d", metavar="DIR", help="Directory to record the run in.")
    ] = Path("quark-demo"),
    epochs: Annotated[int, typer.Option("--epochs", min=1, max=1000, help="Passes over the training data.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Train a small CNN on real handwritten digits and show what was recorded.

    The digits come with scikit-learn; nothing is downloaded. It takes a few seconds.
    """
    from ..demo.training import train

    outcome = train(storage_dir, epochs)
    if as_json:
        print_json(outcome.to_dict())
    else:
        _show(outcome, storage_dir)


def _show(outcome: "Outcome", storage_dir: Path) -> None:
    from rich.text import Text

    from ..reading import open
    from ..reading.metrics import summarise
    from .metrics import course_width, metric_table
    from .runs import short

    out = console()
    with open(storage_dir) as store:
        view = store.run(outcome.run_id)
        counts = counted(view.counts())
        out.print()
        out.print(metric_table(summarise(view, width=course_width(out.width)), out.width))
        out.print()
        out.print(
            Text.assemble(
                text(f"run {view.id}", "bold"), "  ", status_text(view.status, view.reason),
            ),
            soft_wrap=True,
        )  # fmt: skip
    out.print(text(f"trained: {outcome.seconds:.1f} s to a validation accuracy of {outcome.accuracy:.3f}"))
    out.print(text(f"recorded: {counts}"), soft_wrap=True)
    out.print(text(f"kept in: {Path(storage_dir).resolve()}", limit=4000), soft_wrap=True)
    out.print()
    out.print(text("what to run next", "bold"))
    python = f"import quark; print(quark.open({str(storage_dir)!r}).run({short(view)!r}).best('val/accuracy'))"
    place = shlex.quote(str(storage_dir))
    for command, means in (
        (f"quark ui {place}", "# look at it in the browser"),
        (f"quark show --storage-dir {place}", "# everything about this run"),
        (f"quark runs --storage-dir {place}", "# all runs in this directory"),
        (f"quark export --storage-dir {place} --format csv --out digits.csv", "# as a table"),
        (f'python -c "{python}"', ""),
    ):
        out.print(Text.assemble("  ", text(command, "cyan", 2000), "  ", text(means, "dim")), soft_wrap=True)
