"""What all producers share: the handle of their run, open and closed, flush before read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..core.openruns import forget_handle, register_handle, resolve_handle
from ..core.reader import RecordFilter
from ..errors import ClosedError, SchemaValidationError, WrongTypeError
from ..records.base import Record
from ..records.grammar import shown

R = TypeVar("R", bound=Record)


def check_batch_size(batch_size: object) -> int:
    """A buffer size of at least 1."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise WrongTypeError(f"batch_size must be a whole number, got {shown(batch_size)}")
    if batch_size < 1:
        raise SchemaValidationError(f"batch_size must be at least 1, got {batch_size}")
    return batch_size


class Attachment:
    """A producer that is attached to a run."""

    def __init__(self, session: Any) -> None:
        self._handle = resolve_handle(session)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Bring everything to the store's worker and take no more records. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            self._on_close()

    def _on_close(self) -> None:
        self._handle.offer()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"this {type(self).__name__} is closed and takes no more records; make a new one")

    def _read(self, cls: type[R], where: Mapping[str, Any], bounds: RecordFilter) -> tuple[R, ...]:
        """Flush, then read the records of a kind; fields that are None do not restrict."""
        self._handle.flush()
        wanted = {name: value for name, value in where.items() if value is not None}
        found = self._handle.reader().records(self._handle.run_id, cls.kind, replace(bounds, where=wanted))
        return tuple(found)  # type: ignore[arg-type]


__all__ = ["Attachment", "check_batch_size", "forget_handle", "register_handle", "resolve_handle"]
