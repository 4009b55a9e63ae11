"""Whether the service lives and whether it can serve; and how it begins and ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio.to_thread
import msgspec
from litestar import Litestar, Request, get

from .access import OPEN
from .config import ServiceConfig
from .lanes import KEYS, run_in
from .namespaces import Namespaces
from .problems import ProblemError
from .rounds import Rounds
from .survey import Survey
from .watch import Watches

VERSION = version("quark-tracker")


class Alive(msgspec.Struct):
    """The service answers."""

    status: str
    version: str


@get("/healthz", opt={"scope": OPEN}, sync_to_thread=False)
def healthz() -> Alive:
    """The process lives; says nothing of the database."""
    return Alive("ok", VERSION)


@get("/readyz", opt={"scope": OPEN})
async def readyz(request: Request[Any, Any, Any]) -> Alive:
    """The service can serve: it is not stopping, and the database answers. 503 otherwise."""
    state = request.app.state
    if state.stopping:
        raise ProblemError(503, "the service is stopping", headers={"Retry-After": "5"})
    await run_in(request, KEYS, state.key_store.answers)
    return Alive("ok", VERSION)


def rounds_of(namespaces: Namespaces, config: ServiceConfig) -> list[Rounds]:
    """What a service does beside its requests: it watches over the runs, and packs what has come."""
    survey = Survey(namespaces)
    watches = Watches(config.lost_after_s)
    unseen, unpacked = "the runs of %s could not be looked at (%s)", "what came to %s could not be packed yet (%s)"
    return [
        Rounds("quark-watch", survey.stores, watches.look, unseen),
        Rounds("quark-pack", namespaces.every, lambda store: store.seal(), unpacked),
    ]


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """From the first request to the last: then the stores are closed, which packs what ended runs have left."""
    state = app.state
    for each in state.rounds:
        each.start()
    try:
        yield
    finally:
        state.stopping = True
        for each in state.rounds:
            await anyio.to_thread.run_sync(each.stop)
        await anyio.to_thread.run_sync(state.namespaces.close)
        await anyio.to_thread.run_sync(state.key_store.close)
