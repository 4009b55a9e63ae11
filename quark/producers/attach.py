"""What all producers share: the handle of their run, open and closed, flush before read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self, TypeVar

from ..core.openruns import forget_handle, register_handle, resolve_handle
from ..core.reader import RecordFilter
from ..errors import ClosedError, QuarkError, SchemaValidationError, WrongTypeError
from ..records.base import Record
from ..records.grammar import shown
from ..records.naming import by_keys

R = TypeVar("R", bound=Record)


def check_batch_size(batch_size: object) -> int:
    """A buffer size of at least 1."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise WrongTypeError(f"batch_size must be a whole number, got {shown(batch_size)}")
    if batch_size < 1:
        raise SchemaValidationError(f"batch_size must be at least 1, got {batch_size}")
    return batch_size


class SilentProducer:
    """What a producer becomes in another process, where it cannot be made anew: every call does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def _handed_on(cls: type[Any], handle: Any) -> Any:
    """A pickled producer as it arrives: attached to the handle that arrived with it, with its defaults."""
    try:
        return cls(handle)
    except (TypeError, QuarkError):  # it needs a model or the like
        return SilentProducer()


class Attachment:
    """A producer that is attached to a run."""

    def __init__(self, session: Any) -> None:
        self._handle = resolve_handle(session)
        self._closed = False

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a copy of what holds a producer records the same run

    def __reduce__(self) -> tuple[Any, ...]:
        return _handed_on, (type(self), self._handle)

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
        found = self._handle.reader().records(self._handle.run_id, cls.kind, replace(bounds, where=by_keys(wanted)))
        return tuple(found)  # type: ignore[arg-type]


__all__ = ["Attachment", "check_batch_size", "forget_handle", "register_handle", "resolve_handle"]
