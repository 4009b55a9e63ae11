"""`quark demo`: trains a small network on real handwritten digits and shows what Quark recorded of it."""

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
    """Train a small CNN on scikit-learn's handwritten digits (no download) and show what was recorded."""
    from ..demo.training import train

    outcome = train(storage_dir, epochs)
    if as_json:
        print_json(outcome.to_dict())
    else:
        _show(outcome, storage_dir)


def _show(outcome: "Outcome", storage_dir: Path) -> None:
    from rich.text import Text

    from ..reading import open
    from .metrics import course_width, metric_table, summarise

    out = console()
    with open(storage_dir) as store:
        view = store.run(outcome.run_id)
        counts = counted(view.counts())
        out.print()
        out.print(metric_table(summarise(view, width=course_width(out.width)), out.width))
        out.print()
        out.print(
            Text.assemble(
                text(f"run {view.id}", "bold"), " ", status_text(view.status, view.reason),
                text(f": validation accuracy {outcome.accuracy:.3f} after {outcome.seconds:.1f} s"),
            ),
            soft_wrap=True,
        )  # fmt: skip
    out.print(text(f"recorded: {counts}"), soft_wrap=True)
    out.print(text(f"kept in: {Path(storage_dir).resolve()}", limit=4000), soft_wrap=True)
    out.print()
    out.print(text("what to run next", "bold"))
    for command, means in (
        (f"quark show --storage-dir {storage_dir}", "everything about this run"),
        (f"quark runs --storage-dir {storage_dir}", "all runs in this directory"),
        (f"quark export --storage-dir {storage_dir} --format csv --out digits.csv", "its metrics as a table"),
    ):
        out.print(Text.assemble("  ", text(command, "cyan", 2000), "  ", text(f"# {means}", "dim")), soft_wrap=True)
    out.print(
        Text.assemble(
            "  ",
            text(f'python -c "import quark; print(quark.open({str(storage_dir)!r})', "cyan"),
            text(".run(", "cyan"),
            text(f'{outcome.run_id!r}).to_pandas(wide=True))"', "cyan"),
        ),
        soft_wrap=True,
    )
