"""Puts a record whose fields are checked already into the journal in the time of a few metrics.

The general ``emit`` converts and checks every field against its declaration, which costs more than all else that such
a producer does in a step; here the producer has checked the fields one by one where they came in.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from ..core.handle import JournalLike
from ..records.base import Record
from ..records.line import Line, encode

R = TypeVar("R", bound=Record)


class RecordWriter(Generic[R]):
    """Writes records of one class.

    Args:
        cls: the class; a record is filled in its open twin, of the same layout without constructor and lock, and
            then becomes one of the class.
    """

    def __init__(self, cls: type[R]) -> None:
        self._cls = cls
        self._open = type(
            f"_Open{cls.__name__}", (Record,),
            {"__slots__": cls.__slots__, "__setattr__": object.__setattr__, "__delattr__": object.__delattr__},
        )  # fmt: skip

    def put(
        self, journal: JournalLike, body: Mapping[str, Any], step: int | None, epoch: int | None, time_ns: int
    ) -> R:
        """Journal the record with the fields ``body``, which holds every one of its own, and return it.

        Raises:
            ClosedError: the run has ended.
        """
        cls = self._cls
        raw = msgspec.Raw(encode(body))
        label = body[cls.label_field] if cls.label_field else None
        while True:
            number = journal.next
            line = encode(Line(cls.kind, number, time_ns, step, epoch, label=label, body=raw)) + b"\n"
            if journal.put(number, line):
                break
        record: Any = object.__new__(self._open)
        record._origin = journal.origin
        record._time = time_ns
        record.sequence = number
        for name, value in body.items():
            setattr(record, name, value)
        record.step = step
        record.epoch = epoch
        record.__class__ = cls
        return record
