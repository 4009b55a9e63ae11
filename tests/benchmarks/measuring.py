"""How benchmarks measure: interleaved repeats, percentiles, and a table that quotes medians beside a floor."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

clock = time.perf_counter_ns


@dataclasses.dataclass(frozen=True)
class PlainRecord:
    """The floor of a returned record: a frozen dataclass of 13 fields, built the ordinary way."""

    id: str
    run_id: str
    sequence: int
    timestamp: str
    schema_version: int
    metric_key: str
    namespace: str | None
    metric_name: str
    value: float
    step: int | None
    epoch: int | None
    description: str | None
    metadata: dict[str, Any] | None


def plain_record(number: int) -> PlainRecord:
    """Build one."""
    return PlainRecord("a", "b", number, "c", 1, "train/loss", "train", "loss", 0.5, number, None, None, None)


def each(call: Callable[[int], Any], count: int, *, pause_s: float = 0.0) -> list[int]:
    """Nanoseconds of every single call, the clock's own cost included (about 60 ns)."""
    taken = [0] * count
    for number in range(count):
        if pause_s:
            time.sleep(pause_s)
        begin = clock()
        call(number)
        taken[number] = clock() - begin
    return taken


def percentiles(taken: Iterable[int]) -> dict[str, float]:
    """p50, p99, p99.9 and the maximum, in microseconds."""
    ordered = sorted(taken)
    at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e3  # noqa: E731
    return {"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": ordered[-1] / 1e3}


def interleaved(calls: dict[str, Callable[[int], Any]], count: int, repeats: int = 5) -> dict[str, dict[str, float]]:
    """The medians over ``repeats`` rounds of the percentiles of each call, the calls taking turns."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            rounds[name].append(percentiles(each(call, count)))
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in rounds.items()
    }


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print a table."""
    columns = list(next(iter(rows.values())))
    width = max(len(name) for name in rows) + 2
    print(f"\n{title}\n{'':{width}}" + "".join(f"{column:>14}" for column in columns))
    for name, row in rows.items():
        cells = (f"{row[c]:>14.3f}" if isinstance(row[c], float) else f"{row[c]!s:>14}" for c in columns)
        print(f"{name:{width}}" + "".join(cells))
