"""What a rule is: it is fed frames, holds a few numbers, and says alerts, or why it says nothing."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

from ...records.analysis import AlertRecord, EvidenceRecord
from ...records.base import Origin
from ...records.line import build
from ...records.literals import AlertCategory, AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig, AnalyzerThresholds
from ..course import Course
from ..frames import Frame
from ..robust import Gain
from ..roles import Roles
from ..stretch import Losses

SEVERITIES: tuple[str, ...] = get_args(AlertSeverity)
_NOWHERE = Origin("run", "writer")
"""Whose record an alert is while it is checked."""

LOSS, VALIDATION, PROBE, TIMING, TELEMETRY, BATCH, EVENT, OTHER, ANY = (
    "loss", "validation", "probe", "timing", "telemetry", "batch", "event", "other", "any"
)  # fmt: skip
"""What a frame may hold; a rule is fed only the frames that hold one of its topics."""

TOPICS = (LOSS, VALIDATION, PROBE, TIMING, TELEMETRY, BATCH, EVENT, OTHER, ANY)


@dataclass(slots=True)
class Finding:
    """An alert before it is a record.

    Attributes:
        episode: counts the times that the rule spoke up about the subject again after it had cleared.
        time_ns: when the frame that it rests on was recorded.
    """

    rule_id: str
    category: AlertCategory
    severity: AlertSeverity
    title: str
    fact: str
    inference: str
    evidence: tuple[EvidenceRecord, ...]
    consequence: str
    actions: tuple[str, ...]
    clears: str
    subject: str | None = None
    step_start: int | None = None
    step_end: int | None = None
    epoch: int | None = None
    rank: int = 0
    topic: str | None = None
    episode: int = 0
    time_ns: int = 0

    @property
    def key(self) -> tuple[str, str | None, int]:
        """What the alert is about; a later finding of the same key is the same alert, grown worse."""
        return self.rule_id, self.topic, self.episode


def alert_fields(finding: Finding) -> dict[str, Any]:
    """The fields of an AlertRecord."""
    return {
        "rule_id": finding.rule_id, "category": finding.category, "severity": finding.severity,
        "title": finding.title, "summary": f"{finding.fact} {finding.inference}", "fact": finding.fact,
        "inference": finding.inference, "evidence": finding.evidence, "step_start": finding.step_start,
        "step_end": finding.step_end, "subject": finding.subject, "consequence": finding.consequence,
        "actions": finding.actions, "clears": finding.clears,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What a rule has to say at the end.

    Attributes:
        findings: its alerts, each in its most severe form.
        abstained: why it could not judge; None if it could.
    """

    rule_id: str
    category: AlertCategory
    findings: tuple[Finding, ...]
    abstained: str | None = None


@dataclass(slots=True)
class Seen:
    """What all rules know of the run so far.

    Attributes:
        course: of the training loss of rank 0.
        loss, validation: the finite losses of this frame, None where it has none.
        train_eval, accuracy, validation_accuracy, learning_rate, gradient_norm, reward: other values of this frame.
        first_accuracy, best_accuracy: the first and the highest accuracy, of training or validation, as a share.
        broken: whether the training loss of this frame is NaN or infinite.
        steps: frames with a loss or a probe so far: the training steps that were seen.
        has_parameters: whether summaries of parameters were seen.
        rewards: of a return, a reward or a rate of success, where the run has one.
        raised: rules that are up.
        filled: which values this frame has.
    """

    roles: Roles
    course: Course = field(default_factory=Course)
    loss: float | None = None
    validation: float | None = None
    train_eval: float | None = None
    accuracy: float | None = None
    validation_accuracy: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    step_time: float | None = None
    data_time: float | None = None
    compute_time: float | None = None
    sync_time: float | None = None
    first_accuracy: float | None = None
    best_accuracy: float | None = None
    broken: bool = False
    steps: int = 0
    has_parameters: bool = False
    reward: float | None = None
    rewards: Gain = field(default_factory=Gain)
    raised: set[str] = field(default_factory=set)
    filled: list[str] = field(default_factory=list)

    @property
    def rewarded(self) -> bool:
        """Whether what is to be reached is reached more than in the beginning."""
        return self.rewards.grown

    @property
    def unopposed(self) -> bool:
        """Whether nothing was recorded that could contradict a default limit: neither a loss nor a parameter."""
        return self.course.count == 0 and not self.has_parameters

    def reached(self, accuracy: float) -> None:
        """Take in an accuracy, a share or in percent."""
        share = accuracy / 100.0 if accuracy > 1.0 else accuracy
        if self.first_accuracy is None or self.best_accuracy is None:
            self.first_accuracy = self.best_accuracy = share
        self.best_accuracy = max(self.best_accuracy, share)

    def key(self, role: str) -> str:
        """The metric that plays a part, or the name of the part."""
        return self.roles.key(role) or role.replace("_", " ")


def is_own(thresholds: AnalyzerThresholds, *names: str) -> bool:
    """Whether the user has set one of these limits: a default may be vetoed, his own may not."""
    return any(map(thresholds.is_set, names))


