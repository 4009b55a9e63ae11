"""A service's runs as every store answers them."""

from base64 import b64decode
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

import msgspec

from ..core.choice import (
    TEXTS,
    CheckpointFilters,
    RunFilters,
    check_fields,
    check_sort,
    checked_checkpoints,
    checked_choice,
)
from ..core.reader import SERIES_COLUMNS, Chart, Page, RecordFilter, Series
from ..errors import SchemaValidationError
from ..records.base import COMMON_FIELDS, Origin, Record
from ..records.grammar import check_index
from ..records.kinds import KINDS
from ..records.line import Line, build, encode
from ..records.ready import ready
from ..records.run import ProjectRecord, RunRecord
from .blueprints import RemoteBlueprints
from .connection import Connection, Several
from .control import RemoteControls
from .paths import path_of_run, path_of_writer
from .writer import RemoteWriter

if TYPE_CHECKING:
    from ..records.artifact import ArtifactRecord

PAGE = 1000
_TYPES = {
    "steps": "<i8", "epochs": "<i8", "values": "<f8", "timestamps": "<i8", "sequences": "<i8", "attempts": "<i4",
    "ranks": "<i4",
}  # fmt: skip
_CHART_TYPES = {
    "step_first": "i8", "step_last": "i8", "count": "i8", "minimum": "f8", "maximum": "f8", "mean": "f8", "last": "f8",
}  # fmt: skip
_TOLD_BESIDE = ("writer_id", "rank", "attempt", "time_ns")


