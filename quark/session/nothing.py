"""The reader of a run that records nothing: it has every answer of a store, and all of them are empty."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..core.control import RunControl
from ..core.reader import Chart, Page, RecordFilter, Series
from ..records.base import Origin, Record
from ..records.line import Line
from ..records.run import ProjectRecord, RunRecord


class NoRecords:
    """A StoreReader without a store; any run that is asked for is as empty as ``run``."""

    def __init__(self, run: RunRecord) -> None:
        self._run = run

    def run(self, run_id: str) -> RunRecord:
        """A run without records."""
        return replace(self._run, id=run_id)

    def runs(self, **filters: Any) -> Page:
        """No runs."""
        return Page((), None)

    def records(self, run_id: str, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """No records."""
        return iter(())

    def keys(self, run_id: str) -> list[str]:
        """No metrics."""
        return []

    def names(self, run_id: str) -> Mapping[str, Mapping[str, str]]:
        """No names."""
        return {}

    def series(self, run_id: str, key: str, *, all_attempts: bool = False) -> Series:
        """A metric without points."""
        import numpy as np

        columns = ("int64", "int64", "float64", "int64", "int64", "int32", "int32")
        return Series(key, *(np.empty(0, dtype=kind) for kind in columns))

    def chart(
        self, run_id: str, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A chart without points."""
        import numpy as np

        columns = ("int64", "int64", "int64", "float64", "float64", "float64", "float64")
        return Chart(key, *(np.empty(0, dtype=kind) for kind in columns))

    def projects(self) -> list[ProjectRecord]:
        """No projects."""
        return []

    def latest(self, run_id: str) -> Mapping[str, tuple[int | None, float]]:
        """No metrics."""
        return {}

    def writers(self, run_id: str) -> list[tuple[Origin, int]]:
        """Nobody wrote."""
        return []

    def count(self, run_id: str) -> Mapping[str, int]:
        """No records."""
        return {}

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = 1000
    ) -> tuple[list[Record], int | None]:
        """No records."""
        return [], None

    def checkpoints(
        self, where: RecordFilter | None = None, limit: int = 1000, **filters: Any
    ) -> tuple[list[Record], int | None]:
        """No checkpoints."""
        return [], None

    def unrecorded(
        self, run_ids: Collection[str], after: int | None = None, limit: int = 1000
    ) -> tuple[list[Record], int | None]:
        """Nothing that was lost."""
        return [], None

    def control(self, run_id: str) -> RunControl:
        """No signs of life, no requests."""
        return RunControl()

    def request_stop(self, run_id: str, grace_period_s: float) -> RunControl:
        """Nobody hears it."""
        return RunControl()

    def request_restart(self, run_id: str, grace_period_s: float) -> RunControl:
        """Nobody hears it."""
        return RunControl()

    def write_line(self, run_id: str, attempt: int, line: Line) -> None:
        """Nothing is kept."""

    def delete_run(self, run_id: str) -> None:
        """Nothing to delete."""

    def deleted_runs(self, *, limit: int | None = None, after: str | None = None) -> Page:
        """No runs."""
        return Page((), None)

    def restore_run(self, run_id: str) -> None:
        """Nothing to restore."""

    def purge(self, older_than_s: float) -> list[str]:
        """Nothing to remove."""
        return []

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """No blueprint."""
        return None

    def set_blueprint(self, project: str, schema: Mapping[str, Any] | None) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing to close."""