class Levels:
    """A limit in three levels, and whether it is the user's own.

    Args:
        thresholds: all limits.
        name: of the limit, with ``{}`` where the level stands.
        below: a value counts from the limit downwards.
    """

    __slots__ = ("_below", "_levels", "literal")

    def __init__(self, thresholds: AnalyzerThresholds, name: str, *, below: bool = False) -> None:
        levels = SEVERITIES[1:]
        self._levels = [(level, float(getattr(thresholds, name.format(level)))) for level in reversed(levels)]
        self._below = below
        self.literal = is_own(thresholds, *(name.format(level) for level in levels))

    def severity(self, value: float | None) -> AlertSeverity | None:
        """The most severe level that the value reaches."""
        return self.reached(value)[0]

    def reached(self, value: float | None) -> tuple[AlertSeverity | None, float]:
        """The level and its limit; the limit of a warning if none is reached."""
        if value is not None:
            for level, limit in self._levels:
                if value <= limit if self._below else value >= limit:
                    return level, limit  # type: ignore[return-value]
        return None, self._levels[-1][1]


class Rule:
    """Watches for one thing that goes wrong. The docstring of a rule of Quark's own is its page in the documentation.

    A subclass says its ``name``, ``category``, ``topics``, what it ``needs`` to judge, and what to tell of every
    alert; ``look`` is called with every frame that holds one of its topics. It holds O(1) numbers a series or layer.
    """

    __module__ = "quark"

    name: ClassVar[str] = ""
    category: ClassVar[AlertCategory] = "optimization"
    topics: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[str] = ""
    consequence: ClassVar[str] = ""
    actions: ClassVar[tuple[str, ...]] = ()
    clears: ClassVar[str] = ""
    scored: ClassVar[bool] = True
    """Whether a category is scored because this rule could judge. Not where it can judge almost any run, or only a
    small part of what the category stands for."""

    every_rank: ClassVar[bool] = False
    """Whether frames of other ranks than 0 are fed too: under data parallelism all ranks hold the same weights."""

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        self.limits = config.thresholds
        self.absolute = config.mode == "absolute"
        self.judged = False
        self._out: list[Finding] = []
        self._findings: dict[tuple[str, str | None, int], Finding] = {}
        self._up: dict[str | None, int] = {}
        self._episodes: dict[str | None, int] = {}

    def feed(self, frame: Frame, seen: Seen) -> list[Finding]:
        """Take a frame; the alerts that it gives rise to."""
        if frame.rank and not self.every_rank:
            return []
        self.look(frame, seen)
        if not self._out:
            return self._out
        made, self._out = self._out, []
        return made

    def look(self, frame: Frame, seen: Seen) -> None:
        """Look at a frame and ``alert`` or ``clear``."""
        raise NotImplementedError

    def passes(self, losses: Losses, seen: Seen) -> int:
        """How many frames, from the first one on, ``pass_over`` can take in the place of ``look``: none by default.

        They hold a training loss, and at most a learning rate and an accuracy; of these losses none is unusual (see
        ``Course.run``), and whether the course is ``far`` does not change.
        """
        return 0

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """Take the frames, which are part of the course by now: all that ``look`` would have kept of them."""

    def tick(self, now_ns: int) -> list[Finding]:
        """Time goes by and nothing is recorded; alerts that come of that."""
        return []

    def result(self) -> RuleOutcome:
        """The alerts so far, or why there cannot be any."""
        abstained = None if self.judged else f"it needs {self.needs}, which the run does not have"
        return RuleOutcome(self.name, self.category, tuple(self._findings.values()), abstained)

    def alert(
        self, frame: Frame, severity: AlertSeverity, *, title: str, fact: str, inference: str,
        evidence: list[EvidenceRecord], subject: str | None = None, since: int | None = None,
        actions: tuple[str, ...] | None = None, consequence: str | None = None, topic: str | None = None,
    ) -> None:  # fmt: skip
        """Say an alert, unless it was said as severely already and has not cleared since.

        Args:
            topic: what is up, where several alerts of a rule stand beside each other; ``subject`` may change.
            since: step of the onset.

        Raises:
            SchemaValidationError: the alert lacks evidence or a title, or one of them is of a wrong type.
        """
        rank = SEVERITIES.index(severity)
        if self._up.get(topic, -1) >= rank:
            return
        episode = self._episodes.get(topic, -1) + (topic not in self._up)
        made = Finding(
            self.name, self.category, severity, title, fact, inference, tuple(evidence),
            self.consequence if consequence is None else consequence, self.actions if actions is None else actions,
            self.clears, subject, frame.step if since is None else since, frame.step, frame.epoch, frame.rank,
            topic, episode, frame.time_ns,
        )  # fmt: skip
        build(AlertRecord, _NOWHERE, 0, 0, alert_fields(made))
        self._up[topic], self._episodes[topic] = rank, episode
        earlier = self._findings.get(made.key)
        if earlier is not None:
            made.step_start = earlier.step_start
        self._findings[made.key] = made
        self._out.append(made)

    def clear(self, topic: str | None = None) -> None:
        """It is over: the next time it is an alert of its own."""
        self._up.pop(topic, None)

    def up(self, topic: str | None = None) -> bool:
        """Whether an alert stands."""
        return topic in self._up


def evidence(
    kind: str, source: str, summary: str, observed: float | None = None, threshold: float | None = None,
    start: int | None = None, end: int | None = None,
) -> EvidenceRecord:  # fmt: skip
    """An observation; a number that is not finite is left to the words."""
    return EvidenceRecord(
        kind=kind, source=source or "run", summary=summary, observed_value=_finite(observed),
        threshold_value=_finite(threshold), step_start=start, step_end=end,
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


def worse(first: AlertSeverity | None, second: AlertSeverity | None) -> AlertSeverity | None:
    """The more severe of two."""
    if first is None or second is None:
        return first or second
    return first if SEVERITIES.index(first) >= SEVERITIES.index(second) else second


def number(value: float) -> str:
    """A number for people."""
    return f"{value:.3g}"
