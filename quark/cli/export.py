"""`quark export`: a run as a file that other tools read, or into another project's dashboard."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, RunId, ServiceUrl, StorageDir
from .output import console, print_json, text


class Format(StrEnum):
    """The formats."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    json = "json"


def _all_kinds() -> list[str]:
    from ..records.kinds import KINDS

    return list(KINDS)


def _known_kinds(kinds: list[str] | None) -> list[str]:
    from ..records.kinds import KINDS

    for kind in kinds or []:
        if kind not in KINDS:
            raise typer.BadParameter(f"{kind!r} is not a kind of records; use one of {', '.join(KINDS)}")
    return kinds or []


def export(
    run: RunId = None,
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    as_format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = Format.jsonl,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write it; - is standard output.")
    ] = Path("-"),
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            callback=_known_kinds,
            autocompletion=_all_kinds,
            help="Which records, such as metric or event; all for jsonl and json, metric for csv and parquet.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="SINK", show_default=False, help="Deliver it to a sink, such as mlflow."),
    ] = None,
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="STEP", min=0, show_default=False, help="With --to: only from this step on."),
    ] = None,
    sink_options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", show_default=False, help="With --to: an option of the sink."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run to a file, or with --to into a dashboard.

    All attempts of it are written; a file appears when it is complete. A dashboard gets what it lacks, by the same
    sink that mirrors a run while it trains; doing it again changes nothing.

    jsonl: the lines that Quark itself stores. json: one document. csv: one kind of records. parquet: the metrics.
    """
    from . import exporting
    from .choosing import chosen, opened

    if to is not None:
        _deliver(run, storage_dir, url, to, since, sink_options or [], as_json)
        return
    if since is not None or sink_options:
        raise typer.BadParameter("--since and --set belong to --to SINK; name the sink, or leave them out")
    kinds = kind or []
    if as_format is Format.csv and len(kinds) > 1:
        raise typer.BadParameter(f"csv holds one kind of records, got {', '.join(kinds)}; export them one by one")
    if as_format is Format.parquet and kinds not in ([], ["metric"]):
        raise typer.BadParameter(f"parquet holds metrics, got --kind {', '.join(kinds)}; use --format csv or jsonl")
    to_stdout = str(out) == "-"
    if to_stdout and (as_json or as_format is Format.parquet):
        raise typer.BadParameter("give --out FILE: standard output is needed for the answer or takes no Parquet")
    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        if as_format in (Format.csv, Format.parquet) and kinds in ([], ["metric"]):
            _say_what_is_not_finite(view.nonfinite_counts())
        if to_stdout:
            exporting.write(view, as_format.value, kinds, sys.stdout.buffer)
            return
        count = exporting.write_file(view, as_format.value, kinds, out)
    if as_json:
        print_json({"run_id": view.id, "format": as_format.value, "path": str(out.resolve()), "records": count})
    else:
        console().print(text(f"{count:,} records of {view.id} written to {out}", limit=4000), soft_wrap=True)


def _say_what_is_not_finite(counts: Mapping[str, int]) -> None:
    """A table of metrics has no rows for values that were NaN or infinite: they are events."""
    if counts:
        from ..sinks.wording import plain

        names = ", ".join(f"{plain(name, 60)} {count:,}" for name, count in islice(counts.items(), 5))
        more = f" and {len(counts) - 5} more metrics" if len(counts) > 5 else ""
        print(f"quark: NaN and infinite values have no rows here ({names}{more}); "
              "--format csv --kind event has them", file=sys.stderr)  # fmt: skip


def _deliver(
    run: str | None, storage_dir: Path | None, url: str | None, to: str, since: int | None, pairs: list[str],
    as_json: bool,
) -> None:  # fmt: skip
    from ..reading.replay import replay
    from ..sinks.discovery import sink_from_spec
    from .choosing import chosen, key_values, opened

    sink = sink_from_spec(to, key_values(pairs, "--set"))
    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        count = replay(view, sink, since=since)
    if as_json:
        print_json({"run_id": view.id, "to": to, "records": count})
    else:
        console().print(text(f"{count:,} records of {view.id} delivered to {to}", limit=4000), soft_wrap=True)
