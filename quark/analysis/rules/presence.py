"""Rules that look for what does not come: the next step, the next checkpoint, the next evaluation."""

from collections import deque
from statistics import median

from ...records.literals import AlertSeverity
from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..stretch import Losses, first
from .base import ANY, EVENT, LOSS, PROBE, VALIDATION, Finding, Rule, Seen, evidence


class Stalled(Rule):
    """No step comes any more.

    Sees: when steps were recorded; live, the clock.

    Decides: nothing was recorded for more than a minute, ten times the median pause and three times the longest one so
    far, be it that of a step, an evaluation or a checkpoint. Live it is a warning, and after five minutes an error. A
    pause after which the steps went on is a pause like others from then on: information only, and a warning if it was
    longer than ten minutes.
    """

    name = "stalled"
    category = "runtime"
    topics = frozenset((ANY,))
    needs = "at least ten steps"
    scored = False
    consequence = "The run holds its hardware and does nothing."
    actions = (
        "Look at the stacks: py-spy dump --pid PID.",
        "Look for a data worker that died, a collective that one rank did not join, a full disk.",
    )  # fmt: skip
    clears = "The next step."
    LEAST_NS = 60_000_000_000
    LONG_NS = 300_000_000_000

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._last: Frame | None = None
        self._pauses: list[int] = []
        self._longest = 0
        self._count = 0

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if frame.step is None:
            return
        last, self._last = self._last, frame
        gap = frame.time_ns - last.time_ns if last is not None else -1
        if last is None or gap < 0:
            return
        if gap > self.LEAST_NS and gap > self._limit():
            self._say(
                last, gap, "warning" if gap > 2 * self.LONG_NS else "info", f"A long pause after step {last.step}",
                "The steps went on: something beside them took very long, such as an evaluation or a checkpoint.",
            )  # fmt: skip
        if self._up:
            self.clear()
        count = self._count = self._count + 1
        self.judged = count >= 10
        if len(self._pauses) < 200:
            self._pauses.append(gap)
        else:
            self._pauses[count % 200] = gap
        if gap > self._longest:
            self._longest = gap

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All before the first long pause."""
        import numpy as np

        if self._last is None:
            return 0
        return first(np.diff(losses.stretch.times, prepend=self._last.time_ns) > self.LEAST_NS)

    def pass_over(self, losses: Losses, seen: Seen) -> None:
        """Their pauses are usual ones; of more than 200 the last are kept."""
        import numpy as np

        start = self._last.time_ns if self._last is not None else 0
        gaps: list[int] = [gap for gap in np.diff(losses.stretch.times, prepend=start).tolist() if gap >= 0]
        self._last = losses.stretch.frame(-1)
        if not gaps:
            return
        self._longest = max(self._longest, *gaps)
        room = 200 - len(self._pauses)
        self._pauses += gaps[:room]
        self._count += len(gaps)
        late = gaps[room:][-200:]
        for count, gap in enumerate(late, self._count - len(late) + 1):
            self._pauses[count % 200] = gap
        self.judged = self._count >= 10
        if self._up:
            self.clear()

    def tick(self, now_ns: int) -> list[Finding]:
        """Nothing comes: is that unusual by now?"""
        if self._last is None:
            return []
        gap = now_ns - self._last.time_ns
        if gap > self.LEAST_NS and gap > self._limit():
            self._say(
                self._last, gap, "error" if gap > self.LONG_NS else "warning",
                f"No step since step {self._last.step}",
                "The training hangs, or something outside of the steps takes very long.",
            )  # fmt: skip
        made, self._out = self._out, []
        return made

    def _limit(self) -> int:
        usual = sorted(self._pauses)[len(self._pauses) // 2] if self._pauses else 0
        return max(self.LEAST_NS, 10 * usual, 3 * self._longest)

    def _say(self, last: Frame, gap: int, severity: AlertSeverity, title: str, inference: str) -> None:
        if self._count < 10:
            return
        limit = self._limit()
        self.alert(
            last, severity, subject="steps", title=title, inference=inference,
            fact=f"After step {last.step} nothing came for {gap / 1e9:.0f} s; the limit was {limit / 1e9:.0f} s.",
            evidence=[evidence("time", "steps", "relative: pause in seconds", gap / 1e9, limit / 1e9, last.step,
                               last.step)],
        )  # fmt: skip


class CheckpointGap(Rule):
    """No checkpoint for unusually long.

    Sees: events whose type names a checkpoint, such as `checkpoint_saved`.

    Decides: the time since the last one is more than three times the median of the run's own gaps, after at least
    three checkpoints, and more than ten minutes.
    """

    name = "checkpoint_gap"
    category = "runtime"
    topics = frozenset((ANY, EVENT))
    scored = False
    needs = "at least three events such as checkpoint_saved"
    consequence = "All work since the last checkpoint is lost if the run dies."
    actions = ("Check the disk and the condition that saves checkpoints.", "Save one now.")
    clears = "The next checkpoint."
    LEAST_NS = 600_000_000_000

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._last: int | None = None
        self._step: int | None = None
        self._gaps: list[int] = []

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for event in frame.events:
            if "checkpoint" in event.event_type and event.severity in ("debug", "info"):
                if self._last is not None:
                    self._gaps = [*self._gaps[-49:], frame.time_ns - self._last]
                self._last, self._step = frame.time_ns, frame.step
                self.clear()
        if self._last is None or len(self._gaps) < 2:
            return
        self.judged = True
        usual = median(self._gaps)
        gap = frame.time_ns - self._last
        if gap > max(3 * usual, self.LEAST_NS):
            self.alert(
                frame, "warning", subject="checkpoint", since=self._step, title="No checkpoint for unusually long",
                fact=f"The last checkpoint was {gap / 60e9:.0f} minutes ago; the usual gap is {usual / 60e9:.0f}.",
                inference="Saving has stopped, or it fails.",
                evidence=[evidence("event", "checkpoint", "relative: minutes since the last one", gap / 60e9,
                                   3 * usual / 60e9, self._step, frame.step)],
            )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All before it has been too long; once that is said, all."""
        if self._last is None or len(self._gaps) < 2 or self.up():
            return len(losses)
        return first(losses.stretch.times - self._last > max(3 * median(self._gaps), self.LEAST_NS))


