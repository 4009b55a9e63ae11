"""How much memory requests may hold all together: what does not fit is refused, to come again later."""

import threading
from typing import Any

from ..storage.budget import PageBudget
from .costs import decoded_text
from .problems import ProblemError

PAGE_BYTES = 2 << 20
"""JSON text of the runs or records on one page: it ends there, and ``next`` leads on."""


class Room:
    """Bytes that the bodies and answers of all requests of this process may take at once.

    Bodies that are still arriving, or wait to be decoded, get half of it: whoever sends many and slowly leaves the
    other half to those that are being served.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._free_for_bodies = size // 2
        self._lock = threading.Lock()
        self._taken: dict[int, int] = {}
        self._bodies: dict[int, int] = {}
        self._streams: dict[int, str] = {}

    def take(self, scope: Any, size: int, *, body: bool = False) -> None:
        """Take room for a request until it ends.

        Args:
            body: whether it is for the request's body as it arrives.

        Raises:
            ProblemError: 503, there is none; the client comes again.
        """
        with self._lock:
            if size <= self.free and not (body and size > self._free_for_bodies):
                self.free -= size
                self._taken[id(scope)] = self._taken.get(id(scope), 0) + size
                if body:
                    self._free_for_bodies -= size
                    self._bodies[id(scope)] = self._bodies.get(id(scope), 0) + size
                return
        raise ProblemError(
            503, "the requests that are being served take all the memory that they may; try again",
            code="busy", headers={"Retry-After": "1"},
        )  # fmt: skip

    def take_stream(self, scope: Any, key_id: str, most: int) -> None:
        """Count a request that is answered without end, until it ends.

        Raises:
            ProblemError: 429, the key has so many of them already.
        """
        with self._lock:
            if sum(holder == key_id for holder in self._streams.values()) >= most:
                raise ProblemError(
                    429, f"this key has {most} streams of events open, the most that it may; close one",
                    headers={"Retry-After": "5"},
                )  # fmt: skip
            self._streams[id(scope)] = key_id

    def leave(self, scope: Any) -> None:
        """The request has ended."""
        with self._lock:
            self.free += self._taken.pop(id(scope), 0)
            self._free_for_bodies += self._bodies.pop(id(scope), 0)
            self._streams.pop(id(scope), None)


def page_budget(request: Any) -> PageBudget:
    """What one answer may hold; what it becomes when it is decoded is taken from the room of all requests."""
    room, scope = request.app.state.room, request.scope
    largest = 0

    def look(text: str) -> None:
        nonlocal largest
        size = decoded_text(text)
        if size > largest:  # only one of them is there at a time
            room.take(scope, size - largest)
            largest = size

    return PageBudget(PAGE_BYTES, lambda text: room.take(scope, decoded_text(text)), look)


def take_points(request: Any, points: int, size: int) -> None:
    """Take what so many points need while they are read, at most half of the room.

    Raises:
        ProblemError: 503, there is no room now.
    """
    state = request.app.state
    state.room.take(request.scope, min(points * size, state.config.max_memory // 2))
