"""Puts the records of one process together into frames: everything that it recorded of one step."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ..records.layer import qualified_name
from ..records.line import WIDE, Line, value_of
from ..records.naming import NAME
from ..records.ready import ready

MOST_ITEMS = 20_000
"""A frame that never ends, because nothing in it has a step, is closed at so many records."""

LAYER, PARAMETER, TELEMETRY, BATCH, EVENT = "layer", "parameter", "telemetry", "batch", "event"


class LayerDetails(msgspec.Struct, gc=False):
    """What the rules read of a layer summary's metadata."""

    training: bool | None = None
    nonfinite_count: float | None = None
    unit_dead_ratio: float | None = None
    path: str = ""
    loss_scale: float | None = None


class Layer(msgspec.Struct, gc=False):
    """What the rules read of a LayerSummaryRecord."""

    module_name: str
    module_type: str
    summary_type: str
    element_count: int = 0
    tensor_shape: tuple[int, ...] | None = None
    mean: float | None = None
    std: float | None = None
    norm: float | None = None
    dead_unit_ratio: float | None = None
    saturation_ratio: float | None = None
    metadata: LayerDetails = msgspec.field(default_factory=LayerDetails)
    watcher: str | None = None

    def __post_init__(self) -> None:
        self.module_name = qualified_name(self.watcher, self.module_name)


class ParameterDetails(msgspec.Struct, gc=False):
    """What the rules read of a parameter summary's metadata."""

    nonfinite: tuple[str, ...] = ()


class Parameter(msgspec.Struct, gc=False):
    """What the rules read of a ParameterSummaryRecord."""

    parameter_name: str
    element_count: int = 0
    parameter_shape: tuple[int, ...] | None = None
    weight_norm: float | None = None
    gradient_norm: float | None = None
    update_norm: float | None = None
    metadata: ParameterDetails = msgspec.field(default_factory=ParameterDetails)
    watcher: str | None = None

    def __post_init__(self) -> None:
        self.parameter_name = qualified_name(self.watcher, self.parameter_name)


class Telemetry(msgspec.Struct, gc=False):
    """What the rules read of a SystemTelemetryRecord."""

    step_time_ms: float | None = None
    data_time_ms: float | None = None
    compute_time_ms: float | None = None
    cpu_usage_percent: float | None = None
    ram_usage_percent: float | None = None
    ram_used_bytes: float | None = None
    process_rss_bytes: float | None = None
    gpu_index: int | None = None
    gpu_utilization_percent: float | None = None
    gpu_memory_used_bytes: float | None = None
    gpu_memory_usage_percent: float | None = None
    gpu_memory_allocated_bytes: float | None = None
    overflow_count: int = 0
    skipped_step_count: int = 0


class Batch(msgspec.Struct, gc=False):
    """What the rules read of a BatchDiagnosticRecord."""

    loss: float
    class_counts: dict[str, int] = {}
    metadata: dict[str, Any] = {}


class Event(msgspec.Struct, gc=False):
    """What the rules read of an EventRecord."""

    event_type: str
    severity: str = "info"
    payload: dict[str, Any] = {}


BODIES: dict[str, type[Any]] = {
    LAYER: Layer, PARAMETER: Parameter, TELEMETRY: Telemetry, BATCH: Batch, EVENT: Event
}  # fmt: skip
"""The kinds of records that rules read beside metrics."""

_DECODERS = {kind: msgspec.json.Decoder(ready(body)) for kind, body in BODIES.items()}


