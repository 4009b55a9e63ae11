"""A rule that looks at clipping: a clip that always acts is a learning rate under another name."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from ...records.thresholds import AnalyzerEngineConfig
from ..frames import Frame
from ..latch import Latch
from ..robust import norm_of, ratio
from ..stretch import Losses
from .base import EVENT, OTHER, PROBE, Rule, Seen, evidence, number

MOST = 0.9
"""Above this share of clipped steps the clip and not the gradient says how large a step is."""

_SAME = 2e-3
"""Norms that differ by no more were cut to one length: clipping divides by the norm plus 1e-6, in single precision."""

_APART = 0.05
"""How far the parts of a gradient must move against each other to tell a clip from a gradient that never changes."""


class ClipRate(Rule):
    """Nearly every step is clipped: the clip is the learning rate.

    Sees: norms of the gradients as the optimizer gets them (`run.watch` with the optimizer); or a metric of the norm
    before clipping, such as `train/grad_norm`, and the event of a framework that says at which norm it clips.

    Decides: more than 90 % of 100 steps are clipped. Seen in the optimizer, over at least 20 looks, they are those
    whose norm is the largest one within 0.2 %, while the share of the first half of the weights in it varies by more
    than 5 %: only a clip makes gradients of one length out of different ones. With a metric and a known limit they
    are those whose norm reaches the limit. Without either the rule abstains. It is information and no fault.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013 (clipping by
    norm, with a limit above the usual norm).
    """

    name = "clip_rate"
    topics = frozenset((PROBE, OTHER, EVENT))
    needs = "gradients of at least two weights watched with their optimizer, or a gradient norm with a known clip"
    consequence = "The learning rate and the clip can no longer be told apart; schedules and sweeps of one move both."
    actions = (
        "If the training goes well, leave it and know that the clip sets the size of the steps.",
        "If not, raise the clip to about the usual norm, and lower the learning rate by as much as steps grow.",
    )  # fmt: skip
    clears = "Ten looks in a row, or a stretch of 100 steps, without that many clipped steps."
    STEPS = 100
    LEAST = 20

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        super().__init__(config)
        self._limit: float | None = None
        self._reached = Latch(int(MOST * self.STEPS) + 1, self.STEPS, 10)
        self._looks: deque[tuple[int, float, float]] = deque(maxlen=self.STEPS)
        self._count = 0

    def look(self, frame: Frame, seen: Seen) -> None:
        """See the class."""
        for event in frame.events:
            self._limit = _limit_of(event.payload, self._limit)
        if seen.gradient_norm is not None and self._limit is not None:
            self._known(frame, abs(seen.gradient_norm), self._limit)
        elif frame.parameters and not self._count:
            self._pinned(frame)

    def passes(self, losses: Losses, seen: Seen) -> int:
        """All: they hold nothing that this rule looks at."""
        return len(losses)

    def _pinned(self, frame: Frame) -> None:
        """Whether the norms that the optimizer got are cut to one length."""
        norms = [one.gradient_norm for one in frame.parameters if one.gradient_norm is not None]
        total = norm_of(norms)
        if len(norms) < 2 or not 0.0 < total < float("inf") or frame.step is None:
            return
        self._looks.append((frame.step, total, ratio(norm_of(norms[: len(norms) // 2]), total)))
        if len(self._looks) < self.LEAST or frame.step - self._looks[0][0] < self.STEPS - 1:
            return
        self.judged = True
        limit = max(total for _, total, _ in self._looks)
        parts = [part for _, total, part in self._looks if total >= (1.0 - _SAME) * limit]
        share = len(parts) / len(self._looks)
        if share > MOST and max(parts) - min(parts) > _APART * max(parts):
            self._say(frame, share, limit, self._looks[0][0], "optimizer", len(self._looks))
        else:
            self.clear()

    def _known(self, frame: Frame, norm: float, limit: float) -> None:
        """Whether the norm before clipping reaches the limit."""
        self._count += 1
        self.judged = self.judged or self._count >= self.STEPS
        hit = norm >= (1.0 - _SAME) * limit
        if self._reached.see(hit) and hit:
            self._say(frame, self._reached.hits / self.STEPS, limit, None, "gradient norm", self.STEPS)
        elif not self._reached.raised:
            self.clear()

    def _say(self, frame: Frame, share: float, limit: float, since: int | None, source: str, looks: int) -> None:
        self.alert(
            frame, "info", subject="gradient clipping", since=since, title=f"{share:.0%} of the steps are clipped",
            fact=f"In {share:.0%} of the last {looks} looks the gradient was cut to a norm of {number(limit)}.",
            inference="The clip and not the gradient says how large the steps are: it works as a learning rate.",
            evidence=[evidence("gradient", source, "relative: share of clipped steps", share, MOST, since, frame.step)],
        )  # fmt: skip


def _limit_of(payload: Mapping[str, Any], known: float | None) -> float | None:
    """The norm at which a framework clips, by what it calls it; a clip of single values has none."""
    if "max_grad_norm" in payload:
        value = payload["max_grad_norm"]
    elif "gradient_clip_val" in payload and "gradient_clip_algorithm" in payload:
        value = payload["gradient_clip_val"] if payload["gradient_clip_algorithm"] in (None, "norm") else None
    else:
        return known
    return float(value) if isinstance(value, (int, float)) and value > 0 else None