class RemoteStore(RemoteControls, RemoteBlueprints):
    """Reads runs of a service; everything is asked for anew and paged through to its end."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __repr__(self) -> str:
        return f"RemoteStore({self.connection.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def run(self, run_id: str) -> RunRecord:
        """The run; RunNotFoundError if there is none."""
        return run_record(self.connection.get(path_of_run(run_id)))

    def runs(
        self, *, sort: str = "-started_at", offset: int = 0, limit: int | None = None, after: str | None = None,
        id_after: str | None = None, select: Collection[str] | None = None, **filters: Unpack[RunFilters],
    ) -> Page:  # fmt: skip
        """A page of runs, or all of them without ``limit``."""
        chosen, fields = checked_choice(filters), check_fields(select)
        if any(chosen.get(one) == [] for one in TEXTS):
            return Page([], None)
        chosen.update({one: Several(chosen[one]) for one in TEXTS if one in chosen})
        if "config" in chosen:
            chosen["config"] = dict(chosen["config"])
        check_sort(sort)
        check_index(limit, "limit")
        first = {"offset": check_index(offset, "offset") or None, "id_after": id_after}
        if fields is not None:
            chosen["select"] = Several(fields or ("id",))
        found: list[Any] = []
        while True:
            wanted = PAGE if limit is None else min(PAGE, limit - len(found))
            if wanted <= 0:
                return Page(found, after)
            answer = self.connection.get("/runs", **chosen, **first, sort=sort, limit=wanted, after=after)
            found += [run_record(told) if fields is None else _selected(told, fields) for told in answer["runs"]]
            after, first = answer["next"], {}
            if after is None:
                return Page(found, None)

    def deleted_runs(self, *, limit: int | None = None, after: str | None = None) -> Page:
        """A page of the runs that are deleted and not purged yet; needs a key that reaches all projects."""
        answer = self.connection.get("/deleted", limit=PAGE if limit is None else min(limit, PAGE), after=after)
        return Page([run_record(told) for told in answer["runs"]], answer["next"])

    def projects(self) -> list[ProjectRecord]:
        """The projects that have runs, by name."""
        return [
            msgspec.convert(project, ready(ProjectRecord)) for project in self.connection.get("/projects")["projects"]
        ]

    def keys(self, run_id: str) -> list[str]:
        """The metric keys of a run, sorted."""
        return self._overview(run_id)["keys"]

    def names(self, run_id: str) -> dict[str, dict[str, str]]:
        """The names that the run recorded, by what they are of and by key; services of older releases know none."""
        return self._overview(run_id).get("names", {})

    def latest(self, run_id: str) -> dict[str, tuple[int | None, float]]:
        """Step and value of the last point of every metric."""
        return {key: (step, value) for key, (step, value) in self._overview(run_id)["latest"].items()}

    def count(self, run_id: str) -> dict[str, int]:
        """How many records of each kind the run has."""
        return self._overview(run_id)["counts"]

    def writers(self, run_id: str) -> list[tuple[Origin, int]]:
        """The processes that wrote the run, each with the number that is expected next of it."""
        return [
            (Origin(run_id, told["writer_id"], told["rank"], told["attempt"]), told["next"])
            for told in self._overview(run_id)["writers"]
        ]

    def position(self, run_id: str, writer_id: str) -> int:
        """The number that the service expects next of a writer; 0 for one that it does not know."""
        return self.connection.get(path_of_writer(run_id, writer_id))["next"]

    def records(self, run_id: str, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """The records of a kind in the order of arrival, read page by page."""
        wanted = where or RecordFilter()
        left = wanted.limit
        while left is None or left > 0:
            found, cursor = self.records_page(run_id, kind, replace(wanted, limit=None), min(PAGE, left or PAGE))
            yield from found
            if cursor is None:
                return
            left = None if left is None else left - len(found)
            wanted = replace(wanted, after=cursor, offset=0)

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = PAGE
    ) -> tuple[list[Record], int | None]:
        """Up to ``limit`` records, and what to pass as ``RecordFilter.after`` for those behind; None at the end."""
        wanted = where or RecordFilter()
        fields = {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.where.items()}
        path = f"{path_of_run(run_id)}/records/{quote(kind, safe='')}"
        return self._page(path, kind, wanted, limit, {"where": fields or None})

    def checkpoints(
        self, where: RecordFilter | None = None, limit: int = PAGE, **filters: Unpack[CheckpointFilters]
    ) -> tuple[list[Record], int | None]:
        """The last ``checkpoint`` event of each place in each run, up to ``limit`` of them, and the cursor behind."""
        chosen = checked_checkpoints(filters)
        if [] in chosen.values():
            return [], None
        more = {name: Several(value) for name, value in chosen.items()}
        return self._page("/checkpoints", "event", where or RecordFilter(), limit, more)

    def unrecorded(
        self, run_ids: Collection[str], after: int | None = None, limit: int = PAGE
    ) -> tuple[list[Record], int | None]:
        """The last ``run_unrecorded`` event of each process of some runs, and the cursor behind them."""
        if not run_ids:
            return [], None
        return self._page("/unrecorded", "event", RecordFilter(after=after), limit, {"run": Several(run_ids)})

    def _page(
        self, path: str, kind: str, wanted: RecordFilter, limit: int, more: dict[str, Any]
    ) -> tuple[list[Record], int | None]:
        """A page of records within the bounds of a filter and in its order."""
        if limit < 1:
            raise SchemaValidationError(f"limit must be at least 1, got {limit}")
        if () in (wanted.step, wanted.epoch):
            return [], None
        answer = self.connection.get(
            path, **more, step=_each(wanted.step), step_min=wanted.step_min, step_max=wanted.step_max,
            epoch=_each(wanted.epoch), epoch_min=wanted.epoch_min, epoch_max=wanted.epoch_max,
            created_after=wanted.created_after, created_before=wanted.created_before,
            sort=None if wanted.sort == "arrival" else wanted.sort, offset=wanted.offset or None, after=wanted.after,
            limit=min(limit, wanted.limit or limit, PAGE),
        )  # fmt: skip
        cursor = answer["next"]
        return [_record(kind, told) for told in answer["records"]], None if cursor is None else int(cursor)

    def series(self, run_id: str, key: str, *, all_attempts: bool = False) -> Series:
        """A metric as arrays; no points for a key that was never recorded."""
        import numpy as np

        parts: list[dict[str, Any]] = []
        after: int | None = None
        while True:
            answer = self.connection.get(
                f"{path_of_run(run_id)}/series", key=key, all_attempts=all_attempts, after=after
            )
            parts.append({name: np.frombuffer(b64decode(answer[name]), dtype) for name, dtype in _TYPES.items()})
            after = answer["next"]
            if after is None:
                return Series(key, *(np.concatenate([part[name] for part in parts]) for name in SERIES_COLUMNS))

    def chart(
        self, run_id: str, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A metric reduced to at most ``buckets`` stretches with their true minimum and maximum."""
        import numpy as np

        told = self.connection.get(
            f"{path_of_run(run_id)}/chart", key=key, buckets=buckets, step_min=step_min, step_max=step_max
        )
        return Chart(key=key, **{name: np.array(told[name], dtype) for name, dtype in _CHART_TYPES.items()})

    def write_line(self, run_id: str, attempt: int, line: Line) -> None:
        """Store one line of a run, as a writer of its own; needs a key with the scope write."""
        self.run(run_id)  # to write to an unknown run would begin one
        RemoteWriter(self.connection, run_id, attempt).write([(0, lambda number: encode(line))])

    def payload(self, run: RunRecord, artifact: "ArtifactRecord") -> bytes:
        """The payload of an artifact."""
        return self.connection.bytes_of(f"{path_of_run(run.id)}/artifacts/{quote(artifact.id, safe='')}/payload")

    def _overview(self, run_id: str) -> dict[str, Any]:
        return self.connection.get(f"{path_of_run(run_id)}/overview")


def _each(numbers: Any) -> Any:
    """A list of numbers as a query that is sent once for each."""
    return Several(map(str, numbers)) if isinstance(numbers, tuple) else numbers


def _selected(told: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Fields of a run as a store has them: tags are a tuple."""
    return {name: tuple(told[name]) if name == "tags" else told[name] for name in fields}


def run_record(told: dict[str, Any]) -> RunRecord:
    """A run as a service tells of it; what some services call active is running."""
    return msgspec.convert({**told, "status": "running"} if told["status"] == "active" else told, ready(RunRecord))


def _record(kind: str, told: dict[str, Any]) -> Record:
    origin = Origin(told["run_id"], told["writer_id"], told["rank"], told["attempt"])
    fields = {name: value for name, value in told.items() if name not in COMMON_FIELDS and name not in _TOLD_BESIDE}
    record = build(KINDS[kind], origin, told["sequence"], told["time_ns"], fields)
    object.__delattr__(record, "id")  # made when it is read: that of a metric holds its key
    return record
