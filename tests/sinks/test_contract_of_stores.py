"""Sinks whose destination is a store, a service or a person, against the contract of every sink."""

import contextlib
import copy
import http.server
import io
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import quark
from quark.client.connection import Connection
from quark.client.pause import Pause
from quark.core.reader import StoreReader
from quark.errors import RunNotFoundError
from quark.records.base import Record
from quark.service import ServiceConfig
from quark.sinks.console import ConsoleSink
from quark.sinks.discovery import known_sinks, sink_class, sink_from_spec
from quark.sinks.service import ServiceSink
from quark.sinks.store import StoreSink
from quark.sinks.uploads import ServiceFilesSink
from quark.sinks.webhook import WebhookSink
from quark.storage import SqlStore
from quark.testing import SinkContract

from ..service.serving import Threaded
from . import test_contract as of_files

RUN = "run-contract"
KINDS = ("metric", "event", "alert")
NOTHING: frozenset[str] = frozenset()


def held(reader: StoreReader) -> list[Record]:
    """What a store has of the run."""
    with contextlib.suppress(RunNotFoundError):
        return [record for kind in KINDS for record in reader.records(RUN, kind)]
    return []


class TestStore(SinkContract):
    """StoreSink keeps the contract, in a database file."""

    def make_sink(self, tmp_path):
        return StoreSink(tmp_path / "quark.db")

    def read_back(self, sink: Any):
        store = SqlStore(sink.store_path)
        try:
            return held(store)
        finally:
            store.close()

    @contextlib.contextmanager
    def broken(self, sink: Any):
        """The file has another name for a while."""
        away = sink.store_path.with_name("away.db")
        os.rename(sink.store_path, away)
        yield
        os.rename(away, sink.store_path)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    """A service of this process; each test has a namespace of its own in it."""
    directory = tmp_path_factory.mktemp("service")
    served = Threaded(ServiceConfig.of(f"sqlite:///{directory}/quark.db", directory))
    yield served
    served.close()


class TestService(SinkContract):
    """ServiceSink keeps the contract, with a service on a real socket."""

    sink: ClassVar[Any] = ServiceSink

    @pytest.fixture(autouse=True)
    def _served(self, service: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service = service
        monkeypatch.setenv("QUARK_USER_KEY", service.key)

    def make_sink(self, tmp_path):
        return self.sink(self.service.url, namespace=str(tmp_path))

    def read_back(self, sink: Any):
        with quark.connect(self.service.url, storage_dir=sink.connection.namespace) as store:
            return held(store._reader)

    @contextlib.contextmanager
    def broken(self, sink: Any):
        """The key is a wrong one for a while; the pause that follows is over at once."""
        kept, sink.connection = sink.connection, Connection(self.service.url, user_key="qk_wrong")
        yield
        sink.connection.close()
        sink.connection, sink._pause = kept, Pause(kept.clock, kept.rng)


class TestServiceFiles(TestService):
    """ServiceFilesSink keeps the contract; it brings files only, and no record."""

    kinds: ClassVar[frozenset[str] | None] = NOTHING
    sink = ServiceFilesSink

    @contextlib.contextmanager
    def broken(self, sink: Any):
        pytest.skip("batches without artifacts ask nothing of the service")
        yield


class TestConsole(SinkContract):
    """ConsoleSink keeps the contract; it keeps no record."""

    durable = False
    kinds: ClassVar[frozenset[str] | None] = NOTHING

    def make_sink(self, tmp_path):
        return ConsoleSink(0.0, stream=io.StringIO())

    def read_back(self, sink: Any):
        return []


class TestWebhook(SinkContract):
    """WebhookSink keeps the contract, with a chat that takes everything; it keeps no record."""

    durable = False
    kinds: ClassVar[frozenset[str] | None] = NOTHING

    @pytest.fixture(autouse=True)
    def _chat(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Chat)
        monkeypatch.setenv("QUARK_WEBHOOK_URL", f"http://127.0.0.1:{self.server.server_port}/hook")
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        yield
        self.server.shutdown()
        self.server.server_close()
        thread.join()

    def make_sink(self, tmp_path):
        return WebhookSink()

    def read_back(self, sink: Any):
        return []


class Chat(http.server.BaseHTTPRequestHandler):
    """Answers every message with 200."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("name", sorted({"live-analyzer", *known_sinks()}))
def test_a_sink_can_be_handed_to_another_process(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches and launchers pickle callbacks with their trackers: what arrives is a sink with the same options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARK_WEBHOOK_URL", "http://127.0.0.1:9/hook")
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QUARK_USER_KEY", "qk_secret")
    sink = quark.LiveAnalyzer(stop_on="critical") if name == "live-analyzer" else made(name, tmp_path)
    text = pickle.dumps(sink)
    again = pickle.loads(text)
    assert (type(again), again.spec()) == (type(sink), sink.spec())
    assert type(copy.deepcopy(sink)) is type(sink)
    assert b"qk_secret" not in text
    if isinstance(again, quark.LiveAnalyzer):
        assert again._stop_on == sink._stop_on
        monkeypatch.delenv("QUARK_PERSISTENCE_URL")
        monkeypatch.delenv("QUARK_USER_KEY")
        with quark.start_run(project="p", storage_dir=tmp_path, trackers=[again]) as run:
            run.log({"loss": 1.0}, step=0)
        assert run.health()["faults"] == {}


def made(name: str, tmp_path: Path) -> Any:
    """A sink of a name."""
    return sink_from_spec(name, {"store_path": str(tmp_path / "q.db")} if name == "store" else {})


def test_every_sink_is_under_the_contract(tmp_path: Path) -> None:
    """A sink of Quark that no class here or beside it makes is not held to what third parties are held to."""
    held_here = {ConsoleSink, ServiceFilesSink, ServiceSink, StoreSink, WebhookSink}
    of_others = {quark.JsonlSink, quark.MemorySink}
    mirrors = {"mlflow", "wandb", "clearml"}
    contracts = [
        cls for space in (globals(), vars(of_files)) for cls in space.values()
        if isinstance(cls, type) and issubclass(cls, SinkContract) and cls is not SinkContract
    ]  # fmt: skip
    assert len(contracts) >= len(held_here) + len(of_others)
    assert {sink_class(name) for name in known_sinks() if name not in mirrors} == held_here | of_others
    tests = Path(__file__).parents[1] / "integrations"
    assert {name for name in mirrors if "(SinkContract)" in (tests / f"test_{name}.py").read_text()} == mirrors