class Frame:
    """Everything that one process recorded of one step; what has neither step nor epoch is of the step before.

    Attributes:
        step, epoch: where it is; None where the records did not say.
        rank: of the process.
        time_ns: of the first record.
        values: metrics by key.
        layers, parameters, telemetry, batches, events: the other records, in the order of recording.
    """

    __slots__ = (
        "batches", "epoch", "events", "items", "layers", "parameters", "rank", "step", "telemetry", "time_ns", "values",
    )  # fmt: skip

    def __init__(self, step: int | None, epoch: int | None, rank: int, time_ns: int) -> None:
        self.step = step
        self.epoch = epoch
        self.rank = rank
        self.time_ns = time_ns
        self.items = 0
        self.values: dict[str, float] = {}
        self.layers: list[Layer] | tuple[()] = ()
        self.parameters: list[Parameter] | tuple[()] = ()
        self.telemetry: list[Telemetry] | tuple[()] = ()
        self.batches: list[Batch] | tuple[()] = ()
        self.events: list[Event] | tuple[()] = ()

    def add(self, kind: str, item: Any) -> None:
        """Put a record into it."""
        name = _PLACES[kind]
        held = getattr(self, name)
        if held:
            held.append(item)
        else:
            setattr(self, name, [item])


_PLACES = {
    LAYER: "layers", PARAMETER: "parameters", TELEMETRY: "telemetry", BATCH: "batches", EVENT: "events"
}  # fmt: skip


class _Named(msgspec.Struct):
    """The line that says under which key a name is recorded."""

    key: str
    name: str


class Framer:
    """Takes the records of one process in their order and gives the frames that are complete."""

    def __init__(self, rank: int = 0) -> None:
        self._rank = rank
        self._names: dict[str, str] = {}
        self._open: Frame | None = None

    def line(self, line: Line) -> Frame | None:
        """Take a line of a journal; the frame that it ends, if it does.

        Raises:
            msgspec.MsgspecError: the line's body is not of its kind.
        """
        kind = line.kind
        if kind == WIDE:
            return self.metrics(line.values or {}, line.step, line.epoch, line.time)
        if kind == "metric":
            return self.metrics({line.metric_key or "": value_of(line)}, line.step, line.epoch, line.time)
        decoder = _DECODERS.get(kind)
        if decoder is None:
            if kind == "run" and line.label == NAME:
                named = msgspec.json.decode(line.body, type=ready(_Named))
                self._names[named.key] = named.name
            return None
        return self.item(kind, decoder.decode(line.body), line.step, line.epoch, line.time)

    def metrics(self, values: dict[str, float], step: int | None, epoch: int | None, time_ns: int) -> Frame | None:
        """Take metrics that were logged together; from here on they go by the names under which they were logged."""
        if self._names:
            values = {self._names.get(key, key): value for key, value in values.items()}
        frame, done = self._reach(step, epoch, time_ns, values)
        frame.values.update(values)
        return done

    def item(self, kind: str, item: Any, step: int | None, epoch: int | None, time_ns: int) -> Frame | None:
        """Take a record of another kind."""
        frame, done = self._reach(step, epoch, time_ns, None)
        frame.add(kind, item)
        return done

    def close(self) -> Frame | None:
        """No more records come for now; the frame that was open."""
        done, self._open = self._open, None
        return done

    def _reach(
        self, step: int | None, epoch: int | None, time_ns: int, values: dict[str, float] | None
    ) -> tuple[Frame, Frame | None]:
        """The frame of this step, and the one before it if that is complete now."""
        frame = self._open
        if frame is not None and frame.items < MOST_ITEMS:
            frame.items += 1
            if step is None:
                same = epoch is None or frame.step is not None or frame.epoch is None or frame.epoch == epoch
            else:
                same = frame.step == step or (frame.step is None and not frame.values)
            if same and not (values and frame.values and not frame.values.keys().isdisjoint(values)):
                if frame.step is None:
                    frame.step = step
                if frame.epoch is None:
                    frame.epoch = epoch
                return frame, None
        if frame is not None and step is None:
            step = frame.step if epoch is None or epoch == frame.epoch else None
        made = self._open = Frame(step, epoch, self._rank, time_ns)
        return made, frame


def frames_of(lines: Iterator[Line], rank: int = 0) -> Iterator[Frame]:
    """The frames of a journal's lines, the last one too."""
    framer = Framer(rank)
    for line in lines:
        done = framer.line(line)
        if done is not None:
            yield done
    last = framer.close()
    if last is not None:
        yield last
