"""Control from afar: heartbeats of runs, and the requests that their answers carry."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody

from ..core.control import LEAST_GRACE_S, MOST_GRACE_S, RunControl
from .lanes import CONTROL, in_lane
from .parameters import RunId
from .runs import found_run


class Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    """A process of the run lives.

    ``interval_s``: seconds to its next heartbeat. ``stop_step``: the step before which rank 0 proposes that all ranks
    of a distributed job stop; the first proposal counts.
    """

    interval_s: Annotated[float, msgspec.Meta(gt=0, le=86400)]
    stop_step: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class Grace(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds that a run has to end by itself."""

    grace_period_s: Annotated[float, msgspec.Meta(ge=LEAST_GRACE_S, le=MOST_GRACE_S)] = 600.0


@post("/api/v1/runs/{run_id:str}/heartbeat", status_code=200, opt={"scope": "write"})
@in_lane(CONTROL)
def heartbeat(request: Request[Any, Any, Any], run_id: RunId, data: JSONBody[Heartbeat]) -> RunControl:
    """The run lives; the answer says what is asked of it. A run that was closed as silent goes on."""
    store, row = found_run(request, run_id)
    return store.beat(row.id, data.interval_s, data.stop_step)


@get("/api/v1/runs/{run_id:str}/control", opt={"scope": "read"})
@in_lane(CONTROL)
def read_control(request: Request[Any, Any, Any], run_id: RunId) -> RunControl:
    """Signs of life of a run, and the requests that wait for it."""
    store, row = found_run(request, run_id)
    return store.control(row.id)


@post("/api/v1/runs/{run_id:str}/stop", status_code=200, opt={"scope": "write"})
@in_lane(CONTROL)
def stop(request: Request[Any, Any, Any], run_id: RunId, data: JSONBody[Grace]) -> RunControl:
    """Ask a run to stop after its current step; 409 if it has ended."""
    store, row = found_run(request, run_id)
    return store.request_stop(row.id, data.grace_period_s)


@post("/api/v1/runs/{run_id:str}/restart", status_code=200, opt={"scope": "write"})
@in_lane(CONTROL)
def restart(request: Request[Any, Any, Any], run_id: RunId, data: JSONBody[Grace]) -> RunControl:
    """Ask the ``quark run`` that started a run to start it anew; 409 if it has ended."""
    store, row = found_run(request, run_id)
    return store.request_restart(row.id, data.grace_period_s)
