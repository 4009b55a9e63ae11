"""The parts of a run that may be very many, a bounded number of them: layers at a step, printed lines."""

from typing import TYPE_CHECKING, Any

from ..core.reader import RecordFilter
from ..reading.told import PRINTED, lines_of
from ..records.event import EventRecord
from ..records.layer import LayerSummaryRecord, qualified_name
from ..records.parameter import ParameterSummaryRecord

if TYPE_CHECKING:
    from ..reading import RunView
    from ..reading.matching import Pattern

PAGE = 1000
MOST_PAGES = 20
"""Pages that one question reads."""

STATISTICS = ("norm", "mean", "std", "dead_unit_ratio", "saturation_ratio")


def shown_layers(
    view: "RunView", step: int | None, pattern: "Pattern", limit: int
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """The layers and parameters at the last step at or before ``step`` that has any, and whether there are more."""
    found = {kind: _last_step(view, kind, step) for kind in ("layer", "parameter")}
    at = max((one for one in found.values() if one is not None), default=None)
    layers, more_layers = _records(view, "layer", at, pattern, limit)
    parameters, more_parameters = _records(view, "parameter", at, pattern, limit)
    document = {
        "run": view.id, "step": at,
        "layers": [_layer(one) for one in layers], "parameters": [_parameter(one) for one in parameters],
    }  # fmt: skip
    return document, more_layers or more_parameters


def _last_step(view: "RunView", kind: str, step: int | None) -> int | None:
    found = next(view.records(kind, RecordFilter(step_min=0, step_max=step, sort="-step", limit=1)), None)
    return None if found is None else found.step  # type: ignore[attr-defined]


def _records(view: "RunView", kind: str, step: int | None, pattern: "Pattern", limit: int) -> tuple[list[Any], bool]:
    made: list[Any] = []
    if step is None:
        return made, False
    for record in view.records(kind, RecordFilter(step=step, limit=PAGE * MOST_PAGES)):
        if pattern.matches(_name_of(record)):
            if len(made) == limit:
                return made, True
            made.append(record)
    return made, False


def _name_of(record: Any) -> str:
    name = record.module_name if isinstance(record, LayerSummaryRecord) else record.parameter_name
    return qualified_name(record.watcher, name)


def _layer(record: LayerSummaryRecord) -> dict[str, Any]:
    made = {"layer": _name_of(record), "of": record.summary_type, "type": record.module_type}
    values = {name: getattr(record, name) for name in STATISTICS}
    return {**made, **{name: value for name, value in values.items() if value is not None}}


def _parameter(record: ParameterSummaryRecord) -> dict[str, Any]:
    made = {
        "parameter": _name_of(record), "weight_norm": record.weight_norm, "gradient_norm": record.gradient_norm,
        "update_norm": record.update_norm, "update_ratio": record.update_ratio,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def lines_at_the_end(
    view: "RunView", count: int, stream: str | None, pattern: "Pattern"
) -> tuple[list[dict[str, Any]], bool]:  # fmt: skip
    """The last ``count`` printed lines that match, the newest first, and whether earlier ones were not looked at."""
    made: list[dict[str, Any]] = []
    where = RecordFilter(where={"event_type": PRINTED}, sort="-arrival", limit=PAGE * MOST_PAGES)
    read = 0
    for event in view.records("event", where):
        read += 1
        if not isinstance(event, EventRecord) or stream not in (None, event.payload.get("stream")):
            continue
        for line in reversed(lines_of(event)):
            message = str(line.payload.get("message", ""))
            if not pattern.matches(message):
                continue
            if len(made) == count:
                return made, True
            made.append({"time": line.timestamp, "step": line.step, "stream": line.payload["stream"], "text": message})
    return made, read == PAGE * MOST_PAGES
