"""What may be changed of a stored run over HTTP: its name, its notes, its tags."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from litestar import Request, patch
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from ..producers.reports import LONGEST_NOTE, checked_note
from ..records.event import EventRecord
from ..records.limits import MAX_LABEL, MAX_NAME, MAX_TAGS
from ..records.line import Line, encode
from ..records.literals import NOTE
from ..records.run import RunRecord
from ..redaction.values import redact_fields
from ..session.checks import check_name, check_tag
from .lanes import WRITES, in_lane
from .parameters import RunId
from .room import page_budget
from .runs import QUERY, found_run

Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)]], Meta(max_length=MAX_TAGS)]


class TagEdit(msgspec.Struct, forbid_unknown_fields=True):
    """Tags to add, and tags to take away."""

    add: Tags = []
    remove: Tags = []


class RunEdit(msgspec.Struct, forbid_unknown_fields=True):
    """What to change; what is left out stays. ``name``: null for none. ``notes``: in the place of all earlier notes."""

    name: Annotated[str, Meta(max_length=MAX_NAME)] | UnsetType | None = UNSET
    notes: Annotated[str, Meta(min_length=1, max_length=LONGEST_NOTE)] | UnsetType = UNSET
    tags: TagEdit | UnsetType = UNSET


@patch(["/api/v1/runs/{run_id:str}", QUERY], opt={"scope": "write"})
@in_lane(WRITES)
def edit_run(request: Request[Any, Any, Any], data: JSONBody[RunEdit], run_id: RunId = "query") -> RunRecord:
    """Change the name, the notes or the tags of a run, all of it or nothing; the answer is the run.

    Each change is a record of the run, so exports have it, and earlier notes stay among the events.
    """
    store, row = found_run(request, run_id)
    lines = list(_lines(data))
    if lines:
        store.write_lines(row.id, lines)
    return store.run(row.id, budget=page_budget(request))


def _lines(data: RunEdit) -> Iterator[Line]:
    now = time.time_ns()

    def line(label: str, body: dict[str, Any], kind: str = "run") -> Line:
        return Line(kind, 0, now, label=label, body=msgspec.Raw(encode(body)))

    if data.name is not UNSET:
        yield line("rename", {"name": check_name(data.name)})
    if data.tags is not UNSET:
        for tag in data.tags.remove:
            yield line("untag", {"tag": check_tag(tag)})
        for tag in data.tags.add:
            yield line("tag", {"tag": check_tag(tag)})
    if data.notes is not UNSET:
        payload = {"text": checked_note(data.notes), "replaces": True}
        fields: dict[str, Any] = {"event_type": NOTE, "severity": "info", "status": None, "payload": payload}
        yield line(NOTE, redact_fields(fields, EventRecord.free_text), "event")
