"""Has msgspec describe a type before two threads need it.

msgspec works out how to build a class when it is first asked to, keeps that with the class before it is complete, and
lets another thread use it so: a null pointer, and the end of the process (msgspec 0.22). Here one thread does it at a
time, and a fork waits for it, as the child would keep what is half done.
"""

import os
import threading
from typing import Any, TypeVar

import msgspec

Shape = TypeVar("Shape")

_ready: set[Any] = set()
_describing = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_describing.acquire, after_in_parent=_describing.release, after_in_child=_describing.release
    )


def ready(shape: Shape) -> Shape:
    """``shape``, which msgspec may convert to in any thread from now on: ``msgspec.convert(value, type=ready(cls))``.

    Args:
        shape: a class, or an annotation made of classes.
    """
    if shape not in _ready:
        with _describing:
            msgspec.json.Decoder(shape)
            _ready.add(shape)
    return shape
