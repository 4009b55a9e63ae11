"""The configuration of a run as it grows: what is learned of it after the start is configuration too."""

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..producers.events import log_event
from ..records.fitting import MAX_EVENT_BYTES, fitted
from ..records.jsonable import json_object
from ..redaction import redact
from .valuemap import ValueMap, entries

if TYPE_CHECKING:
    from .session import TrainingSession

UPDATED = "config_updated"
"""The event of an update: ``values`` holds what is new, ``previous`` what these names held before."""


class RunConfig(ValueMap):
    """The configuration of a run, as this process knows it; what is set is recorded at once."""

    __module__ = "quark"

    def __init__(self, session: "TrainingSession") -> None:
        self._session = session
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._session, "config")

    def update(self, *given: Any, **named: Any) -> None:
        """Set several values with one record; a value that is refused leaves its neighbours alone.

        As with a dictionary, a nested mapping replaces what its name held before. Values that do not change anything
        are not recorded again.
        """
        session = self._session
        values: dict[str, Any] = {}
        try:
            for name, value in (entries(*given, strict=session.strict) | named).items():
                try:
                    values |= redact(json_object({name: value}, "config", strict=session.strict))
                except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
                    session.refuse(error, what="config")
            with self._lock:
                self._record(values)
        except BaseException as error:  # noqa: BLE001  a mapping may raise anything; refuse lets interrupts through
            session.refuse(error, what="config")

    def _record(self, values: Mapping[str, Any]) -> None:
        session, known = self._session, self._values
        news = {name: value for name, value in values.items() if name not in known or _differs(known[name], value)}
        if not news:
            return
        kept = {name: value for name, value in known.items() if name not in news}
        news, excess = fitted(news, kept, "the configuration")
        if excess is not None:
            session.refuse(excess, what="config", subject="config")
        step = session.current_step
        session.lifecycle("config", {"values": news, "step": step})
        session.configured({**known, **news})
        previous = {name: known[name] for name in news if name in known}
        payload, _ = fitted({"values": news, "previous": previous}, None, "the event", most=MAX_EVENT_BYTES)
        log_event(session, UPDATED, step=step, payload=payload)

    @property
    def _values(self) -> dict[str, Any]:
        return self._session.context.run.config

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"the configuration of a run cannot shrink; set {name!r} to None instead")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"RunConfig({self._values!r})"


def _differs(before: Any, now: Any) -> bool:
    return type(before) is not type(now) or before != now
