"""Something that happened: lifecycle, training events and log messages."""

from typing import Annotated, Any, ClassVar

from .base import Record, frozen, kind
from .fields import Epoch, Step, Text, says
from .literals import EventSeverity


@kind
@frozen
class EventRecord(Record):
    """A structured event or log message."""

    kind: ClassVar[str] = "event"
    label_field: ClassVar[str | None] = "event_type"
    named: ClassVar[bool] = True
    tailed: ClassVar[bool] = True
    free_text: ClassVar[tuple[str, ...]] = ("payload", "status")

    event_type: Annotated[Text, says("what happened, such as checkpoint_saved; lower case, may hold . _ / -")]
    severity: Annotated[EventSeverity, says("how much it matters")]
    step: Step | None = None
    epoch: Epoch | None = None
    status: Annotated[str | None, says("the state that the event reports, such as a run status")] = None
    payload: Annotated[dict[str, Any], says("JSON object with the details; log messages hold message and identifier")]
