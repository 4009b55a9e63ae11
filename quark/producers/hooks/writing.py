"""Puts summaries of layers and parameters into the journal: a line each, encoded in one go, after the step."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.handle import JournalLike
from .probe import Sharded, Sighting
from .summary import Summary


class Details(msgspec.Struct, omit_defaults=True, gc=False):
    """The metadata of a layer summary."""

    training: bool | None = None
    nonfinite_count: int | None = None
    max_abs: float | None = None
    unit_dead_ratio: float | None = None
    path: str = ""
    loss_scale: float | None = None
    backward_call: int = 0
    local_shape: tuple[int, ...] | None = None


class Body(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a LayerSummaryRecord, in its order."""

    module_name: str
    module_type: str
    summary_type: str
    hook_direction: str
    call_index: int
    element_count: int
    tensor_shape: tuple[int, ...] | None
    mean: float | None
    std: float | None
    norm: float | None
    variance: float | None
    dead_unit_ratio: float | None
    saturation_ratio: float | None
    metadata: Details
    watcher: str | None = None


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The envelope of a line, as records.line.Line has it, around a body that is encoded with it."""

    kind: str
    sequence: int
    time: int
    step: int | None = None
    epoch: int | None = None
    label: str | None = None
    body: msgspec.Struct | None = None


_encode = msgspec.json.Encoder().encode
_KINDS = (("activation", "forward"), ("gradient", "backward"))


def bodies(probe: Any, watcher: str | None) -> Iterator[Body]:
    """What a probe saw, as bodies of records; its scalars have arrived. One that cannot be had leaves the others alone.

    Args:
        probe: the closed Probe.
        watcher: the name of who saw it.
    """
    scale = probe.scale.value(probe.device)
    seen: dict[Any, int] = {}
    for sighting in probe.sightings:
        try:
            yield _body(sighting, probe.device, scale, seen, watcher)
        except Exception as error:  # noqa: BLE001  a foreign tensor may have odd shapes and numbers
            probe.failed("hook_record", error)


def _body(sighting: Sighting, device: Any, scale: float | None, seen: dict[Any, int], watcher: str | None) -> Body:
    layer, direction, call, path, shape, measured, training = sighting
    summary: Summary = measured if type(measured) is Summary else device.summary(measured)
    details = Details(training, summary.nonfinite, summary.max_abs, summary.dead_units, path)
    if direction:
        key = (layer, call, path)  # a graph that is kept can be walked twice
        details.backward_call = seen[key] = seen.get(key, -1) + 1
        if scale is not None:
            details.loss_scale = scale
            summary = _unscaled(summary, 1.0 / scale)
            details.max_abs = summary.max_abs
    if isinstance(shape, Sharded):
        details.local_shape, shape = shape.local, shape.whole
    size, mean, variance, norm, _, _, dead, saturated, _ = summary
    summary_type, hook_direction = _KINDS[direction]
    return Body(
        layer.name, type(layer.module).__name__, summary_type, hook_direction, call, size,
        None if shape is None else tuple(shape), mean, None if variance is None else math.sqrt(variance), norm,
        variance, dead if not dead else dead / size, saturated if not saturated else saturated / size, details, watcher,
    )  # fmt: skip


def _unscaled(summary: Summary, factor: float) -> Summary:
    """The statistics of a tensor that was multiplied by ``factor``."""
    mean, variance, norm, max_abs = summary[1:5]
    return summary._replace(
        mean=None if mean is None else mean * factor,
        variance=None if variance is None else variance * factor * factor,
        norm=None if norm is None else norm * factor,
        max_abs=None if max_abs is None else max_abs * factor,
    )


def put(
    journal: JournalLike, kind: str, label: str, body: msgspec.Struct, step: int, epoch: int | None, time_ns: int
) -> bytes:
    """Journal a body and return its line.

    Raises:
        ClosedError: the run has ended.
    """
    line = _Line(kind, 0, time_ns, step, epoch, label, body)
    while True:
        number = journal.next
        line.sequence = number
        encoded = _encode(line) + b"\n"
        if journal.put(number, encoded):
            return encoded


class ParameterBody(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a ParameterSummaryRecord, in its order."""

    parameter_name: str
    call_index: int
    element_count: int
    parameter_shape: tuple[int, ...] | None
    weight_norm: float | None
    gradient_norm: float | None
    update_norm: float | None
    update_ratio: float | None
    metadata: dict[str, Any]
    watcher: str | None = None
