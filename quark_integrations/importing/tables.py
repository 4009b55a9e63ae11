"""Imports CSV and JSON Lines files: a row a step, the other columns are metrics."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import quark

from .files import found, located, modified_ns, opened
from .numbers import flattened, number_of, position_of, time_of
from .source import Row, SourceRun

LONGEST_LINE = 16 << 20
USUAL = {
    "step": ("step", "_step", "global_step", "trainer/global_step", "iteration", "iter"),
    "epoch": ("epoch",),
    "time": ("time", "timestamp", "_timestamp", "wall_time", "wall time", "datetime", "date"),
}
"""Names of columns, in lower case, that are taken for these unless the user names others."""

Records = Callable[[SourceRun, Path], Iterator[dict[str, Any]]]


def import_csv(source: str, **columns: str) -> Iterator[SourceRun]:
    """The runs of a CSV file, or of all below a directory."""
    return _runs(source, "*.csv", csv_records, columns)


def import_jsonl(source: str, **columns: str) -> Iterator[SourceRun]:
    """The runs of a JSON Lines file, or of all below a directory."""
    return _runs(source, "*.jsonl", jsonl_records, columns)


def _runs(source: str, matches: str, records: Records, columns: dict[str, str]) -> Iterator[SourceRun]:
    path = located(source)
    files = found(path, matches) if path.is_dir() else [path]
    none = True
    for file in files:
        none = False
        named = json.dumps(columns, sort_keys=True) if columns else ""
        run = SourceRun(
            source_id=f"{file}{named}", location=str(file), read=reader(file, records, columns),
            started_ns=modified_ns(file), project=file.parent.name or "imported", name=file.stem,
        )  # fmt: skip
        try:
            first = next(run.rows(), None)
        except quark.SchemaValidationError:
            first = None  # the import of the run says it, and the files behind it are imported all the same
        if first is not None and first.time_ns is not None:
            run.started_ns = first.time_ns
        yield run
    if none:
        raise quark.SchemaValidationError(f"{path} holds no file {matches}; name the file itself")


def reader(file: Path, records: Records, columns: dict[str, str]) -> Callable[[SourceRun], Iterator[Row]]:
    """What reads the rows of a file."""
    return lambda run: _rows(run, records(run, file), columns)


def _rows(run: SourceRun, records: Iterable[dict[str, Any]], columns: dict[str, str]) -> Iterator[Row]:
    names: dict[str, str | None] = {}
    missing = set(columns)
    for number, record in enumerate(records):
        for what in [what for what, name in names.items() if name is None] if names else USUAL:
            names[what] = _column(record, what, columns)
        missing -= {what for what in missing if columns[what] in record}
        step, epoch = (
            position_of(record.pop(name, None)) if name else None for name in (names["step"], names["epoch"])
        )
        time_ns = _time(record, names["time"])
        if names["step"] is None and names["epoch"] is None:
            step = number
            run.remark("it has no column of steps: the number of the row is the step")
        if epoch is not None and not isinstance(epoch, int):  # a part of an epoch is a measurement, no position
            record[names["epoch"] or "epoch"] = epoch
            epoch = None
        if time_ns is None:
            run.remark("it has rows without wall time: they have the time of the file")
        if record:
            yield Row(record, step, epoch, time_ns)
    for what in sorted(missing):
        run.remark(f"it has no column {columns[what]!r}, which --{what} names")


def _column(record: dict[str, Any], what: str, columns: dict[str, str]) -> str | None:
    """The column that holds steps, epochs or times; None if there is none (yet)."""
    if what in columns:
        return columns[what] if columns[what] in record else None
    known = {name.lower(): name for name in record}
    return next((known[name] for name in USUAL[what] if name in known), None)


def _time(record: dict[str, Any], name: str | None) -> int | None:
    """The wall time of a row; a number that is none, such as seconds since the start, stays a metric."""
    if name is None or name not in record:
        return None
    time_ns = time_of(record[name])
    if time_ns is not None or record[name] in (None, ""):
        del record[name]
    elif isinstance(record[name], str):
        record[name] = number_of(record[name])
    return time_ns


def _lines(run: SourceRun, file: Path) -> Iterator[str]:
    """The lines of a text file; the last one may lack its end."""
    with opened(file) as data:
        first = True
        while line := data.readline(LONGEST_LINE):
            if len(line) >= LONGEST_LINE:
                raise quark.SchemaValidationError(f"{file} has a line of more than {LONGEST_LINE:,} bytes")
            try:
                yield line.decode("utf-8-sig" if first else "utf-8")
            except UnicodeDecodeError as error:
                raise quark.SchemaValidationError(f"{file} is no UTF-8 text: {error}; convert it first") from None
            first = False


class _Ends:
    """Lines on their way to a parser, and whether the last one was whole."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.whole = True

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.whole = line.endswith(("\n", "\r"))
            yield line


def csv_records(run: SourceRun, file: Path, *, torn: bool = False) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file by column; an empty cell was not logged.

    Args:
        torn: a last line without its end is always what a killed program left, never a row.
    """
    lines = _Ends(_lines(run, file))
    rows = csv.reader(iter(lines), strict=True)
    header: list[str] = []
    try:
        for row in rows:
            if not header:
                header = _header(file, row)
            elif not lines.whole and (torn or len(row) < len(header)):
                run.remark("its last line is torn and left out")
            elif row:
                if len(row) > len(header):
                    run.remark(f"line {rows.line_num} has more cells than the header: the others are left out")
                yield {name: cell for name, cell in zip(header, map(number_of, row), strict=False) if cell is not None}
    except csv.Error as error:
        if lines.whole:
            raise quark.SchemaValidationError(f"{file}, line {rows.line_num}: {error}; is it a CSV file?") from None
        run.remark("its last line is torn and left out")


def _header(file: Path, row: list[str]) -> list[str]:
    twice = sorted({name for name in row if row.count(name) > 1})
    if twice:
        raise quark.SchemaValidationError(f"{file} has several columns {twice[0]!r}; give each a name of its own")
    return [name or f"column_{place}" for place, name in enumerate(row)]


def jsonl_records(run: SourceRun, file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; nested names are put together, what is null was not logged."""
    bad = 0
    lines = _Ends(_lines(run, file))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            yield flattened(record)
        elif lines.whole:
            bad += 1
            if bad == 1:
                run.remark(f"line {number} and perhaps others hold no JSON object and are left out")
        else:
            run.remark("its last line is torn and left out")


__all__ = ["csv_records", "import_csv", "import_jsonl", "reader"]