class EvalGap(Rule):
    """No evaluation for unusually long.

    Sees: when a validation loss was recorded, in training steps (frames with a loss or a probe) and in time.

    Decides: after at least three evaluations, the steps since the last one are more than three times the median of
    the run's own gaps, more than 2.2 times the largest of them and at least 100; and it is more than ten minutes ago.
    Evaluations that come ever less often, each gap twice the one before, are therefore no alarm. What comes within
    ten steps of an evaluation is part of it.
    """

    name = "eval_gap"
    category = "generalization"
    topics = frozenset((LOSS, PROBE, VALIDATION, EVENT))
    scored = False
    needs = "at least three evaluations with a validation loss, ten steps apart, and a training loss"
    consequence = "Overfitting goes unseen, and the best checkpoint is not known."
    actions = (
        "Check the condition that starts an evaluation, and whether the last one failed.",
        "Check that the validation loss is still logged under the same name.",
    )  # fmt: skip
    clears = "The next evaluation."
    LEAST_NS = CheckpointGap.LEAST_NS
    LEAST_STEPS = 100
    APART = 10

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._begin()

    def _begin(self) -> None:
        """Evaluations are counted from here on: after a resume they may come at another pace."""
        self._at: tuple[int, int, int | None] | None = None
        self._gaps: deque[int] = deque(maxlen=50)

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        if any(event.event_type == "run_resumed" for event in frame.events):
            self._begin()
        if seen.validation is not None:
            if self._at is not None and seen.steps - self._at[0] >= self.APART:
                self._gaps.append(seen.steps - self._at[0])
            self._at = seen.steps, frame.time_ns, frame.step
            self.clear()
        if self._at is None or len(self._gaps) < 2:
            return
        self.judged = True
        steps, time_ns, since = self._at
        gap, usual = seen.steps - steps, median(self._gaps)
        limit = self._most()
        if gap > limit and frame.time_ns - time_ns > self.LEAST_NS:
            self.alert(
                frame, "warning", subject=seen.key("validation_loss"), since=since,
                title="No evaluation for unusually long",
                fact=f"The last evaluation was {gap} steps and {(frame.time_ns - time_ns) / 60e9:.0f} minutes ago; the "
                f"usual gap is {usual:.0f} steps.",
                inference="Evaluation has stopped, or its loss is no longer recorded.",
                evidence=[evidence("metric", seen.key("validation_loss"),
                                   "relative: steps since the last evaluation", gap, limit, since, frame.step)],
            )  # fmt: skip

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All before it has been too long; once that is said, all."""
        import numpy as np

        if self._at is None or len(self._gaps) < 2 or self.up():
            return len(losses)
        steps, time_ns, _ = self._at
        gaps = np.arange(1, len(losses) + 1) + (seen.steps - steps)
        return first((gaps > self._most()) & (losses.stretch.times - time_ns > self.LEAST_NS))

    def _most(self) -> float:
        return max(3 * median(self._gaps), 2.2 * max(self._gaps), self.LEAST_STEPS)
