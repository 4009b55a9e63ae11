"""`quark runs`: the runs of a store, the newest first."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ..records.base import parse_timestamp
from ..records.literals import RUN_STATUSES
from .options import AsJson, ServiceUrl, StorageDir
from .output import console, print_json

if TYPE_CHECKING:
    from ..reading import RunView

Filter = str | None
Filters = list[str] | None
NameLike = Annotated[
    Filters,
    typer.Option(
        "--name-like",
        metavar="PATTERN",
        help="Only names like this, in upper or lower case: % is any text, _ one character; repeatable.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        show_default=False,
        help="More columns: settings, metrics, summary values, such as lr,val/acc:max. Behind the colon: last, "
        "first, min, max, best, mean. A name with a comma stands in double quotes: '\"top 1, top 5\":max'.",
    ),
]


def runs(
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    ids: Annotated[Filters, typer.Option("--id", metavar="ID", help="Only the run of this id; repeatable.")] = None,
    project: Annotated[Filters, typer.Option("--project", "-p", help="Only of this project; repeatable.")] = None,
    status: Annotated[
        Filters, typer.Option("--status", "-s", help=f"Only {', '.join(RUN_STATUSES)}; repeatable.")
    ] = None,
    tag: Annotated[Filters, typer.Option("--tag", "-t", help="Only with this tag, or with one of several.")] = None,
    name: Annotated[Filters, typer.Option("--name", help="Only of this name; repeatable.")] = None,
    name_like: NameLike = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", metavar="KEY=VALUE", help="Only runs with this configuration; dots go inward."),
    ] = None,
    where: Annotated[
        Filter,
        typer.Option(
            "--where",
            "-w",
            metavar="QUERY",
            help="Only runs for which all terms hold: 'status:failed lr<1e-3 max:val/acc>0.9 tag:x'; - negates a term.",
        ),
    ] = None,
    since: Annotated[
        Filter, typer.Option("--since", metavar="TIME", help="Started at or after; a time, or a span such as 12h.")
    ] = None,
    until: Annotated[
        Filter, typer.Option("--until", metavar="TIME", help="Started before; a time, or a span such as 7d.")
    ] = None,
    columns: Columns = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            help="started_at, updated_at, name, project, status, id, or any column such as val/acc:max; "
            "- for descending.",
        ),
    ] = "-started_at",
    offset: Annotated[int, typer.Option("--offset", min=0, help="Leave out the first so many.")] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")] = 50,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="The runs that `quark restore` can bring back, instead of the others.")
    ] = False,
    after: Annotated[Filter, typer.Option("--after", metavar="CURSOR", help="Go on behind a page: its `next`.")] = None,
    id_after: Annotated[
        Filter, typer.Option("--id-after", metavar="ID", help="Only runs that come behind this run in the list.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first; `quark ls`, `quark list` and `quark status` do the same.

    With --json: {"runs": [...], "next": null, "remarks": []}; a `next` that is not null goes on with --after.
    With --columns each run has "columns": {name: value}, and "column_steps" with the step of each.
    """
    from .choosing import config_filter, moment, opened
    from .listing import deleted_runs, listed

    for one in status or ():
        if one not in RUN_STATUSES:
            raise typer.BadParameter(f"--status must be one of {', '.join(RUN_STATUSES)}, got {one!r}")
    filters = {
        "ids": ids or None, "project": project or None, "status": status or None, "tag": tag or None,
        "name": name or None, "name_ilike": name_like or None, "config": config_filter(config or []),
        "started_after": moment(since, "--since"), "started_before": moment(until, "--until"), "id_after": id_after,
        "where": where,
    }  # fmt: skip
    if deleted and (after or columns or offset or any(value is not None for value in filters.values())):
        raise typer.BadParameter("--deleted lists all deleted runs; leave out the filters, --columns and --after")
    with opened(storage_dir, url) as store:
        if deleted:
            found = deleted_runs(store, limit)
        else:
            found = listed(store, columns or [], after, sort=sort, offset=offset, limit=limit, **filters)
    if as_json:
        print_json(found.to_dict())
    else:
        found.print(console())


def short(view: "RunView") -> str:
    """The start of an id: the part that is its time to the millisecond."""
    return view.id[:13]


def took(view: "RunView") -> str:
    """How long a run took or has been running, for a narrow column."""
    from ..drawing.elapsed import elapsed_s
    from ..sinks.wording import duration

    seconds = elapsed_s(view.record)
    return "" if seconds is None else duration(seconds)


def ago(timestamp: str) -> str:
    """How long ago, for a narrow column; the date past a week."""
    seconds = time.time() - parse_timestamp(timestamp) / 1e9
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (7 * 86400, 86400, "d")):
        if seconds < limit:
            return f"{max(0, int(seconds // unit))} {word} ago"
    return timestamp[:10]
