"""Where runs live: in the embedded store of their storage directory, or in a Quark service when one is configured."""

import os
from typing import Any, Protocol

from ..client.connection import Connection, ServiceUnavailableError, namespace_of, service_is_configured
from ..client.paths import path_of_run
from ..client.refusals import json_of
from ..core.control import Pulse
from ..core.reader import StoreReader
from ..core.sink import Sink
from ..records.run import RunRecord
from ..sinks.store import StoreSink
from .placement import Placement

START_WAIT_S = 2.0
"""How long an answer may take that a run begins without if it has to."""


class Home(Protocol):
    """Where the runs of a storage directory live."""

    name: str
    location: str
    """The database file, or the address of the service."""

    def sink(self) -> Sink:
        """What brings records there."""
        ...

    def open(self, project: str = "") -> StoreReader:
        """What reads them there; to be closed. ``project``: whose runs are meant, if that is known."""
        ...

    def exists(self) -> bool:
        """Whether there may be runs."""
        ...

    remote: bool
    """Whether it can be away."""

    def pulse(self, project: str) -> Pulse:
        """Where a live run of a project says that it lives; to be closed."""
        ...

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """The JSON Schema of a project's configurations; None if it has none."""
        ...

    def run(self, run_id: str, project: str = "") -> RunRecord:
        """A run (of ``project``) that a start wants to know of; RunNotFoundError if there is no such run."""
        ...


class EmbeddedHome:
    """The embedded store."""

    name = StoreSink.name
    remote = False

    def __init__(self, placement: Placement) -> None:
        self.location = str(placement.db_path)
        self._placement = placement

    def sink(self) -> Sink:
        """Writes into the store."""
        self._placement.check()
        return StoreSink(self.location)

    def open(self, project: str = "") -> StoreReader:
        """The store."""
        from ..storage import SqlStore

        self._placement.check()
        return SqlStore(self.location)

    def exists(self) -> bool:
        """Whether the file is there."""
        return os.path.exists(self._placement.db_path)  # False too for what can be no path

    def pulse(self, project: str) -> Pulse:
        """Reads what is asked in the store."""
        from ..storage import SqlStore
        from .heartbeat import StorePulse

        return StorePulse(SqlStore(self.location))

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """Looked up in the store; one that is not there has none."""
        if not self.exists():
            return None
        store = self.open()
        try:
            return store.blueprint(project)
        finally:
            store.close()

    def run(self, run_id: str, project: str = "") -> RunRecord:
        """Looked up in the store."""
        store = self.open()
        try:
            return store.run(run_id)
        finally:
            store.close()


class ServiceHome:
    """A service; whether it can be reached now is nobody's concern but the sink's."""

    name = "service"
    remote = True

    def __init__(self, url: str | None = None, namespace: str = "") -> None:
        connection = Connection(url, namespace=namespace or namespace_of(None))
        self.location = connection.url
        self._namespace = connection.namespace

    def sink(self) -> Sink:
        """Sends to the service."""
        from ..sinks.service import ServiceSink

        return ServiceSink(self.location, namespace=self._namespace)

    def open(self, project: str = "") -> StoreReader:
        """The service as a store."""
        from ..client.remote import RemoteStore

        return RemoteStore(Connection(self.location, namespace=self._namespace, project=project))

    def exists(self) -> bool:
        """Nobody knows before asking."""
        return True

    def pulse(self, project: str) -> Pulse:
        """Asks the service."""
        from ..client.control import RemotePulse

        return RemotePulse(Connection(self.location, namespace=self._namespace, project=project))

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """Asked for once and not for long."""
        return self._asked_once("blueprint", "/blueprint", {"project": project})["blueprint"]

    def run(self, run_id: str, project: str = "") -> RunRecord:
        """Asked for once and not for long."""
        from ..client.remote import run_record

        return run_record(self._asked_once("id", path_of_run(run_id), project=project))

    def _asked_once(
        self, field: str, path: str, query: dict[str, Any] | None = None, project: str = ""
    ) -> dict[str, Any]:
        """An answer that a start can do without: a run must not wait for its service."""
        connection = Connection(self.location, namespace=self._namespace, timeout_s=START_WAIT_S, project=project)
        try:
            told = json_of(connection.send("GET", path, query), self.location)
        finally:
            connection.close()
        if not isinstance(told, dict) or field not in told:
            raise ServiceUnavailableError(f"what answered at {self.location} is no Quark service")
        return told


def home_of(placement: Placement, storage_dir: object = None) -> Home:
    """Where runs started now live; ``storage_dir`` as the user gave it names the namespace at a service."""
    if service_is_configured():
        return ServiceHome(namespace=namespace_of(storage_dir))
    return EmbeddedHome(placement)


def home_of_note(placement: Placement, sink: dict[str, Any]) -> Home:
    """Where a run lives of which a process that this one started says what its home's sink is."""
    if sink.get("kind") != ServiceHome.name:
        return EmbeddedHome(placement)
    options = sink.get("options") or {}
    return ServiceHome(options.get("url"), options.get("namespace", ""))


_homes: dict[str, Home] = {}


def remember_home(run_id: str, home: Home) -> None:
    """Let the context of a run that this process has ended lead to where the run is stored."""
    _homes[run_id] = home


def home_of_run(run_id: str) -> Home | None:
    """Where a run that this process has ended is stored; None for any other run."""
    return _homes.get(run_id)
