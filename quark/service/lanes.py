"""How many requests of each sort a process works on at once, so that slow ones of one sort stop none of another."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from litestar.connection import ASGIConnection

P = ParamSpec("P")
T = TypeVar("T")
Connection = ASGIConnection[Any, Any, Any, Any]

KEYS = "keys"
"""Looking up keys, and asking whether the service is ready."""

WRITES = "writes"
"""Decoding and storing batches; the others wait as they were sent, which is small."""

CONTROL = "control"
"""Heartbeats, positions, stops and other small questions about one run."""

PAGES = "pages"
"""Pages of runs and of records in their order."""

SCANS = "scans"
"""Filters, charts and overviews, which may have to look at everything that a run or a project has."""

SERIES = "series"
"""Whole series: ten million points are half a gigabyte."""

FILES = "files"
"""Payloads of artifacts."""

METERS = "meters"
"""The counters of the service."""

THREADS: Mapping[str, int] = {
    KEYS: 4, WRITES: 2, CONTROL: 4, PAGES: 4, SCANS: 4, SERIES: 2, FILES: 6, METERS: 1,
}  # fmt: skip
"""Threads of each lane. PAGES, SCANS and SERIES together leave a PostgreSQL pool of 16 connections enough to write."""


def new_lanes() -> dict[str, CapacityLimiter]:
    """The lanes of one service."""
    return {name: CapacityLimiter(threads) for name, threads in THREADS.items()}


async def run_in(connection: Connection, lane: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread of a lane, once one is free."""
    call = functools.partial(function, *args, **kwargs)
    return await anyio.to_thread.run_sync(call, limiter=connection.app.state.lanes[lane])


def in_lane(lane: str) -> Callable[[Callable[..., T]], Callable[..., Awaitable[T]]]:
    """Have a handler run in a thread of a lane."""

    def decorate(handler: Callable[..., T]) -> Callable[..., Awaitable[T]]:
        @functools.wraps(handler)
        async def handle(request: Any, **given: Any) -> T:
            return await run_in(request, lane, handler, request, **given)

        return handle

    return decorate
