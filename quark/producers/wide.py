"""The wide record: all metrics of one step as one line, whatever is among them."""

import math
from collections.abc import Iterator, Mapping
from time import time_ns
from typing import Any

from orjson import OPT_APPEND_NEWLINE, dumps

from ..core.handle import RunHandle
from ..errors import ClosedError, QuarkError, SchemaValidationError, WrongTypeError
from ..records.event import EventRecord
from ..records.foreign import clean_text, described, must_propagate, shown, shown_name
from ..records.grammar import MAX_INT, SMALL_INT, check_key, check_position, to_float, whole
from ..records.line import WIDE, Line, encode
from ..records.naming import NONFINITE
from .device import is_on_device
from .events import log_event
from .naming import declare, key_for

_ISFINITE = math.isfinite
PLAIN = frozenset((float, int))
"""The types of numbers that are recorded as they are."""

LOGGED_TEXT = "logged_text"
"""The event that keeps texts that were logged among metrics: its payload holds them by name."""

MISPLACED = "metric_misplaced"
"""The event that keeps the values of a ``log`` call whose step or epoch no series can have: ``step`` and ``epoch`` as
they were given, and ``values`` by name."""

DEEPEST = 16
"""Levels of mappings within each other whose names are put together."""

MOST_NESTED = 10_000
"""Values from mappings within others in one call: a few that hold each other twice have values without end."""


class NonFiniteMetricError(SchemaValidationError):
    """A value was NaN or infinite. Outside strict mode it is recorded all the same, as an event."""

    __module__ = "quark.errors"


def nonfinite(
    handle: RunHandle, key: str, name: str, value: float, step: int | None, epoch: int | None
) -> NonFiniteMetricError:
    """Outside strict mode a NaN becomes an event: it is what the user must see; the error says the rest."""
    word = "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if not handle.strict:
        declare(handle, key)
        payload = {"key": key, "value": word, **({} if name == key else {"name": name})}
        handle.emit(
            EventRecord, {"event_type": NONFINITE, "severity": "error", "payload": payload}, step=step, epoch=epoch
        )
    position = ", ".join(f"{of} {number}" for of, number in (("step", step), ("epoch", epoch)) if number is not None)
    return NonFiniteMetricError(
        f"metric {shown_name(name)} must be finite, got {word} at {position}; "
        "look for a division by zero, a too high learning rate or an overflow"
    )


def full_name(name: object, namespace: object) -> str:
    """A name below its namespace, whatever the two are."""
    text = clean_text(str.__str__(name)) if isinstance(name, str) else described(name)
    return text if namespace is None else f"{full_name(namespace, None)}/{text}"


def keep_text(handle: RunHandle, name: str, text: str, step: int | None, epoch: int | None) -> None:
    """Keep a text that was logged as a metric: it is no number, and it is not lost."""
    log_event(handle, LOGGED_TEXT, step=step, epoch=epoch, payload={name: clean_text(str.__str__(text))})


def log_values(
    handle: RunHandle, values: Mapping[str, Any], step: int | None, epoch: int | None, time: int | None = None
) -> None:
    """The wide record: all values of one step as one line. What is not a finite number leaves its neighbours alone.

    One sum tells whether all values are plain finite numbers: it is a float that is neither NaN nor infinite, and
    adding anything else raises or gives another type. (A sum that overflows only costs the longer way.)
    """
    journal = handle.journal
    now = time_ns() if time is None else time
    try:
        if (
            type(values) is dict
            and type(step) is int
            and step >= 0
            and (step <= SMALL_INT or step <= MAX_INT)
            and (epoch is None or (type(epoch) is int and 0 <= epoch <= SMALL_INT))
            and values.keys() <= handle.known_keys
            and (type(total := sum(values.values())) is float or type(total) is int)
            and total - total == 0.0
        ):
            while True:
                number = journal.next
                if epoch is None:  # five keys fit into the smallest table of a dictionary
                    line = {"kind": WIDE, "sequence": number, "time": now, "step": step, "values": values}
                else:
                    line = {
                        "kind": WIDE, "sequence": number, "time": now, "step": step, "epoch": epoch, "values": values,
                    }  # fmt: skip
                if journal.put(number, dumps(line, None, OPT_APPEND_NEWLINE)):
                    return
    except (TypeError, ValueError, OverflowError):  # text, None, a tensor, a nested mapping: looked at one by one
        pass
    except ClosedError:
        raise
    except BaseException as error:  # an object raises what it likes when it is added up
        if must_propagate(error):
            raise
    _log_checked(handle, values, step, epoch, now)


