"""What the data diagnostics answer: frozen values, each field with its meaning."""

from typing import Annotated

from ...records.base import Document, frozen
from ...records.batch import BatchDiagnosticRecord
from ...records.fields import Count, Ratio, says


@frozen
class LossSummary(Document):
    """The losses of the batches in the range; the same for any order of their arrival but ``first`` and ``last``."""

    count: Annotated[Count, says("number of batches")]
    first: Annotated[float, says("loss of the first batch, in the order of recording")]
    last: Annotated[float, says("loss of the last batch, in the order of recording")]
    min: Annotated[float, says("lowest loss")]
    max: Annotated[float, says("highest loss")]
    mean: Annotated[float, says("mean of the losses")]
    std: Annotated[float, says("standard deviation of the losses, of the population")]
    median: Annotated[float, says("median of the losses")]
    hard_batch_threshold: Annotated[float, says("quantile of the losses at hard_batch_percentile")]


@frozen
class ExposureSummary(Document):
    """Which samples and classes the training has seen, over all ranks and attempts of the run."""

    batches_seen: Annotated[Count, says("number of batches")]
    samples_seen: Annotated[Count, says("number of samples, counted every time they were seen")]
    unique_samples: Annotated[Count | None, says("number of different sample ids; null if no batch had ids")]
    repeated_samples: Annotated[Count | None, says("number of sample ids seen more than once; null if none had ids")]
    max_repeats: Annotated[
        Count | None, says("how often the most frequent id was seen; a lower bound if not exact; null without ids")
    ]
    exact: Annotated[bool, says("whether the numbers of ids are counted; false: estimated, with an error of 0.4 %")]
    class_counts: Annotated[dict[str, Count], says("number of samples per class, most frequent class first")]
    class_fractions: Annotated[dict[str, Ratio], says("share of the samples per class, 0 to 1")]
    imbalance_ratio: Annotated[float | None, says("count of the most frequent over the rarest class; null without any")]
    batches_without_ids: Annotated[Count, says("number of batches whose samples had no ids")]
    step_start: Annotated[Count | None, says("lowest step of the batches; null if none had a step")]
    step_end: Annotated[Count | None, says("highest step of the batches")]
    epoch_start: Annotated[Count | None, says("lowest epoch of the batches; null if none had an epoch")]
    epoch_end: Annotated[Count | None, says("highest epoch of the batches")]


@frozen
class HardBatchFinding(Document):
    """A batch that stands out, and by which rules."""

    record: Annotated[BatchDiagnosticRecord, says("the batch")]
    loss: Annotated[float, says("its loss")]
    expected_loss: Annotated[
        float | None, says("the loss that the batches before it let expect; null in the first 40 batches of a rank")
    ]
    robust_z: Annotated[
        float | None, says("how many robust standard deviations its log loss is above the expected one; null as above")
    ]
    percentile: Annotated[Ratio, says("share of the batches in the range whose loss is not higher, 0 to 1")]
    reasons: Annotated[tuple[str, ...], says("the rules that it broke, see docs/data-diagnostics.md")]


@frozen
class DataDiagnosticsSummary(Document):
    """Losses, exposure and the hardest batches of a range."""

    loss_summary: Annotated[LossSummary | None, says("the losses; null if there is no batch in the range")]
    exposure: Annotated[ExposureSummary, says("samples and classes")]
    hard_batches: Annotated[tuple[HardBatchFinding, ...], says("the hardest batches, hardest first")]
