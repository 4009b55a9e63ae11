"""Live events: a page is told which runs have changed, and reads what it shows of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from ..storage.changes import Change
from .lanes import CONTROL, KEYS, run_in
from .parameters import Text
from .runs import store_of

LOOK_S = 1.0
"""How often a stream looks for changes."""

OVERLAP_NS = 5 * 10**9
"""A change may be stored so much later than the moment that it carries, or by a clock that is so much behind."""

HEARTBEAT_S = 15.0
LONGEST_S = 3600.0
MOST_OF_A_KEY = 16
"""Streams of one key at once, in one process of the service."""

Seconds = Annotated[float, QueryParameter(gt=0, le=LONGEST_S, description="end the stream after so many seconds")]
LastId = Annotated[
    str | None, HeaderParameter(name="Last-Event-ID", max_length=100, description="`id` of the last event that arrived")
]


@get("/api/v1/events/stream", opt={"scope": "read"}, media_type="text/event-stream")
async def stream(
    request: Request[Any, Any, Any], project: Text = None, seconds: Seconds = LONGEST_S, last_id: LastId = None
) -> ServerSentEvent:
    """Server-sent events: `{"run", "project", "kind", "seq"}` for each run that has changed, until `seconds` are over.

    They are hints: whoever shows the run reads it again. `kind` is `metric` or another kind of record, `run` for its
    status, name or tags, and `all` for what happened before the stream began; a hint may come twice, and one of
    `metric` comes with every change. `seq`: records of the run so far. A client that comes again with the header
    `Last-Event-ID` misses no run. With `project` only the runs of this one. A comment is sent every 15 seconds. A key
    has 16 streams at once, more are answered with 429; a client that does not read is cut off, and so is one whose key
    was revoked.
    """
    request.app.state.room.take_stream(request.scope, request.state.key.id, MOST_OF_A_KEY)
    return ServerSentEvent(_events(request, project, seconds, _since(last_id)))


def _since(last_id: str | None) -> int | None:
    """The moment of the last event in nanoseconds; None for a stream that begins anew."""
    if last_id is None or not last_id.isdecimal() or not last_id.isascii():
        return None
    return min(int(last_id), 2**53) * 1000


async def _events(
    request: Request[Any, Any, Any], project: str | None, seconds: float, since: int | None
) -> AsyncIterator[ServerSentEventMessage]:
    """What is sent; the numbers of events are microseconds, which a page can compute with."""
    state = request.app.state
    end = time.monotonic() + seconds
    watch = _Watch(request, project, since)
    yield ServerSentEventMessage(data=None, comment="connected", retry=2000)
    spoke = time.monotonic()
    while not state.stopping and await _may_listen(request):
        for message in await run_in(request, CONTROL, watch.look):
            spoke = time.monotonic()
            yield message
        if time.monotonic() - spoke >= HEARTBEAT_S:
            spoke = time.monotonic()
            yield ServerSentEventMessage(data=None, comment="alive")
        left = end - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(LOOK_S, left))


async def _may_listen(request: Request[Any, Any, Any]) -> bool:
    """Whether the key that began a stream is still in use; a page that comes again without one is told so."""
    keys, key_id = request.app.state.key_store, request.state.key.id
    return (keys.remembered_id(key_id) or await run_in(request, KEYS, keys.check_id, key_id)) is not None


class _Watch:
    """What one stream has told so far."""

    def __init__(self, request: Request[Any, Any, Any], project: str | None, since: int | None) -> None:
        self._request = request
        self._project = project
        self._is_new = since is None
        self._since = time.time_ns() if since is None else since
        self._record: int | None = None
        self._told: dict[str, int] = {}

    def look(self) -> list[ServerSentEventMessage]:
        """The events since the last look."""
        began = self._since
        changes, last = store_of(self._request).changes(
            began - OVERLAP_NS, self._record, self._request.state.key.projects
        )
        is_first, self._record = self._record is None, last
        made = []
        known = dict(self._told)
        self._told = {f"{change.project} {change.run_id}": change.marks for change in changes}
        for change in changes:
            self._since = max(self._since, change.changed_at)
            name = f"{change.project} {change.run_id}"
            if self._project not in (None, change.project) or known.get(name) == change.marks:
                continue
            if is_first and self._is_new:
                continue  # it happened before anybody listened
            made += _messages(change, ("all",) if is_first else ("metric", *change.kinds))
        return made


def _messages(change: Change, kinds: Iterable[str]) -> list[ServerSentEventMessage]:
    return [
        ServerSentEventMessage(
            data=msgspec.json.encode(
                {"run": change.run_id, "project": change.project, "kind": kind, "seq": change.marks}
            ),
            id=str(change.changed_at // 1000),
        )
        for kind in kinds
    ]  # fmt: skip
