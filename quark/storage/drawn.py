"""The part of a store that answers with pictures in mind: charts of metrics, tables of runs."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ..core.reader import Chart

if TYPE_CHECKING:
    import sqlalchemy as sa

    from .budget import PageBudget
    from .charts import AxisChart, GroupChart
    from .curves import Window
    from .database import Database
    from .runtable import RunTable


class Drawn:
    """The part of a store that draws."""

    _database: "Database"

    def _number(self, connection: "sa.Connection", run_id: str) -> int:
        raise NotImplementedError("a store knows the numbers of its runs")

    def chart(
        self, run_id: str, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A metric reduced to at most ``buckets`` stretches of steps, each with its true minimum and maximum.

        Of a step that several attempts reached the latest one counts. Buckets are about equally wide, and only those
        that hold points are there. A point without a step is left out, unless all are: then epochs take their place.
        """
        from .chart import read_chart

        with self._database.reading() as connection:
            number = self._number(connection, run_id)
            return read_chart(connection, number, key, buckets=buckets, step_min=step_min, step_max=step_max)

    def charts(self, run_id: str, keys: Sequence[str], window: "Window") -> "list[AxisChart]":
        """A chart for each of the metrics of a run; an empty one for a metric that the run does not have."""
        from .charts import read_charts

        with self._database.reading() as connection:
            return read_charts(connection, self._number(connection, run_id), keys, window)

    def group_charts(
        self, groups: Sequence[Sequence[str]], keys: Sequence[str], window: "Window"
    ) -> "list[list[GroupChart]]":
        """For each group of runs a chart for each of the metrics."""
        from .charts import read_group_charts

        with self._database.reading() as connection:
            numbers = [[self._number(connection, run_id) for run_id in group] for group in groups]
            return read_group_charts(connection, numbers, keys, window)

    def run_table(
        self, query: str = "", *, columns: Collection[str] = (), sort: str = "-started_at", limit: int = 100,
        after: str | None = None, projects_only: Collection[str] | None = None, budget: "PageBudget | None" = None,
    ) -> "RunTable":  # fmt: skip
        """A page of the runs that a query finds, with the values of columns.

        Args:
            query: see ``Store.runs``, ``where``.
            columns: such as ``config.lr``, ``last:val/loss``, ``min:val/loss``, ``best:val/acc``.
            sort: a column or a field of the run, with ``-`` for descending; runs without a value come last.
            limit, after, projects_only, budget: see ``runs``.
        """
        from .runtable import read_table

        with self._database.reading() as connection:
            return read_table(
                connection, query, columns=columns, sort=sort, limit=limit, after=after, projects_only=projects_only,
                budget=budget,
            )  # fmt: skip
