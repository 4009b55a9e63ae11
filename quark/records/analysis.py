"""What the analyzers say: evidence, alerts, health scores and phases."""

from typing import Annotated, ClassVar

from msgspec import Meta

from .base import Document, Record, frozen, kind
from .fields import Epoch, Step, Text, says
from .literals import AlertCategory, AlertSeverity, PhaseName, ScoreKey, ScoreStatus


@frozen
class EvidenceRecord(Document):
    """One observation that an alert, a score or a phase rests on."""

    kind: Annotated[Text, says("what was observed, such as metric or layer_summary")]
    source: Annotated[Text, says("where: the metric key, the layer, the rank")]
    summary: Annotated[str, says("the observation in words")]
    observed_value: Annotated[float | None, says("the number that was seen")] = None
    threshold_value: Annotated[float | None, says("the limit that it was held against")] = None
    step_start: Annotated[int | None, says("first step of the observation")] = None
    step_end: Annotated[int | None, says("last step of the observation")] = None


@kind
@frozen
class AlertRecord(Record):
    """Something is wrong: the fact, what it suggests, and the evidence."""

    kind: ClassVar[str] = "alert"
    label_field: ClassVar[str | None] = "rule_id"
    free_text: ClassVar[tuple[str, ...]] = (
        "title", "summary", "fact", "inference", "subject", "consequence", "actions", "clears",
        "evidence",
    )  # fmt: skip

    rule_id: Annotated[Text, says("the rule that raised it")]
    category: Annotated[AlertCategory, says("the side of training that it concerns")]
    severity: Annotated[AlertSeverity, says("how much it matters")]
    title: Annotated[Text, says("one line for a list")]
    summary: Annotated[str, says("what is going on, in a sentence or two")]
    fact: Annotated[str, says("what was measured")]
    inference: Annotated[str, says("what that suggests")]
    evidence: Annotated[tuple[EvidenceRecord, ...], Meta(min_length=1, description="the observations, at least one")]
    step_start: Annotated[int | None, says("step of the onset")] = None
    step_end: Annotated[int | None, says("last step with evidence")] = None
    subject: Annotated[str | None, says("the layer, parameter, rank, metric or shard that it is about")] = None
    consequence: Annotated[str, says("what comes of it if nothing is done")] = ""
    actions: Annotated[tuple[str, ...], says("what to do, the best first")] = ()
    clears: Annotated[str, says("what would show that it is over")] = ""
    step: Step | None = None
    epoch: Epoch | None = None


@kind
@frozen
class HealthScoreRecord(Record):
    """How one side of the training does, 0 to 100."""

    kind: ClassVar[str] = "health"
    label_field: ClassVar[str | None] = "score_key"
    plural: ClassVar[str] = "health_scores"
    free_text: ClassVar[tuple[str, ...]] = ("evidence",)

    score_key: Annotated[ScoreKey, says("overall, or the category that is scored")]
    category: Annotated[AlertCategory | None, says("the category; null for overall")] = None
    score: Annotated[float, Meta(ge=0, le=100, description="the score, 0 to 100")]
    status: Annotated[ScoreStatus, says("the score in a word")]
    evidence: Annotated[tuple[EvidenceRecord, ...], says("what the score rests on")] = ()
    contributing_alert_ids: Annotated[tuple[str, ...], says("ids of the alerts that lowered it")] = ()
    step: Step | None = None
    epoch: Epoch | None = None


@kind
@frozen
class PhaseRecord(Record):
    """A stretch of steps in which training behaved in one way."""

    kind: ClassVar[str] = "phase"
    label_field: ClassVar[str | None] = "phase_name"
    free_text: ClassVar[tuple[str, ...]] = ("summary", "evidence")

    phase_name: Annotated[PhaseName, says("the regime")]
    display_name: Annotated[Text, says("the regime, for people")]
    summary: Annotated[str, says("what happened in it")]
    step_start: Annotated[int, Meta(ge=0, description="first step of the phase")]
    step_end: Annotated[int, Meta(ge=0, description="last step of the phase, at or after the first")]
    evidence: Annotated[tuple[EvidenceRecord, ...], says("what the phase rests on")] = ()
    step: Step | None = None
    epoch: Epoch | None = None
