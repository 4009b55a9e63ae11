"""The course of the training loss: where it began, how low it came, how far the last value is from what is usual."""

import math
from statistics import median

from .blocks import Blocks
from .robust import HUBER, MEAN_TO_DEVIATION, Usual, log_of

FIRST = 5
LEARNED = 0.9
"""Below this share of its beginning the loss has begun to fall."""

NEAR = 0.4
"""A mean loss is near its best up to this distance."""

SPIKE = 6.0
"""Scales above the usual level from which a loss is more than noise."""

UNDONE = 0.6
"""A rise by this share of the fall so far has undone what was learned, however small both are beside the loss."""


class Course:
    """The loss on a scale on which noise stays the same while it falls: its logarithm.

    From the first loss that is not positive on the scale is asinh(loss / typical loss), which is the loss itself
    near zero and its logarithm far from it. All comparisons are differences on this scale; ``ratio`` makes a factor
    of one.

    Attributes:
        count: finite losses seen.
        value: the last loss.
        level: the last loss on the scale.
        mean: its exponentially weighted mean over some 20 values.
        first: the very first loss on the scale.
        start: the median of the first five, or the first one if the loss ran away from it at once.
        best: the lowest that ``mean`` was.
        worst: the largest factor above ``best`` among about the last 20.
        high: consecutive values that are far above all that was reached: more than 2 x best, more than half of the
            beginning, more than 3 scales above the usual level.
        usual: level and spread.
        noise: the spread while nothing unusual went on.
        calm: the same when ``best`` was reached, 0 where it was not known yet: a jump that stays becomes usual, and
            widens the spread.
    """

    def __init__(self) -> None:
        self.count = 0
        self.value = math.nan
        self._scale = 0.0
        self._reset()

    def _reset(self) -> None:
        self.seen = 0
        self.level = self.mean = self.start = self.first = 0.0
        self.best = math.inf
        self.worst = 0.0
        self.high = 0
        self.z = 0.0
        self.noise = self.calm = 0.0
        self._first: list[float] = []
        self.usual = Usual()
        self.blocks = Blocks()

    def add(self, loss: float) -> None:
        """Take a finite loss in."""
        if self._scale == 0.0 and loss <= 0.0:
            self._scale = max(abs(self.value) if self.count else 0.0, abs(loss)) or 1.0
            self._reset()
        self.count += 1
        self.value = loss
        level = self.level = math.asinh(loss / self._scale) if self._scale else log_of(loss)
        seen = self.seen = self.seen + 1
        if seen == 1:
            self.first = level
        if seen <= FIRST:
            self._first.append(level)
            self.start = self._beginning()
        self.mean = level if seen == 1 else self.mean + max(0.1, 1.0 / seen) * (level - self.mean)
        self.z = self.usual.z(level)
        above = level - self.best if seen > 1 else 0.0
        self.worst = max(self.worst - 0.1, above, 0.0)
        far = above > 0.69 and level > self.start - 0.69 and (self.z > 3.0 or not self.usual.ready)
        self.high = self.high + 1 if far else 0
        if self.z <= 3.0:
            self.noise = self.usual.scale
        self.usual.add(level)
        self.blocks.add(level)
        if self.mean < self.best:
            self.best, self.calm = self.mean, self.noise if self.usual.ready else 0.0

    def run(self, losses: list[float]) -> tuple[list[float], bool]:
        """Take losses in as ``add`` does, at a fifth of its cost, up to the first that is in any way unusual.

        That is one more than SPIKE scales above the usual level, or the fourth in a row that is far above the best; one
        that turns ``far`` over; the first that is not positive.

        Returns:
            Those that were taken, on the scale, and whether ``learning`` was true after any of them.
        """
        if not self.usual.ready:
            return [], False
        usual, log, exp, sized = self.usual, math.log, math.exp, self._scale
        mean, best, start, worst, high, noise = self.mean, self.best, self.start, self.worst, self.high, self.noise
        calm = self.calm
        location, scale, rate, floor = usual.location, usual.scale, usual.rate, usual.floor
        was_far, learned, last = self.far, False, self.z
        levels: list[float] = []
        for loss in losses:
            if sized:
                level = math.asinh(loss / sized)
            elif loss > 0.0:
                level = log(loss) if loss > 1e-300 else -690.0
            else:
                break
            distance = level - location
            z = distance / scale
            new_mean = mean + 0.1 * (level - mean)
            new_best = new_mean if new_mean < best else best
            new_noise = scale if z <= 3.0 else noise
            over, above, rise = new_mean - start, level - best, new_mean - new_best
            far = over > 0.405 + 2.0 * new_noise or (
                rise > 0.1
                and ((rise > 1.1 + new_noise and over > -0.69)
                     or (not sized and _undone(new_mean, new_best, start, calm) > UNDONE))
            )  # fmt: skip
            new_high = high + 1 if above > 0.69 and z > 3.0 and level > start - 0.69 else 0
            if z > SPIKE or new_high > 3 or far is not was_far:
                break
            if new_best < best:
                best, calm = new_best, new_noise
            mean, noise, high, last = new_mean, new_noise, new_high, z
            worst -= 0.1
            worst = above if above > worst else worst
            worst = worst if worst > 0.0 else 0.0
            bound = HUBER * scale
            step = bound if distance > bound else -bound if distance < -bound else distance
            location += rate * step
            spread = scale + rate * (MEAN_TO_DEVIATION * abs(step) - scale)
            scale = spread if spread > floor else floor
            levels.append(level)
            if not learned and over < -0.1 and mean - best < NEAR:
                learned = exp(over) < LEARNED
        if levels:
            self.count += len(levels)
            self.seen += len(levels)
            self.value, self.level, self.z = losses[len(levels) - 1], levels[-1], last
            self.mean, self.best, self.worst, self.high, self.noise, self.calm = mean, best, worst, high, noise, calm
            usual.count += len(levels)
            usual.location, usual.scale = location, scale
            self.blocks.extend(levels)
        return levels, learned

    def _beginning(self) -> float:
        """The median of the first losses; the very first where the loss ran away from it at once."""
        first = self._first
        middle = median(first)
        above = middle - first[0]
        rises = len(first) >= 3 and first[0] < first[1] < first[2]
        return first[0] if above > 2.3 or (rises and above > 0.69) else middle

    def loss_at(self, level: float) -> float:
        """The loss that lies at a level of the scale."""
        level = max(-700.0, min(level, 700.0))
        return self._scale * math.sinh(level) if self._scale else math.exp(level)

    @property
    def known(self) -> bool:
        """Whether there is a loss to speak of."""
        return self.seen >= FIRST

    @property
    def positive(self) -> bool:
        """Whether the loss has always been above zero, so that shares of its beginning mean something."""
        return self._scale == 0.0

    @property
    def fallen(self) -> float:
        """How much of its beginning the mean loss is: 1 at the start, 0.1 when it fell to a tenth."""
        return math.exp(min(self.mean - self.start, 700.0)) if self.known else 1.0

    @property
    def learning(self) -> bool:
        """Whether the loss has begun to fall and is not far from the best that it reached."""
        return self.known and self.fallen < LEARNED and self.mean - self.best < NEAR

    @property
    def far(self) -> bool:
        """Whether the mean loss is above its beginning, far above its best, or has lost most of what it had fallen.

        Each by more than its noise explains.
        """
        over = self.mean - self.start
        high = over > 0.405 + 2.0 * self.noise or (self.mean - self.best > 1.1 + self.noise and over > -0.69)
        return high or self.undone > UNDONE

    def lost(self, level: float, usual: float) -> float:
        """What share of the fall from the beginning to ``usual`` a loss at ``level`` is above that; see ``undone``."""
        return _undone(level, usual, self.start, self.calm) if self.known and self.positive else 0.0

    @property
    def undone(self) -> float:
        """What share of the fall from the beginning to the best the mean loss has risen since.

        0 where the fall or the rise is no more than noise, and for losses that are not positive.
        """
        return self.lost(self.mean, self.best)

    def above_best(self) -> float:
        """The last loss as a factor of the best mean loss."""
        return math.exp(min(self.level - self.best, 700.0)) if self.seen else 1.0


def _undone(mean: float, best: float, start: float, noise: float) -> float:
    """See ``Course.undone``; all levels are logarithms."""
    if noise == 0.0:
        return 0.0
    rise, fall, least = mean - best, start - best, 0.1 + 2.0 * noise
    return math.expm1(min(rise, 700.0)) / math.expm1(min(fall, 700.0)) if rise > least and fall > least else 0.0
