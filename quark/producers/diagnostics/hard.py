"""Which batches are hard: by their place among all losses, by spread, by length, and by what was expected of them."""

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...records.batch import BatchDiagnosticRecord
from ...records.configs import DataDiagnosticsConfig
from .expected import ExpectedLoss
from .results import HardBatchFinding, LossSummary

if TYPE_CHECKING:
    import numpy as np

_NAN = math.nan


@dataclass(frozen=True, slots=True)
class Mark:
    """A hard batch by its place in the stream; the record itself is read again when it is wanted."""

    place: int
    loss: float
    expected_loss: float | None
    robust_z: float | None
    percentile: float
    reasons: tuple[str, ...]

    @property
    def rank(self) -> tuple[float, float]:
        """Hardest first: by the distance from the expected loss, then by the loss. Nothing expected is neutral."""
        return (0.0 if self.robust_z is None else -self.robust_z, -self.loss)

    def finding(self, record: BatchDiagnosticRecord) -> HardBatchFinding:
        """The mark with its record."""
        return HardBatchFinding(
            record=record, loss=self.loss, expected_loss=self.expected_loss, robust_z=self.robust_z,
            percentile=self.percentile, reasons=self.reasons,
        )  # fmt: skip


class LossStream:
    """Takes the batches of a run in the order of recording and marks the hard ones: some 40 bytes a batch.

    Each rank is a stream of its own for the expected loss: ranks arrive in stretches, and a stretch of late losses
    says nothing of the early ones of another rank.
    """

    def __init__(self, config: DataDiagnosticsConfig) -> None:
        self._config = config
        self._streams: dict[int, ExpectedLoss] = {}
        self._taken = 0
        self._places = array("q")
        self._losses = array("d")
        self._expected = array("d")
        self._robust = array("d")
        self._lengths = array("d")
        self._residual_marks: set[int] = set()

    def add(self, record: BatchDiagnosticRecord, *, counted: bool = True) -> None:
        """Take a batch in; one that is not ``counted`` is outside the range and only tells what to expect."""
        stream = self._streams.get(record.origin.rank)
        if stream is None:
            stream = self._streams[record.origin.rank] = ExpectedLoss()
        judged = stream.judge(record.loss)
        if counted:
            if judged is not None and judged.hard:
                self._residual_marks.add(len(self._places))
            self._places.append(self._taken)
            self._losses.append(record.loss)
            self._expected.append(_NAN if judged is None else judged.expected)
            self._robust.append(_NAN if judged is None else judged.robust_z)
            self._lengths.append(max(record.sequence_lengths) if record.sequence_lengths else _NAN)
        self._taken += 1

    def summary(self) -> LossSummary | None:
        """The losses in the range; None if there are none."""
        import numpy as np

        if not self._losses:
            return None
        losses = np.asarray(self._losses)
        with np.errstate(over="ignore", invalid="ignore"):  # losses near the largest float have no spread that fits
            return LossSummary(
                count=len(losses), first=float(losses[0]), last=float(losses[-1]), min=float(losses.min()),
                max=float(losses.max()), mean=float(losses.mean()), std=float(losses.std()),
                median=float(np.median(losses)),
                hard_batch_threshold=float(np.quantile(losses, self._config.hard_batch_percentile)),
            )  # fmt: skip

    def marks(self, limit: int | None = None) -> list[Mark]:
        """The hard batches in the range, hardest first, at most ``limit``."""
        import numpy as np

        if not self._losses:
            return []
        losses = np.asarray(self._losses)
        ordered = np.sort(losses)
        with np.errstate(over="ignore", invalid="ignore"):
            reasons = self._reasons(losses)
        marks = [
            Mark(
                self._places[at], self._losses[at], _known(self._expected[at]), _known(self._robust[at]),
                float(np.searchsorted(ordered, self._losses[at], side="right")) / len(ordered), tuple(reasons[at]),
            )
            for at in sorted(reasons)
        ]  # fmt: skip
        return sorted(marks, key=lambda mark: mark.rank)[:limit]

    def _reasons(self, losses: "np.ndarray") -> dict[int, list[str]]:
        import numpy as np

        config = self._config
        at_least = np.quantile(losses, config.hard_batch_percentile)
        # Where most losses are equal the quantile is one of them, and none of those is hard.
        found = {"high_loss_percentile": (losses >= at_least) & (losses > np.median(losses))}
        found["loss_z"], found["loss_iqr"] = self._outliers(losses)
        residual = np.zeros(len(losses), dtype=bool)
        residual[list(self._residual_marks)] = True
        found["loss_residual"] = residual
        found["sequence_length_z"], found["sequence_length_iqr"] = self._outliers(np.asarray(self._lengths))
        reasons: dict[int, list[str]] = {}
        for reason, chosen in found.items():
            for at in np.flatnonzero(chosen):
                reasons.setdefault(int(at), []).append(reason)
        return reasons

    def _outliers(self, values: "np.ndarray") -> tuple[Any, Any]:
        """Which values are too far above the mean, and which above the upper fence; those that are NaN are left out."""
        import numpy as np

        config = self._config
        there = values[~np.isnan(values)]
        none = np.zeros(len(values), dtype=bool)
        if len(there) < config.min_batches_for_outlier_detection:
            return none, none
        spread = there.std()
        far = values - there.mean() >= config.outlier_z_score_threshold * spread if spread > 0.0 else none
        low, high = np.quantile(there, (0.25, 0.75))
        return far, values > high + config.outlier_iqr_multiplier * (high - low)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
