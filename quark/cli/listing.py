"""A list of runs for people and for scripts: what each run is, and the columns that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import typer

from ..reading.columns import Cell, Facts, is_field, similar, split_columns
from .metrics import shown
from .output import cut, status_text, table, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ..reading import RunView, Store


def listed(store: "Store", columns: Sequence[str], after: str | None, *, sort: str, **filters: Any) -> "Listing":
    """The runs that match, a page of them or, sorted by a column, the first of all."""
    if is_field(sort):
        page = store.page(**filters, sort=sort, after=after)
        views, following = page.runs, page.next
    elif after is not None:
        raise typer.BadParameter(f"--after goes with an order by a field of the run, got --sort {sort}; use --limit")
    else:
        views, following = tuple(store.runs(**filters, sort=sort)), None
    facts = [Facts(view) for view in views]
    cells = {column.text: [column.of(run) for run in facts] for column in split_columns(columns)}
    counts = store.unrecorded(view.id for view in views)
    unrecorded = {run_id: values.total for run_id, values in counts.items()}
    return Listing(views, following, unrecorded, cells, _remarks(cells, facts))


def deleted_runs(store: "Store", limit: int) -> "Listing":
    """The first of the runs that are deleted; of their records nothing can be read."""
    views = tuple(islice(store.deleted(), limit + 1))
    hint = f"bring one back with: quark restore RUN{store.options}"
    more = [f"there are more: --limit {2 * limit}"] if len(views) > limit else []
    return Listing(views[:limit], None, {}, {}, [hint, *more])


@dataclass(frozen=True, slots=True)
class Listing:
    """Runs with the values of their columns; ``next`` goes on behind them where they are a page."""

    views: "Sequence[RunView]"
    next: str | None
    unrecorded: dict[str, int]
    cells: dict[str, list[Cell]]
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        runs = [self._run(at, view) for at, view in enumerate(self.views)]
        return {"runs": runs, "next": self.next, "remarks": self.remarks}

    def _run(self, at: int, view: "RunView") -> dict[str, Any]:
        made = {**view.record.to_dict(), "unrecorded": self.unrecorded.get(view.id, 0)}
        if self.cells:
            made["columns"] = {name: column[at].value for name, column in self.cells.items()}
            made["column_steps"] = {name: column[at].step for name, column in self.cells.items()}
        return made

    def print(self, out: "Console") -> None:
        """It as a table that fits the terminal."""
        if not self.views:
            out.print("no runs match")
            return
        self._print_table(out)
        for words in self.remarks:
            out.print(text(words, "yellow"), soft_wrap=True)
        if self.next is not None:
            out.print(text(f"more runs: --limit, or --after {self.next}", "dim"), soft_wrap=True)

    def _print_table(self, out: "Console") -> None:
        from .runs import ago, short, took

        wide, plain = out.width >= 100, not self.cells
        lossy = any(self.unrecorded.values())
        made = table(
            "run", "status", *(["project"] if plain else []), "name", *self.cells, "started",
            *(["took"] if wide or plain else []), *(["not recorded"] if lossy else []),
            *(["tags"] if wide and plain else []),
            right=("took", "not recorded", *self.cells), flexible=("project", "name", "tags"),
        )  # fmt: skip
        for at, view in enumerate(self.views):
            missed = self.unrecorded.get(view.id, 0)
            made.add_row(
                text(short(view)), status_text(view.status, view.reason),
                *([cut(view.project, limit=24)] if plain else []), cut(view.name or "", limit=24),
                *(_cell(name, column[at]) for name, column in self.cells.items()), text(ago(view.started_at)),
                *([text(took(view))] if wide or plain else []),
                *([text(f"{missed:,}" if missed else "", "yellow")] if lossy else []),
                *([cut(", ".join(view.tags), "dim", 40)] if wide and plain else []),
            )  # fmt: skip
        out.print(made)


def _cell(name: str, cell: Cell) -> "Text":
    """A value of a column; of a best value also the step that reached it."""
    if cell.value is None:
        return text("")
    words = shown(name, cell.value) if isinstance(cell.value, float) else str(cell.value)
    extreme = name.rpartition(":")[2] in ("min", "max", "best")
    return cut(f"{words} at {cell.step}" if extreme and cell.step is not None else words, limit=40)


def _remarks(cells: dict[str, list[Cell]], facts: list[Facts]) -> list[str]:
    """Words for columns that are empty in every run, with what may have been meant."""
    words = []
    for name, column in cells.items():
        if all(cell.value is None for cell in column):
            near = similar(name, facts)
            hint = f"did you mean {', '.join(near)}?" if near else "quark show RUN lists what a run has"
            words.append(f"no run listed has {name}; {hint}")
    return words
