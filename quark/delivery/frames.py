"""What goes between a run and a sink in a process of its own: frames of MessagePack over two pipes."""

import os
import select
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..records.ready import ready

_HEAD = struct.Struct("<Q")
_PIPE = 1 << 16


@dataclass(frozen=True, slots=True)
class Made:
    """How the sink is made over there: its class by module and name, and its options, secrets included."""

    module: str
    name: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the sink."""

    method: str
    arguments: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a call raised. ``os_error``: the destination's fault, never a record's."""

    name: str
    message: str
    os_error: bool
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returned or raised, the lines that it set aside, and what was logged (logger, level, text)."""

    result: Any = None
    fault: Fault | None = None
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    logged: list[tuple[str, int, str]] = field(default_factory=list)


def send(descriptor: int, message: Any) -> None:
    """Write a frame.

    Raises:
        OSError: nobody reads any more.
    """
    body = msgspec.msgpack.encode(message, enc_hook=_plain)
    left = memoryview(_HEAD.pack(len(body)) + body)
    while left:
        left = left[os.write(descriptor, left[:_PIPE]) :]


def receive(descriptor: int, kind: Any, *, alive: Callable[[], bool] = lambda: True) -> Any:
    """Read a frame of a kind; ``alive`` is asked every second, as another process may hold the other end open too.

    Raises:
        EOFError: the other side is gone.
    """
    (length,) = _HEAD.unpack(_exactly(descriptor, _HEAD.size, alive))
    return msgspec.msgpack.decode(_exactly(descriptor, length, alive), type=ready(kind))


def _exactly(descriptor: int, length: int, alive: Callable[[], bool]) -> bytearray:
    read = bytearray()
    while len(read) < length:
        if not select.select([descriptor], [], [], 1.0)[0]:
            if not alive():
                raise EOFError("the other process is gone")
            continue
        part = os.read(descriptor, min(length - len(read), _PIPE))
        if not part:
            raise EOFError("the other process is gone")
        read += part
    return read


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
