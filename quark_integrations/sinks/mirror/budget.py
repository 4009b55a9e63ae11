"""Which rows of a long table are shown: the first, the last, every extreme and every marked one, the rest evenly."""

from collections.abc import Iterable, Sequence


def kept_rows(
    count: int, budget: int, *, series: Iterable[Sequence[float | None]] = (), marked: Iterable[int] = ()
) -> list[int]:
    """The numbers of the rows to keep, ascending: at most ``budget`` of ``count``, and all of them while they fit.

    First, last, and the minimum and maximum of each of the ``series`` (of length ``count``; None and NaN are no
    extremes) are kept, and every ``marked`` row, also past the budget: an alert is never left out for room. What is
    left of the budget is spread evenly over the rest.
    """
    if count <= budget:
        return list(range(count))
    kept = {0, count - 1, *marked}
    for values in series:
        present = [(value, at) for at, value in enumerate(values) if value is not None and value == value]
        if present:
            kept.update((min(present)[1], max(present, key=lambda found: (found[0], -found[1]))[1]))
    kept = {at for at in kept if 0 <= at < count}
    rest = [at for at in range(count) if at not in kept]
    room = max(0, budget - len(kept))
    kept.update(rest[int((number + 0.5) * len(rest) / room)] for number in range(room))
    return sorted(kept)
