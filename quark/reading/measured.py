"""The metrics of a run as they are read, by name or key: as arrays, charts and tables."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.best import BestValue, found_best
from ..core.nonfinite import nonfinite_events, nonfinite_of
from ..core.reader import Chart, Series, StoreReader
from ..errors import SessionStoreError
from ..records.event import EventRecord
from ..records.naming import METRIC, metric_key
from ..records.run import RunRecord

if TYPE_CHECKING:
    import pandas


class Measured:
    """The metrics of a run of a store. A metric may be asked for by its name as it was logged, or by its key."""

    _reader: StoreReader
    record: RunRecord

    def keys(self) -> list[str]:
        """The metrics by the names under which they were logged, sorted; ``names`` gives the key of each."""
        return sorted(self.names())

    def names(self) -> dict[str, str]:
        """The key of every metric by its name; a name that follows the grammar of keys is its own key."""
        recorded = self.recorded_names()
        keys = [*self._reader.keys(self.record.id), *recorded]
        return {recorded.get(key, key): key for key in keys}

    def series(self, key: str, *, all_attempts: bool = False) -> Series:
        """A metric as NumPy arrays; a step that several attempts reached shows the latest one unless ``all_attempts``.

        Values that were NaN or infinite are not among them: ``series.nonfinite`` holds these.

        Raises:
            SessionStoreError: the run has no metric of this name or key.
        """
        found = self._reader.series(self.record.id, metric_key(key), all_attempts=all_attempts)
        if not len(found) and metric_key(key) not in self.names().values():
            raise self._no_metric(key)
        return replace(found, key=key, read_nonfinite=lambda: self._nonfinite(found, all_attempts))

    def chart(
        self, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A metric reduced to at most ``buckets`` stretches with their true minimum and maximum."""
        found = self._reader.chart(
            self.record.id, metric_key(key), buckets=buckets, step_min=step_min, step_max=step_max
        )
        return replace(found, key=key)

    def latest(self) -> dict[str, tuple[int | None, float]]:
        """Step and value of the last point of every metric, by name; of one that was never finite the last value."""
        names = self.recorded_names()
        found = self._reader.latest(self.record.id)
        made = {names.get(key, key): point for key, point in found.items()}
        if not names.keys() <= found.keys():
            for key, events in self._nonfinite_events().items():
                if key in names and key not in found:  # others are of batches, not of metrics
                    made[names.get(key, key)] = events[-1].step, float(events[-1].payload["value"])
        return dict(sorted(made.items()))

    def best(self, key: str, *, mode: str | None = None) -> BestValue:
        """The best value of a metric, with the first step and epoch that reached it.

        Args:
            mode: ``max`` or ``min``; by default what the name says: a loss or an error is best when low, an accuracy or
                a reward when high.

        Raises:
            SchemaValidationError: no mode is given and the name does not say which value is best.
            SessionStoreError: the run has no metric of this name or key, or no finite value of it.
        """
        return found_best(self.series(key), mode)

    def nonfinite_counts(self) -> dict[str, int]:
        """How many values of a metric were NaN or infinite, by name, of those that had any."""
        names = self.recorded_names()
        return {names.get(key, key): len(events) for key, events in self._nonfinite_events().items()}

    def counts(self) -> dict[str, int]:
        """How many records of each kind the run has."""
        return dict(self._reader.count(self.record.id))

    def to_pandas(
        self, keys: Iterable[str] | None = None, *, wide: bool = False, all_attempts: bool = False
    ) -> "pandas.DataFrame":
        """The metrics as a data frame.

        Args:
            keys: which metrics, by name or key; all by default.
            wide: False: one row a point, with the columns key, step, epoch, value, timestamp, attempt and rank. True:
                one row a step, with the columns step, epoch and one per key; the last point of a key at a step counts,
                points without a step have a row per epoch. A metric that is itself called step or epoch has the column
                ``metric/step`` or ``metric/epoch``.
            all_attempts: also the points that a later attempt of the run replaced.

        Raises:
            MissingDependencyError: pandas is not installed.
            SessionStoreError: the run has no metric of one of these keys.
        """
        from .table import long_frame, wide_frame

        make = wide_frame if wide else long_frame
        return make(self.series(key, all_attempts=all_attempts) for key in self._chosen(keys))

    def to_parquet(self, path: str | Path, keys: Iterable[str] | None = None, *, all_attempts: bool = False) -> Path:
        """Write the metrics to a Parquet file, one row a point, at least one row group per metric; returns the path.

        One metric at a time is in memory. The file appears when it is complete.

        Raises:
            MissingDependencyError: pyarrow is not installed.
            SessionStoreError: the run has no metric of one of these keys.
        """
        from .table import write_parquet

        series = (self.series(key, all_attempts=all_attempts) for key in self._chosen(keys))
        return write_parquet(Path(path), series, self.record)

    def _chosen(self, keys: Iterable[str] | None) -> list[str]:
        if isinstance(keys, str):
            return [keys]
        return self.keys() if keys is None else list(keys)

    def _no_metric(self, key: object) -> SessionStoreError:
        import difflib

        near = difflib.get_close_matches(str(key), self.keys(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "keys() lists those that it has"
        return SessionStoreError(f"run {self.record.id} has no metric {key!r}; {hint}", code="metric_not_found")

    def recorded_names(self, of: str = METRIC) -> Mapping[str, str]:
        """The names that are not their own keys, by key: of metrics, or of what ``artifact`` or ``event`` records hold.

        A metric that was never finite is among them, whatever its name.
        """
        return self._reader.names(self.record.id).get(of, {})

    def _nonfinite(self, series: Series, all_attempts: bool) -> Series:
        """The values of a metric that were not finite."""
        return nonfinite_of(series, self._nonfinite_events().get(series.key, ()), all_attempts)

    def _nonfinite_events(self) -> dict[str, list[EventRecord]]:
        return nonfinite_events(self._reader, self.record.id)
