"""The values of metrics that were NaN or infinite, which the store holds as events, as marks for charts."""

from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from ..records.naming import NONFINITE
from ..records.ready import ready
from .schema import records, writers

KINDS = ("nan", "inf", "-inf")


@dataclass(slots=True)
class Marks:
    """Where the values of a metric were not finite, column by column; -1 for no step or epoch."""

    steps: list[int] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)


class _Payload(msgspec.Struct):
    key: str = ""
    value: str = ""


class _Body(msgspec.Struct):
    payload: _Payload


def read_marks(connection: sa.Connection, run_pk: int, keys: Collection[str]) -> dict[str, Marks]:
    """The marks of some metrics of a run, in the order of arrival; metrics without any are left out."""
    query = (
        sa.select(records.c.step, records.c.epoch, records.c.time_ns, records.c.body, writers.c.attempt)
        .join(writers, writers.c.pk == records.c.writer_pk)
        .where(records.c.run_pk == run_pk, records.c.kind == "event", records.c.label == NONFINITE)
        .order_by(records.c.pk)
    )
    found: dict[str, Marks] = {}
    for step, epoch, time_ns, body, attempt in connection.execute(query):
        try:
            payload = _decode(body).payload
        except msgspec.MsgspecError:  # whoever may write to a service may write any event
            continue
        if payload.key in keys and payload.value in KINDS:
            marks = found.setdefault(payload.key, Marks())
            marks.steps.append(-1 if step is None else step)
            marks.epochs.append(-1 if epoch is None else epoch)
            marks.times.append(time_ns)
            marks.attempts.append(attempt)
            marks.kinds.append(payload.value)
    return found


_decode = msgspec.json.Decoder(ready(_Body)).decode
