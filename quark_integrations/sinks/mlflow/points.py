"""What MLflow's series hold: the points of a batch with a step each, and the epochs."""

from quark import RecordBatch

from ..mirror import LayerSeries, rank_prefix, series_of
from .names import name_for

Sample = tuple[str, float, int, int]
"""Key, value, timestamp in milliseconds since 1970 UTC, step."""

EPOCH_KEY = "quark/epoch"


class Points:
    """Turns batches into samples; ``epochs`` and ``renamed`` are what has to be remembered from batch to batch."""

    def __init__(self, layers: LayerSeries, epochs: dict[str, int], renamed: dict[str, str]) -> None:
        self.layers = layers
        self.epochs = dict(epochs)
        self.renamed = dict(renamed)
        self._keys: dict[str, str] = {}

    def of(self, batch: RecordBatch) -> list[Sample]:
        """The samples of a batch. One that has an epoch and no step stands at its epoch.

        An epoch is a sample of ``quark/epoch`` at the first step that a writer recorded in it.
        """
        made: list[Sample] = []
        prefix, writer = rank_prefix(batch.origin.rank), batch.origin.writer_id
        for key, value, step, epoch, time_ns, _ in series_of(batch, self.layers, nonfinite=True):
            time_ms = time_ns // 1_000_000
            made.append((self._key(key), value, time_ms, step if step is not None else epoch or 0))
            if epoch is not None and step is not None and self.epochs.get(writer) != epoch:
                self.epochs[writer] = epoch
                made.append((prefix + EPOCH_KEY, float(epoch), time_ms, step))
        return made

    def _key(self, name: str) -> str:
        made = self._keys.get(name)
        if made is None:
            made = self._keys[name] = name_for(name)
            if made != name:
                self.renamed[made] = name
        return made
