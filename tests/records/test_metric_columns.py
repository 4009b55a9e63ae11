"""Metric lines as columns: the same points as line by line, and no line with a fault among them."""

import math
import random
from typing import Any

import pytest
from msgspec.structs import replace as changed

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.records.metric_columns import MANY, metric_columns
from quark.service.ingest import checked_lines
from quark.service.problems import ProblemError
from quark.storage.incoming import pack_points
from quark.storage.points import pack_columns

COUNT = 2 * MANY
SERIES = {f"loss/{number}": number + 1 for number in range(5)}


def metric(number: int, **fields: Any) -> Line:
    """A sound line with this number."""
    made: dict[str, Any] = {"step": number // 5, "metric_key": f"loss/{number % 5}", "value": number / 7}
    return Line(**{"kind": "metric", "sequence": number, "time": 1_778_112_000_000_000_000 + number, **made, **fields})


def sound_lines() -> list[Line]:
    return [metric(number) for number in range(COUNT)]


def batch_of(lines: list[Line]) -> RecordBatch:
    data = b"".join(encode(line) + b"\n" for line in lines)
    return RecordBatch(Origin("run-1", "w"), 0, COUNT, data)


VALUES = (0.0, -0.0, 5e-324, -1.7976931348623157e308, 0.1, math.pi)


@pytest.mark.parametrize("steps", ["all", "none", "some", "none at first"])
@pytest.mark.parametrize("epochs", ["all", "none", "some", "none at first"])
def test_columns_become_the_same_points_as_lines(steps: str, epochs: str) -> None:
    """Bit for bit, whichever lines have a step and an epoch."""
    chance = random.Random(7)

    def number_of(which: str, index: int) -> int | None:
        present = {"all": True, "none": False, "some": chance.random() < 0.5, "none at first": index > 3}[which]
        return chance.choice((0, 1, 2**63 - 1)) if present else None

    lines = [
        changed(line, step=number_of(steps, at), epoch=number_of(epochs, at), value=chance.choice(VALUES))
        for at, line in enumerate(sound_lines())
    ]
    columns = metric_columns(lines)
    assert columns is not None
    assert pack_columns(columns, SERIES.__getitem__) == pack_points(lines, SERIES.__getitem__)
    assert columns.names == set(SERIES)


ODD = [
    {"kind": "event"}, {"kind": "metrics", "values": {"a": 1.0}}, {"metric_key": None}, {"value": None},
    {"description": ""}, {"description": "d"}, {"metadata": {}}, {"metadata": {"a": 1}},
    {"step": -1}, {"step": -(2**63)}, {"step": 2**63}, {"epoch": -1}, {"epoch": 2**63}, {"time": 2**63},
    {"sequence": 2**63},
]  # fmt: skip


@pytest.mark.parametrize("at", [0, 1, COUNT - 1])
@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("others", [{}, {"step": None, "epoch": None}, {"epoch": 3}], ids=str)
def test_a_line_that_is_no_plain_metric_makes_no_columns(others: dict[str, Any], odd: dict[str, Any], at: int) -> None:
    """Wherever it stands: such batches are looked at line by line."""
    lines = [changed(line, **others) for line in sound_lines()]
    lines[at] = changed(lines[at], **odd)
    assert metric_columns(lines) is None


def test_a_few_lines_make_no_columns() -> None:
    """A loop over them costs less, and needs no NumPy."""
    assert metric_columns(sound_lines()[: MANY - 1]) is None
    assert metric_columns([]) is None


@pytest.mark.parametrize("at", [1, COUNT // 2, COUNT - 1])
@pytest.mark.parametrize(
    "fault",
    [
        {"sequence": COUNT}, {"sequence": -1}, {"sequence": 2**63}, {"sequence": 0}, {"time": -1}, {"time": 2**63},
        {"step": -1}, {"epoch": -5}, {"step": 2**64}, {"metric_key": None}, {"metric_key": ""}, {"metric_key": " "},
        {"metric_key": "x" * 5000}, {"value": None}, {"metadata": {"a": "x" * 70_000}},
    ],
    ids=lambda fault: str(fault)[:30],
)  # fmt: skip
def test_the_service_names_the_line_at_fault_in_a_large_batch(fault: dict[str, Any], at: int) -> None:
    """A batch of metrics is checked as a whole, and refused as it would be line by line."""
    lines = sound_lines()
    lines[at] = changed(lines[at], **fault)
    with pytest.raises(ProblemError) as caught:
        checked_lines(batch_of(lines))
    assert (caught.value.status, caught.value.content["index"]) == (422, at)
