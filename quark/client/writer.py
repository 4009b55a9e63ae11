"""Writes records into a run of a service directly, without a journal: each call is stored when it returns."""

import os
import threading
from collections.abc import Callable, Iterable

from ..errors import SessionStoreError
from ..records.base import Origin
from .connection import Connection
from .paths import path_of_writer

MOST_LINES = 5000
"""Lines of one request."""

Draft = tuple[int | None, Callable[[int], bytes]]
"""A record to be written: the sequence number that was allocated for it, if any, and its line for a number."""


class RemoteWriter:
    """One writer of one run. Safe to use from any thread; numbers that were allocated and not used leave holes."""

    def __init__(self, connection: Connection, run_id: str, attempt: int = 1) -> None:
        self.origin = Origin(run_id, f"0-{attempt}-{os.urandom(6).hex()}", 0, attempt)
        self._connection = connection
        self._lock = threading.RLock()
        self._next = 0
        self._sent = 0
        self._allocated: set[int] = set()

    @property
    def next(self) -> int:
        """The number that the next record gets."""
        return self._next

    def allocate(self) -> int:
        """A number of one's own, for a record that is written later."""
        with self._lock:
            number = self._next
            self._next += 1
            self._allocated.add(number)
            return number

    def write(self, drafts: Iterable[Draft]) -> list[int]:
        """Store records, all of a request or nothing; the numbers that they got.

        A number that was allocated is kept where it still fits: above everything that was written, in rising order.

        Raises:
            SessionStoreError: the service does not take them or cannot be reached.
        """
        with self._lock:
            numbers: list[int] = []
            lines: list[bytes] = []
            last = self._sent - 1
            for wanted, line in drafts:
                fits = wanted is not None and wanted in self._allocated and wanted > last
                last = wanted if fits and wanted is not None else self._next
                self._next = max(self._next, last + 1)
                numbers.append(last)
                lines.append(line(last) + b"\n")
            for start in range(0, len(lines), MOST_LINES):
                part = numbers[start : start + MOST_LINES]
                self._send(part[-1] + 1, b"".join(lines[start : start + MOST_LINES]))
            return numbers

    def _send(self, stop: int, data: bytes) -> None:
        origin = self.origin
        path = f"{path_of_writer(origin.run_id, origin.writer_id)}/records"
        answer = self._connection.send_patiently(
            "POST", path, data, {"Content-Type": "application/x-ndjson"}, first=self._sent, stop=stop, rank=origin.rank,
            attempt=origin.attempt,
        )  # fmt: skip
        held = answer.get("next") if isinstance(answer, dict) else None
        if type(held) is not int or held != stop:
            raise SessionStoreError(
                f"{self._connection.url} says that it holds {held} records after it was sent those below {stop}; "
                "is it a Quark service, and does nothing else write as this process?"
            )
        self._sent = stop
        self._allocated = {number for number in self._allocated if number >= stop}
