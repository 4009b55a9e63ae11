"""Writes a run of another tracker into a store, exactly once: a second import adds only what the source has gained."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.batch import RecordBatch
from ..core.lifecycle import status_of
from ..core.reader import RecordFilter
from ..errors import InvalidRunStateError, RunNotFoundError, SchemaValidationError
from ..records.base import Origin, format_timestamp, parse_timestamp
from ..records.run import ProjectRecord, RunRecord, project_id
from ..session.placement import Placement
from .identity import run_id_of
from .recording import ImportedRun
from .source import SourceRun
from .state import IMPORTED, State

if TYPE_CHECKING:
    from ..storage import SqlStore


LOST = "lost"


@dataclass(slots=True)
class Imported:
    """What an import did.

    Attributes:
        counts: values by what became of them, see ``ImportedRun``.
        added: records that this import added.
        remarks: what the source had lost or does not say, and what could not be kept.
    """

    run_id: str
    project: str
    name: str | None
    location: str
    started_ns: int
    counts: dict[str, int]
    added: int
    remarks: list[str] = field(default_factory=list)


class RunWriter:
    """Imports one run.

    Args:
        kind: the name of the importer.
        project: the project of the run; the source's own if None.
        on_rows: called now and then with the number of rows that were read since the last call.
    """

    def __init__(
        self, store: "SqlStore", placement: Placement, kind: str, source: SourceRun, project: str | None,
        on_rows: Callable[[int], object] = lambda rows: None,
    ) -> None:  # fmt: skip
        self._store = store
        self._placement = placement
        self._kind = kind
        self._source = source
        self._on_rows = on_rows
        self._project = project
        self._run_id = run_id_of(kind, source.source_id)
        self._rejected: list[tuple[bytes, str]] = []
        self._digest = hashlib.sha256()
        self._state = State(source, project)

    def write(self) -> Imported:
        """Bring the run in the store up to date with the source.

        Raises:
            SchemaValidationError: the source is not a continuation of what was imported from it before.
            InvalidRunStateError: the run was imported and then deleted.
        """
        mark, known = self._known()
        before = self._last_import()
        started_ns = self._source.started_ns if known is None else parse_timestamp(known.started_at)
        started_ns -= started_ns % 1000  # a run keeps microseconds
        run = ImportedRun(Origin(self._run_id, f"import-{self._kind}"), 0, started_ns)
        self._start(run, started_ns)
        try:
            last_ns = self._rows(run, before, started_ns)
        except SchemaValidationError:
            if known is None or known.status == "running":
                self._break_off(run.now)
            raise
        stop = run.journal.next
        if stop < mark:
            raise self._changed_error(f"it holds {stop - 1:,} records now, and {mark - 1:,} were imported")
        added = max(stop - mark, 0) + self._finish(run, before, last_ns)
        return Imported(
            self._run_id, self._store.run(self._run_id).project_name, self._state.name, self._source.location,
            started_ns, run.counts, added, self._remarks(),
        )  # fmt: skip

    def _known(self) -> tuple[int, RunRecord | None]:
        mark = self._store.position(self._run_id, f"import-{self._kind}")
        try:
            return mark, self._store.run(self._run_id)
        except RunNotFoundError:
            if not mark:
                return 0, None
            raise InvalidRunStateError(
                f"the run {self._run_id} was imported from {self._source.location} before and then deleted; bring it "
                f"back with: quark restore {self._run_id}, or remove it for good with: quark purge"
            ) from None

    def _last_import(self) -> dict[str, Any]:
        where = RecordFilter(where={"event_type": IMPORTED})
        try:
            events = list(self._store.records(self._run_id, "event", where))
        except RunNotFoundError:
            return {}
        return dict(events[-1].payload) if events else {}  # type: ignore[attr-defined]

    def _start(self, run: ImportedRun, started_ns: int) -> None:
        state, at = self._state, format_timestamp(started_ns)
        project = ProjectRecord(
            id=project_id(state.project), name=state.project, root_path=str(self._placement.store_root), created_at=at,
            updated_at=at,
        )  # fmt: skip
        parent_id = self._source.parent_id
        parent = None if parent_id is None else run_id_of(self._kind, parent_id)
        imported = {"kind": self._kind, "location": self._source.location, "run": self._source.source_id}
        record = RunRecord(
            id=self._run_id, name=state.name, project_id=project.id, project_name=project.name, status="running",
            parent_run_id=parent, lineage_root_run_id=self._root_of(parent), tags=(), config=state.config,
            run_path=str(self._placement.run_path(self._run_id)), started_at=at, updated_at=at,
            environment={**state.environment, "imported_from": imported},
        )  # fmt: skip
        run.lifecycle("start", {"project": project.to_dict(), "run": record.to_dict()})
        self._append(run.journal.take())

    def _root_of(self, parent: str | None) -> str:
        """The first run of the line: that of the parent, if it is there already."""
        try:
            return self._run_id if parent is None else self._store.run(parent).lineage_root_run_id
        except RunNotFoundError:
            return parent or self._run_id

    def _rows(self, run: ImportedRun, before: dict[str, Any], started_ns: int) -> int:
        """Import the rows; returns the time of the last one."""
        last_ns, rows, sealed = started_ns, 0, 0
        for row in self._source.rows():
            run.now = started_ns if row.time_ns is None else row.time_ns
            last_ns = max(last_ns, run.now)
            run.log_row(row)
            rows += 1
            if run.journal.is_full:
                self._take(run, before)
                self._on_rows(rows)
                rows, sealed = 0, sealed + 1
                if sealed % 16 == 0:
                    self._store.seal()
        self._take(run, before)
        self._on_rows(rows)
        return last_ns

    def _break_off(self, now: int) -> None:
        """The source cannot be read to its end: the run has what came before, and is not running."""
        writer_id = f"import-{self._kind}-state"
        state = ImportedRun(Origin(self._run_id, writer_id), self._store.position(self._run_id, writer_id), now)
        state.lifecycle("end", {"status": status_of(LOST), "reason": LOST, "ended_at": format_timestamp(now)})
        self._append(state.journal.take())

    def _take(self, run: ImportedRun, before: dict[str, Any]) -> None:
        """Append a batch, once what was imported before is known to be the beginning of the source."""
        lines, first = run.journal.lines, run.journal.first
        known = before.get("records", 0)
        inside = min(max(known - first, 0), len(lines))
        for line in lines[:inside]:
            self._digest.update(line)
        if first < known <= run.journal.next and self._digest.hexdigest() != before.get("digest"):
            raise self._changed_error("what was imported of it reads differently now")
        for line in lines[inside:]:
            self._digest.update(line)
        batch = run.journal.take()
        if batch.stop > batch.first:
            self._append(batch)

    def _append(self, batch: RecordBatch) -> None:
        self._store.append(batch)
        self._rejected += batch.rejected

    def _finish(self, run: ImportedRun, before: dict[str, Any], last_ns: int) -> int:
        """Write what changed of the run as a whole; returns the number of records."""
        ended_ns = last_ns if self._source.ended_ns is None else self._source.ended_ns
        self._state = State(self._source, self._project)  # reading the rows may have told more
        digests = self._state.digests(ended_ns)
        changed = {name for name, digest in digests.items() if before.get("state", {}).get(name) != digest}
        content = {
            "kind": self._kind, "location": self._source.location, "records": run.journal.next,
            "digest": self._digest.hexdigest(), "state": digests, **run.counts, "remarks": self._remarks()[:100],
        }  # fmt: skip
        if not changed and all(before.get(name) == content[name] for name in ("records", "digest")):
            return 0
        writer_id = f"import-{self._kind}-state"
        first = self._store.position(self._run_id, writer_id)
        state = ImportedRun(Origin(self._run_id, writer_id), first, ended_ns)
        self._state.write(state, self._store.run(self._run_id), changed, is_new=not before)
        state.event(IMPORTED, {**content, "imported_at": format_timestamp(time.time_ns())})
        batch = state.journal.take()
        self._append(batch)
        return batch.stop - batch.first

    def _remarks(self) -> list[str]:
        refused = (
            [f"the store refused {len(self._rejected):,} records: {self._rejected[0][1]}"] if self._rejected else []
        )
        return [*self._source.remarks, *self._state.remarks, *refused]

    def _changed_error(self, reason: str) -> SchemaValidationError:
        return SchemaValidationError(
            f"{self._source.location} is no continuation of what was imported from it: {reason}; to import it as it is "
            f"now, remove the run first: quark delete {self._run_id}, then quark purge"
        )
