"""The rows of a run's tables: kept within a budget while it goes on, beside the run, so that a crash costs none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from quark import Record, RecordBatch

from .budget import kept_rows
from .tables import TABLES, row_of

SLACK = 4
"""A table grows to this many budgets before it is thinned to two: most records never cost a second look."""

GONE = "-"
"""Before the name of a kind: an analyzer has discarded its earlier records of that kind."""

_METRIC = b'{"kind":"metric'


class Kept(NamedTuple):
    """A row, whose it is, and whether it is shown in any case."""

    kind: str
    writer_id: str
    sequence: int
    marked: bool
    row: list[Any]


class KeptRows:
    """The rows of all tables of one run. A record that comes again is known, and a discarded one is forgotten.

    Args:
        path: the file beside the run; what it holds is read.
        budget: rows that a table may have in the end; alerts, and events that are errors, are kept beyond it.
    """

    def __init__(self, path: Path, budget: int) -> None:
        self.path = path
        self.budget = budget
        self._next: dict[str, int] = {}
        self._rows: dict[str, list[Kept]] = {kind: [] for kind in TABLES}
        self._read()

    def take(self, batch: RecordBatch) -> None:
        """Keep the rows of a batch that are new; durable when it returns.

        Raises:
            OSError: the file cannot be written.
        """
        added: list[str] = []
        thinned = False
        for item, sequence in _items(batch):
            writer_id = batch.origin.writer_id
            if sequence < self._next.get(writer_id, 0):
                continue
            entry = _kept(item, writer_id, sequence)
            added.append(json.dumps(entry, ensure_ascii=False) + "\n")
            thinned |= self._apply(entry)
        if thinned:
            self._rewrite()
        elif added:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(added)

    def of(self, kind: str) -> list[list[Any]]:
        """The rows of the kind's table within the budget, in the order of arrival."""
        rows = self._rows[kind]
        return [rows[at].row for at in _chosen(rows, self.budget)]

    def _apply(self, entry: Kept) -> bool:
        """Take an entry in; True if a table was thinned for it."""
        self._next[entry.writer_id] = max(entry.sequence + 1, self._next.get(entry.writer_id, 0))
        if entry.kind.startswith(GONE):
            self._rows[entry.kind.removeprefix(GONE)] = []
            return False
        rows = self._rows.setdefault(entry.kind, [])
        rows.append(entry)
        if len(rows) <= SLACK * self.budget or len(rows) % self.budget:
            return False
        self._rows[entry.kind] = [rows[at] for at in _chosen(rows, 2 * self.budget)]
        return True

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        torn = lines.pop()  # a crash leaves a part of a line; what it held comes again
        for line in lines:
            entry = Kept(*json.loads(line))
            if entry.kind in TABLES:  # an earlier release had fewer columns
                entry.row.extend([None] * (len(TABLES[entry.kind].columns) - len(entry.row)))
            self._apply(entry)
        if torn:
            self._rewrite()

    def _rewrite(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.new")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(entry, ensure_ascii=False) + "\n" for rows in self._rows.values() for entry in rows
            )
        temporary.replace(self.path)


def _items(batch: RecordBatch) -> Iterator[tuple[Record | str, int]]:
    """The records that have tables, and the kinds that are discarded, in their order; metrics are not looked at."""
    raw = b"".join(line for line in batch.data.splitlines(keepends=True) if not line.startswith(_METRIC))
    if not raw:
        return
    rest = RecordBatch(batch.origin, batch.first, batch.stop, raw)
    records = {record.sequence: record for record in rest.records() if record.kind in TABLES}
    for line in rest.lines():
        if (record := records.get(line.sequence)) is not None:
            yield record, line.sequence
        elif line.kind == "run" and line.label == "discard":
            kind = json.loads(bytes(line.body)).get("kind")
            if kind in TABLES:
                yield kind, line.sequence


def _kept(record: Record | str, writer_id: str, sequence: int) -> Kept:
    if isinstance(record, str):
        return Kept(GONE + record, writer_id, sequence, False, [])
    marked = record.kind == "alert" or getattr(record, "severity", None) in ("error", "critical")
    return Kept(record.kind, writer_id, sequence, marked, row_of(record))


def _chosen(rows: list[Kept], budget: int) -> list[int]:
    if len(rows) <= budget:
        return list(range(len(rows)))
    columns = zip(*(entry.row for entry in rows), strict=True)
    series = [column for column in columns if all(value is None or isinstance(value, (int, float)) for value in column)]
    marked = [at for at, entry in enumerate(rows) if entry.marked]
    return kept_rows(len(rows), budget, series=series, marked=marked)
