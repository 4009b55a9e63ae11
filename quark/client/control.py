"""Control of a service's runs: heartbeats, and requests to stop or to start anew."""

from typing import Any, Protocol

import msgspec

from ..core.control import RunControl, check_grace
from ..errors import RunNotFoundError
from ..records.ready import ready
from .connection import Connection
from .paths import path_of_run


class _Connected(Protocol):
    connection: Connection


class RemoteControls:
    """The part of a remote store that controls runs; the same methods as those of a store in a database."""

    def control(self: _Connected, run_id: str) -> RunControl:
        """Signs of life of a run and what was asked of it; RunNotFoundError if there is none."""
        return msgspec.convert(self.connection.get(f"{path_of_run(run_id)}/control"), ready(RunControl))

    def request_stop(self: _Connected, run_id: str, grace_period_s: float) -> RunControl:
        """Ask a run to stop; InvalidRunStateError if it has ended."""
        return _asked(self.connection, run_id, "stop", grace_period_s)

    def request_restart(self: _Connected, run_id: str, grace_period_s: float) -> RunControl:
        """Ask the ``quark run`` that a run was started by to start it anew; raises like ``request_stop``."""
        return _asked(self.connection, run_id, "restart", grace_period_s)

    def delete_run(self: _Connected, run_id: str) -> None:
        """Hide a run; InvalidRunStateError if it is running."""
        self.connection.write("DELETE", path_of_run(run_id))

    def restore_run(self: _Connected, run_id: str) -> None:
        """Show a deleted run again."""
        self.connection.write("POST", f"{path_of_run(run_id)}/restore")

    def purge(self: _Connected, older_than_s: float) -> list[str]:
        """Remove for good what was deleted that long ago; needs a key with the scope admin."""
        return self.connection.write("POST", "/purge", {"older_than_s": older_than_s})["run_ids"]


class RemotePulse:
    """Heartbeats of a live run to its service, each tried once: the next one comes soon."""

    longest_pause_s = float("inf")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, run_id: str, interval_s: float, stop_step: int | None = None) -> RunControl | None:
        """Say that the run lives; what is asked of it. None: the service does not know the run yet."""
        wanted = {"interval_s": interval_s, **({} if stop_step is None else {"stop_step": stop_step})}
        body = msgspec.json.encode(wanted)
        headers = {"Content-Type": "application/json"}
        try:
            answer = self._connection.send("POST", f"{path_of_run(run_id)}/heartbeat", None, body, headers)
        except RunNotFoundError:
            return None
        return msgspec.json.decode(answer, type=ready(RunControl))

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()


def _asked(connection: Connection, run_id: str, what: str, grace_period_s: Any) -> RunControl:
    wanted = {"grace_period_s": check_grace(grace_period_s)}
    return msgspec.convert(connection.write("POST", f"{path_of_run(run_id)}/{what}", wanted), ready(RunControl))
