"""Layers over steps as a heat map: one row a layer, the extremes of each stretch of steps as shades."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...core.reader import RecordFilter
from ...records.layer import qualified_name
from ...sinks.wording import number, plain

if TYPE_CHECKING:
    from rich.text import Text

    from ...reading import RunView

MOST_RECORDS = 20_000
SHADES = " ░▒▓█"
COLOURS = ("bright_black", "blue", "cyan", "green", "yellow", "red")
BROKEN = {"nonfinite", "nonfinite_count"}
"""What the metadata of a record of a tensor has that was not finite."""

MARK = "×"  # noqa: RUF001  as wide as a shade


@dataclass(frozen=True, slots=True)
class Heat:
    """A statistic of layers by step; NaN where a tensor was not finite."""

    title: str
    layers: Mapping[str, Mapping[int, float]]
    whole: bool = True


def heat_of(view: "RunView", title: str) -> Heat:
    """The statistic of every layer at the latest steps, as far as ``MOST_RECORDS`` reach."""
    kind, field, summary_type = {
        "gradient norm": ("parameter", "gradient_norm", None),
        "update ratio": ("parameter", "update_ratio", None),
        "activation std": ("layer", "std", "activation"),
        "dead units": ("layer", "dead_unit_ratio", "activation"),
    }[title]
    found, whole = _read(view, kind, field, summary_type)
    if not found and title == "gradient norm":  # without an optimizer there are summaries of gradients alone
        found, whole = _read(view, "layer", "norm", "gradient")
    return Heat(title, found, whole)


def _read(view: "RunView", kind: str, field: str, summary_type: str | None) -> tuple[dict[str, dict[int, float]], bool]:
    where = {} if summary_type is None else {"summary_type": summary_type}
    made: dict[str, dict[int, float]] = {}
    count = 0
    for count, record in enumerate(_latest(view, kind, where), 1):  # noqa: B007  it is asked for behind the loop
        value = math.nan if record.metadata.keys() & BROKEN else getattr(record, field)
        if record.step is not None and value is not None:
            name = record.parameter_name if kind == "parameter" else record.module_name
            made.setdefault(qualified_name(record.watcher, name), {})[record.step] = value
    return dict(reversed(made.items())), count < MOST_RECORDS  # a network is written from its first layer to its last


def _latest(view: "RunView", kind: str, where: dict[str, Any]) -> Any:
    return view.records(kind, RecordFilter(where=where, sort="-arrival", limit=MOST_RECORDS))


def heat_lines(heat: Heat, size: tuple[int, int]) -> "list[Text]":
    """The heat map in ``size`` columns and lines."""
    from rich.text import Text

    width, height = size
    if not heat.layers:
        return [Text(f"{heat.title}: none was recorded; run.watch(model) records layers", style="dim")]
    name_width = min(max(map(len, heat.layers)), width // 3)
    across = max(1, width - name_width - 1)
    steps = [step for layer in heat.layers.values() for step in layer]
    start, end, cell = min(steps), max(steps), _usual_distance(steps)
    known = [v for layer in heat.layers.values() for v in layer.values() if v > 0]
    low, high = (math.log10(min(known)), math.log10(max(known))) if known else (0.0, 0.0)
    ends = f"{number(10**low)} to {number(10**high)}" if known else "all zero"
    latest = "" if heat.whole else ", latest steps"
    lines = [Text(f"{heat.title} of {len(heat.layers)} layers, steps {start} to {end}{latest}: {ends}", style="bold")]
    for name, layer in list(heat.layers.items())[: height - 1]:
        line = Text(plain(name, name_width).ljust(name_width + 1), style="dim")
        line.append_text(_row(layer, start, across / (end + cell - start), cell, across, (low, high)))
        lines.append(line)
    if len(heat.layers) > height - 1:
        lines[-1] = Text(f"and {len(heat.layers) - height + 2} more layers", style="dim")
    return lines


def _usual_distance(steps: list[int]) -> int:
    """How far apart the steps are at which layers were looked at; a cell is that wide, so that gaps stay gaps."""
    looked = sorted(set(steps))
    distances = sorted(b - a for a, b in pairwise(looked))
    return distances[len(distances) // 2] if distances else 1


def _row(
    layer: Mapping[int, float], start: int, scale: float, cell: int, across: int, bounds: tuple[float, float]
) -> "Text":
    """A layer in ``across`` characters, ``scale`` of them a step; the greatest value of each, and NaN before all."""
    from rich.text import Text

    cells: list[float | None] = [None] * across
    for step, value in layer.items():
        first = min(across - 1, round((step - start) * scale))
        end = min(across, round((step + cell - start) * scale))
        for place in range(first, max(first + 1, end)):
            held = cells[place]
            cells[place] = value if held is None or math.isnan(value) or value > held else held
    line = Text()
    for value in cells:
        if value is None:
            line.append(" ")
        elif math.isnan(value):
            line.append(MARK, style="bold red")
        else:
            shade = _shade(value, bounds)
            line.append(SHADES[1 + int(shade * 3.999)], style=COLOURS[int(shade * 5.999)])
    return line


def _shade(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    if value <= 0:
        return 0.0
    return 0.5 if high == low else min(1.0, max(0.0, (math.log10(value) - low) / (high - low)))