def _log_checked(handle: RunHandle, values: Any, step: Any, epoch: Any, now: int) -> None:
    try:
        step, epoch = position_of(handle, step, epoch)
    except (SchemaValidationError, WrongTypeError) as error:
        refuse_position(handle, values, step, epoch, error)
        return
    if handle.names.metrics and (keyed := _keyed(handle, values)) is not None:
        _put_wide(handle, keyed, step, epoch, now)
        return
    if not isinstance(values, Mapping):
        raise WrongTypeError(
            f"log takes a mapping of metric names to numbers, got {shown(values)}; log {{'loss': 0.5}}"
        )
    finite: dict[str, float] = {}
    texts: dict[str, str] = {}
    try:
        _sort_out(handle, values, step, epoch, now, finite, texts)
    except BaseException as error:  # noqa: BLE001  the mapping itself may raise half way; what came before is kept
        handle.refuse(error, what="log")
    if texts:
        log_event(handle, LOGGED_TEXT, step=step, epoch=epoch, payload=texts)
    if finite:
        _put_wide(handle, finite, step, epoch, now)


def position_of(handle: RunHandle, step: Any, epoch: Any) -> tuple[int | None, int | None]:
    """The checked step and epoch of metrics; outside strict mode 5.0 is 5.

    Raises:
        SchemaValidationError, WrongTypeError: no series has such a position, or neither is given.
    """
    return check_position(step, epoch) if handle.strict else check_position(whole(step), whole(epoch))


def refuse_position(handle: RunHandle, values: Any, step: Any, epoch: Any, error: QuarkError) -> None:
    """Refuse metrics for their step or epoch, each by name; outside strict mode an event keeps the numbers.

    Raises:
        SchemaValidationError, WrongTypeError: strict mode.
    """
    if handle.strict or not isinstance(values, Mapping):
        raise error
    numbers: dict[str, Any] = {}
    advice = "pass a whole step from 0 on, or none, and log any other position as a metric of its own"
    explained = type(error)(f"{error}; the event {MISPLACED} keeps the value; {advice}")
    for name, value in _flat(values):
        handle.refuse(explained, what=f"metric {shown_name(name)}", subject=described(name))
        try:  # one that is still on a device is not waited for
            if not is_on_device(value):
                numbers[full_name(name, None)] = value if isinstance(value, str) else to_float(value)
        except WrongTypeError:
            continue
    if numbers:
        log_event(handle, MISPLACED, severity="warning", payload={"step": step, "epoch": epoch, "values": numbers})


def _keyed(handle: RunHandle, values: Any) -> dict[str, float] | None:
    """The values by their keys, if all have names that were used before and all are finite numbers; else None."""
    if type(values) is not dict:
        return None
    given: dict[str, float] = values
    key_of = handle.names.metrics.get
    keyed = {key_of(name, name): value for name, value in given.items()}
    if len(keyed) != len(values) or not keyed.keys() <= handle.known_keys:
        return None
    return keyed if all(type(value) is float and value - value == 0.0 for value in keyed.values()) else None


def _put_wide(handle: RunHandle, values: dict[str, float], step: int | None, epoch: int | None, now: int) -> None:
    journal = handle.journal
    while True:
        number = journal.next
        if journal.put(number, encode(Line(WIDE, number, now, step, epoch, None, None, values)) + b"\n"):
            return


def _sort_out(
    handle: RunHandle, values: Mapping[Any, Any], step: int | None, epoch: int | None, now: int,
    finite: dict[str, float], texts: dict[str, str],
) -> None:  # fmt: skip
    """Put numbers into ``finite`` and texts into ``texts``; refuse the rest one by one."""
    for name, value in _flat(values):
        try:
            if is_on_device(value):
                handle.defer(_key(handle, name), value, step, epoch, now)
            elif isinstance(value, str):
                texts[_name_of_text(handle, name)] = clean_text(str.__str__(value))
            else:
                number = to_float(value)
                key = _key(handle, name)  # the name is recorded only with a value
                if not _ISFINITE(number):
                    raise nonfinite(handle, key, name, number, step, epoch)
                handle.known_keys.add(key)
                if key in finite:  # by its name and by its key in one call: both values are points
                    _put_wide(handle, {key: number}, step, epoch, now)
                else:
                    finite[key] = number
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            handle.refuse(error, what=f"metric {shown_name(name)}", subject=described(name))


def _key(handle: RunHandle, name: Any) -> str:
    return name if name in handle.known_keys else key_for(handle, name)


def _name_of_text(handle: RunHandle, name: Any) -> str:
    """The name of a text in an event's payload, where any text may stand."""
    return check_key(name) if handle.strict or not isinstance(name, str) else clean_text(str.__str__(name))


def _flat(values: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Nested mappings as ``outer/inner`` names, ``outer/0`` where the inner one is a number.

    A mapping that is nested too deep, holds itself, or comes behind MOST_NESTED others' values is left as it is.
    """
    stack = [("", iter(values.items()), 0)]
    nested = 0
    while stack:
        prefix, items, depth = stack[-1]
        for name, value in items:
            nested += depth > 0
            full = f"{prefix}{name if isinstance(name, str) else described(name)}" if prefix else name
            if depth < DEEPEST and nested < MOST_NESTED and isinstance(value, Mapping):
                stack.append((f"{full if isinstance(full, str) else described(full)}/", iter(value.items()), depth + 1))
                break
            yield full, value
        else:
            stack.pop()
