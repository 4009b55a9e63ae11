"""Many frames in a row that hold the same few metrics and nothing else, kept as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.reader import Series
from .frames import Frame

SHORTEST = 8
"""Fewer frames than this are not worth a stretch."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames of one process, each of a step of its own.

    Attributes:
        steps, times: int64 arrays.
        epochs: int64 array, -1 where a frame has none.
        values: float64 arrays by metric, each with one value a frame.
    """

    rank: int
    steps: Any
    epochs: Any
    times: Any
    values: dict[str, Any]

    def __len__(self) -> int:
        return len(self.steps)

    def part(self, start: int, stop: int) -> "Stretch":
        """The frames from ``start`` up to ``stop``."""
        values = {key: column[start:stop] for key, column in self.values.items()}
        return Stretch(
            self.rank, self.steps[start:stop], self.epochs[start:stop], self.times[start:stop], values
        )  # fmt: skip

    def frame(self, place: int) -> Frame:
        """One of the frames."""
        epoch = int(self.epochs[place])
        made = Frame(int(self.steps[place]), None if epoch < 0 else epoch, self.rank, int(self.times[place]))
        made.values = {key: float(column[place]) for key, column in self.values.items()}
        return made

    def frames(self) -> Iterator[Frame]:
        """The frames one by one."""
        return (self.frame(place) for place in range(len(self)))


class Points:
    """All metrics of one process in the order in which they were recorded.

    Attributes:
        keys: the metrics.
        sequences, steps, epochs, times, values, which: arrays; ``which`` is the place of a point's metric in ``keys``.
    """

    def __init__(self, series: list[Series]) -> None:
        import numpy as np

        self.keys = [one.key for one in series]
        order = np.argsort(np.concatenate([one.sequences for one in series]), kind="stable")
        self.sequences, self.steps, self.epochs, self.times, self.values = (
            np.concatenate([getattr(one, name) for one in series])[order]
            for name in ("sequences", "steps", "epochs", "timestamps", "values")
        )
        self.which = np.repeat(np.arange(len(series)), [len(one) for one in series])[order]

    def __len__(self) -> int:
        return len(self.sequences)

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, str, float, int | None, int | None, int]]:
        """Sequence number, key, value, step, epoch and time of each point from ``start`` up to ``stop``."""
        columns = (self.sequences, self.which, self.values, self.steps, self.epochs, self.times)
        lists = (one[start:stop].tolist() for one in columns)
        for number, which, value, step, epoch, time_ns in zip(*lists, strict=True):
            yield number, self.keys[which], value, None if step < 0 else step, None if epoch < 0 else epoch, time_ns

    def stretches(self, others: Any, rank: int) -> Iterator[tuple[int, int, Stretch]]:
        """The stretches, each with the points that it takes the place of.

        The first and the last frame of a kind are in none: what else was recorded may belong to them.

        Args:
            others: int64 array, the sequence numbers of what is no metric, in their order.
        """
        import numpy as np

        if len(self.keys) > 62 or len(self) < SHORTEST:
            return
        starts = np.flatnonzero(np.append(True, self.steps[1:] != self.steps[:-1]))
        ends = np.append(starts[1:], len(self))
        bits = np.left_shift(1, self.which)
        kinds = np.bitwise_or.reduceat(bits, starts)
        regular = (self.steps[starts] >= 0) & (kinds == np.add.reduceat(bits, starts))
        regular &= np.minimum.reduceat(self.epochs, starts) == np.maximum.reduceat(self.epochs, starts)
        at = np.searchsorted(self.sequences, others)
        group = np.searchsorted(starts, at, side="right") - 1
        inside = (at < len(self)) & (at > starts[group])
        regular[group[inside]] = False
        ended = np.append(True, ~regular[1:] | ~regular[:-1] | (kinds[1:] != kinds[:-1]))
        ended[group[(at < len(self)) & ~inside]] = True
        firsts = np.flatnonzero(ended)
        lasts = np.append(firsts[1:], len(starts)) - 1
        for first, last in zip((firsts + 1).tolist(), lasts.tolist(), strict=True):
            if last - first >= SHORTEST:
                begin, end = int(starts[first]), int(ends[last - 1])
                yield begin, end, self._stretch(starts[first:last], begin, end, int(kinds[first]), rank)

    def _stretch(self, heads: Any, begin: int, end: int, kinds: int, rank: int) -> Stretch:
        which, values = self.which[begin:end], self.values[begin:end]
        held = [place for place in range(len(self.keys)) if kinds >> place & 1]
        columns = {self.keys[place]: values[which == place] if len(held) > 1 else values for place in held}
        return Stretch(rank, self.steps[heads], self.epochs[heads], self.times[heads], columns)


@dataclass(slots=True)
class Losses:
    """A stretch by what its metrics are: a training loss in every frame, and at most a learning rate and an accuracy.

    Attributes:
        losses: finite numbers, one a frame.
        rates, accuracies: the same, or None.
        levels: the losses on the scale of the course, once they are part of it.
        learned: whether the loss had begun to fall, and was near its best, after any of them.
    """

    stretch: Stretch
    losses: list[float]
    rates: list[float] | None = None
    accuracies: list[float] | None = None
    levels: tuple[float, ...] | list[float] = ()
    learned: bool = False

    def __len__(self) -> int:
        return len(self.losses)

    def cut(self, count: int) -> None:
        """Keep the first ``count`` frames."""
        if count < len(self):
            self.stretch = self.stretch.part(0, count)
            self.losses = self.losses[:count]
            self.rates = None if self.rates is None else self.rates[:count]
            self.accuracies = None if self.accuracies is None else self.accuracies[:count]


def first(hits: Any) -> int:
    """The place of the first of an array of truth values that is true; the number of them if none is."""
    place = int(hits.argmax()) if len(hits) else 0
    return place if len(hits) and hits[place] else len(hits)
