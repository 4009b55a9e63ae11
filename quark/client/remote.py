"""A service's runs as every store answers them."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from ..core.choice import TEXTS, Moment, Texts, check_sort, checked_choice
from ..core.reader import Chart, Page, RecordFilter, Series
from ..errors import SchemaValidationError
from ..records.base import COMMON_FIELDS, Origin, Record
from ..records.line import KINDS, build
from ..records.run import ProjectRecord, RunRecord
from .blueprints import RemoteBlueprints
from .connection import Connection, Several
from .control import RemoteControls
from .paths import path_of_run, path_of_writer

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
        self, *, ids: Texts = None, project: Texts = None, status: Texts = None, tag: Texts = None, name: Texts = None,
        config: Mapping[str, Any] | None = None, started_after: Moment = None, started_before: Moment = None,
        sort: str = "-started_at", limit: int | None = None, after: str | None = None,
    ) -> Page:  # fmt: skip
        """A page of runs, or all of them without ``limit``."""
        chosen = checked_choice({
            "ids": ids, "project": project, "status": status, "tag": tag, "name": name,
            "config": dict(config) if isinstance(config, Mapping) else config, "started_after": started_after,
            "started_before": started_before,
        })  # fmt: skip
        if any(chosen.get(one) == [] for one in TEXTS):
            return Page([], None)
        chosen.update({one: Several(chosen[one]) for one in TEXTS if one in chosen})
        check_sort(sort)
        found: list[RunRecord] = []
        while True:
            wanted = PAGE if limit is None else min(PAGE, limit - len(found))
            if wanted <= 0:
                return Page(found, after)
            answer = self.connection.get(
                "/runs", **chosen, sort=sort, limit=wanted, after=after,
            )  # fmt: skip
            found += [run_record(told) for told in answer["runs"]]
            after = answer["next"]
            if after is None:
                return Page(found, None)

    def deleted_runs(self, *, limit: int | None = None, after: str | None = None) -> Page:
        """A page of the runs that are deleted and not purged yet; needs a key that reaches all projects."""
        answer = self.connection.get("/deleted", limit=PAGE if limit is None else min(limit, PAGE), after=after)
        return Page([run_record(told) for told in answer["runs"]], answer["next"])

    def projects(self) -> list[ProjectRecord]:
        """The projects that have runs, by name."""
        return [msgspec.convert(project, ProjectRecord) for project in self.connection.get("/projects")["projects"]]

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
            wanted = replace(wanted, after=cursor)

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = PAGE
    ) -> tuple[list[Record], int | None]:
        """Up to ``limit`` records, and what to pass as ``RecordFilter.after`` for those behind; None at the end."""
        wanted = where or RecordFilter()
        if limit < 1:
            raise SchemaValidationError(f"limit must be at least 1, got {limit}")
        fields = {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.where.items()}
        answer = self.connection.get(
            f"{path_of_run(run_id)}/records/{quote(kind, safe='')}", step=wanted.step, step_min=wanted.step_min,
            step_max=wanted.step_max, epoch=wanted.epoch, epoch_min=wanted.epoch_min, epoch_max=wanted.epoch_max,
            where=fields or None, after=wanted.after, limit=min(limit, wanted.limit or limit, PAGE),
        )  # fmt: skip
        cursor = answer["next"]
        return [_record(kind, run_id, told) for told in answer["records"]], None if cursor is None else int(cursor)

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
                columns = {name: np.concatenate([part[name] for part in parts]) for name in _TYPES}
                return Series(key=key, **columns)

    def chart(
        self, run_id: str, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A metric reduced to at most ``buckets`` stretches with their true minimum and maximum."""
        import numpy as np

        told = self.connection.get(
            f"{path_of_run(run_id)}/chart", key=key, buckets=buckets, step_min=step_min, step_max=step_max
        )
        return Chart(key=key, **{name: np.array(told[name], dtype) for name, dtype in _CHART_TYPES.items()})

    def payload(self, run: RunRecord, artifact: "ArtifactRecord") -> bytes:
        """The payload of an artifact."""
        return self.connection.bytes_of(f"{path_of_run(run.id)}/artifacts/{quote(artifact.id, safe='')}/payload")

    def _overview(self, run_id: str) -> dict[str, Any]:
        return self.connection.get(f"{path_of_run(run_id)}/overview")


def run_record(told: dict[str, Any]) -> RunRecord:
    """A run as a service tells of it; what some services call active is running."""
    return msgspec.convert({**told, "status": "running"} if told["status"] == "active" else told, RunRecord)


def _record(kind: str, run_id: str, told: dict[str, Any]) -> Record:
    origin = Origin(run_id, told["writer_id"], told["rank"], told["attempt"])
    fields = {name: value for name, value in told.items() if name not in COMMON_FIELDS and name not in _TOLD_BESIDE}
    record = build(KINDS[kind], origin, told["sequence"], told["time_ns"], fields)
    object.__delattr__(record, "id")  # made when it is read: that of a metric holds its key
    return record
