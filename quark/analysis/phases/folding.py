"""Keeps the course of a metric that goes on in bounded memory: 96 blocks at most, whatever its length."""

import math
from dataclasses import dataclass, replace

from .curve import LARGEST, MOST, Curve, folded

POINTS, EPOCHS, STEPS = 0, 1, 2
"""What a point is counted by. What says more takes the place of what says less, and the course begins anew."""

_SHARE = 1.5
"""An accuracy above it is one in percent."""


@dataclass(slots=True)
class _Block:
    log: float
    loss: float
    first: int
    last: int
    count: int

    def add(self, log: float, loss: float, place: int) -> None:
        self.count += 1
        self.log += (log - self.log) / self.count
        self.loss += (loss - self.loss) / self.count
        self.last = place

    def with_next(self, after: "_Block") -> "_Block":
        count = self.count + after.count
        share = after.count / count
        log, loss = self.log + (after.log - self.log) * share, self.loss + (after.loss - self.loss) * share
        return _Block(log, loss, self.first, after.last, count)


class Fold:
    """The curve of a metric point by point; it is the one that ``curve_of`` makes of all points at once.

    Points come in the order of their steps. One that goes back before the last step, as after a restart from a
    checkpoint, is left out until new steps come.

    Args:
        key: the metric.
        accuracy: it is an accuracy: its distance from the best possible is the loss.

    Attributes:
        points: steps that have a value.
        broken: first and last step since which there is no finite value, if the metric was not finite there.
    """

    def __init__(self, key: str, *, accuracy: bool = False) -> None:
        self._key = key
        self._whole = 1.0 if accuracy else None
        self._by = POINTS
        self._blocks: list[_Block] = []
        self._length = 1
        self._lowest = math.inf
        self._open: tuple[int, float, int] | None = None
        self.points = 0
        self.broken: tuple[int, int] | None = None

    def add(self, value: float, step: int | None, epoch: int | None) -> None:
        """Take a value of a step; several of one step are averaged."""
        if not math.isfinite(value):
            self.break_off(step)
            return
        by, place = (STEPS, step) if step is not None else (EPOCHS, epoch) if epoch is not None else (POINTS, None)
        if by < self._by:
            return
        if by > self._by:
            self._blocks, self._length, self._lowest, self._open, self.points = [], 1, math.inf, None, 0
            self._by = by
        place = self.points if place is None else place
        value = min(max(value, -LARGEST), LARGEST)
        if self._open is not None and place <= self._open[0]:
            if place == self._open[0]:
                count = self._open[2] + 1
                self._open = (place, self._open[1] + (value - self._open[1]) / count, count)
            return
        if self._open is not None:
            self._close(self._open[1], self._open[0])
        self._open = (place, value, 1)
        self.points += 1
        self.broken = None

    def break_off(self, step: int | None) -> None:
        """Take a value that is not finite."""
        last = -1 if self._open is None else self._open[0]
        place = -1 if step is None else step
        if place > last:
            first, before = self.broken or (place, place)
            self.broken = (min(first, place), max(before, place))
        elif self._open is None and self.broken is None:
            self.broken = (0, 0)

    def _close(self, value: float, place: int) -> None:
        if self._whole is not None:
            if self._whole == 1.0 and value > _SHARE:
                self._in_percent()
            value = max(self._whole - value, 0.0)
        self._lowest = min(self._lowest, value)
        log = math.log(value) if value > 0 else 0.0
        blocks = self._blocks
        if blocks and blocks[-1].count < self._length:
            blocks[-1].add(log, value, place)
        else:
            blocks.append(_Block(log, value, place, place, 1))
        if len(blocks) == MOST and blocks[-1].count == self._length:
            self._blocks = [one.with_next(after) for one, after in zip(blocks[::2], blocks[1::2], strict=True)]
            self._length *= 2

    def _in_percent(self) -> None:
        self._whole = 100.0
        self._lowest += 99.0
        for block in self._blocks:
            block.loss += 99.0
            block.log = math.log(block.loss)

    def curve(self) -> Curve | None:
        """The curve as it is by now; None before the first value."""
        import numpy as np

        if self._open is None:
            return None
        now = Fold(self._key)
        now._whole, now._length, now._lowest = self._whole, self._length, self._lowest
        now._blocks = [*self._blocks[:-1], *(replace(block) for block in self._blocks[-1:])]
        now._close(self._open[1], self._open[0])
        blocks = now._blocks
        if len(blocks) > 1 and blocks[-1].count < (now._length + 1) // 2:
            last = blocks.pop()
            blocks[-1] = blocks[-1].with_next(last)
        logs = np.array([block.log for block in blocks]) if now._lowest > 0 else None
        losses = np.array([block.loss for block in blocks])
        first, last = (np.array([getattr(block, name) for block in blocks]) for name in ("first", "last"))
        return folded(self._key, logs, losses, first, last, now._length)
