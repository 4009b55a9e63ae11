"""The memory lane: requests of strangers against one process, its memory, and what another client notices of them."""

import functools
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import zstandard

from quark.records.base import Origin
from quark.service.config import MIB, ServiceConfig
from quark.service.keys import KeyStore
from quark.testing import event_line, make_batch, metric_lines, start_line, wide_lines

from .serving import Processes
from .test_unpacking import frame

GROWTH = 256 * MIB
SLOWER = 10.0
SAMPLES = 40
"""Writes of the other client, alone and beside the strangers."""
ROUNDS = 3
"""Times that an attack may take the writes too long, where another program on the machine did."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A service as it is served, with runs of 100 kB each in it."""
    data: Path = tmp_path_factory.mktemp("lane")
    made = Processes(f"sqlite:///{data}/quark.db", data)
    with made.client() as client:
        for number in range(30):
            origin = Origin(f"large-{number}", "w")
            event = event_line("x", payload={"m": "x" * 100_000})
            batch = make_batch(origin, [start_line(origin, project="theirs"), *[event] * 5])
            path = f"/api/v1/runs/{origin.run_id}/writers/w/records"
            client.post(path, params={"first": 0, "stop": batch.stop}, content=batch.data).raise_for_status()
    keys = KeyStore(ServiceConfig.of(f"sqlite:///{data}/quark.db", data).keys_url)
    made.limited = keys.create("limited", ["read"], ["mine"])[0]  # type: ignore[attr-defined]
    keys.close()
    yield made
    made.stop()


def trailers(service: Processes) -> None:
    """Trailers without end, without a key."""
    for piece in (b"X-A: " + b"a" * 1000 + b"\r\n", b"a" * 1000):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as made:
            made.sendall(b"POST /api/v1/keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            try:
                for _ in range(1000):
                    made.sendall(piece * 64)
            except OSError:
                pass


@functools.cache
def packed_bombs() -> tuple[bytes, ...]:
    """Three kilobytes each that are millions of objects, as an event and as the metadata of a metric, or 128 MiB."""
    lines = (
        b'{"kind":"event","sequence":0,"time":1,"label":"x","body":{"event_type":"x","severity":"info","payload":{"m":[%s]}}}',
        b'{"kind":"metric","sequence":0,"time":1,"step":1,"metric_key":"a","value":1,"metadata":{"m":[%s]}}',
    )
    pack = zstandard.ZstdCompressor().compress
    elements = (b"[]", b"{}", b'{"":0}', b"0")
    made = [pack(line % b",".join([one] * ((30 * MIB) // (len(one) + 1)))) for line in lines for one in elements]
    return (*made, frame(1024))


def bombs(service: Processes) -> None:
    """Small bodies that become millions of objects or 128 MiB of text."""
    with service.client() as client:
        for data in packed_bombs():
            answer = client.post(
                "/api/v1/runs/bomb/writers/w/records?first=0&stop=1", content=data,
                headers={"Content-Encoding": "zstd"},
            )  # fmt: skip
            assert answer.status_code in (413, 422)


def drips(service: Processes) -> None:
    """Sixty bodies of 16 MB that nearly arrive and then wait, and as many that come byte by byte."""
    with sockets(service, 120) as made:
        for number, each in enumerate(made):
            each.sendall(head(service, "POST", RECORDS, "Content-Length: 16000000"))
            each.settimeout(0.05)
            try:
                for _ in range(240 if number % 2 else 1):
                    each.sendall(bytes(64 << 10) if number % 2 else b"x")
            except OSError:  # refused, or not read any more
                pass
        time.sleep(2)


def unread(service: Processes) -> None:
    """Eighty long answers that nobody reads."""
    with sockets(service, 80, buffer=4096) as made:
        for number, each in enumerate(made):
            path = ("/api/v1/runs/large-1/records/event?limit=1000", "/api/v1/runs?limit=1000")[number % 2]
            each.sendall(head(service, "GET", path))
        time.sleep(2)


def pipelined(service: Processes) -> None:
    """Thousands of requests on each of forty connections, of which no answer is read."""
    with sockets(service, 40, buffer=4096) as made:
        flood = head(service, "GET", "/api/v1/runs/large-1/records/event?limit=1000") * 300
        for each in made:
            each.settimeout(0.05)
            try:
                each.sendall(flood)
            except OSError:  # cut
                pass
        time.sleep(2)


def namespaces(service: Processes) -> None:
    """As many storage namespaces as a key may make, each with a run, read again by several at once."""
    with service.client() as client:
        for number in range(100):
            batch = make_batch(Origin("run", "w"), [start_line(Origin("run", "w")), *metric_lines(5)])
            client.post(
                "/api/v1/runs/run/writers/w/records", params={"first": 0, "stop": batch.stop}, content=batch.data,
                headers={"X-Quark-Storage-Dir": f"many/{number}"},
            ).raise_for_status()  # fmt: skip
            read = client.get("/api/v1/runs/run/overview", headers={"X-Quark-Storage-Dir": f"many/{number}"})
            assert read.json()["counts"] == {"metric": 5}


def charts(service: Processes) -> None:
    """As many charts as one request may ask for, many times at once, as text and as columns."""
    origin = Origin("drawn", "w")
    keys = [f"layer/{number}" for number in range(50)]
    batch = make_batch(origin, [start_line(origin), *wide_lines(600, keys)])
    asked = {"runs": ["drawn"] * 20, "keys": keys, "buckets": 500}
    with service.client() as client:
        path = "/api/v1/runs/drawn/writers/w/records"
        client.post(path, params={"first": 0, "stop": batch.stop}, content=batch.data).raise_for_status()

        def ask(accept: str) -> None:
            answer = client.post("/api/v1/charts", json=asked, headers={"Accept": accept}, timeout=90)
            assert answer.status_code in (200, 503)

        kinds = ["application/json", "application/vnd.quark.columns"] * 4
        asking = [threading.Thread(target=ask, args=(kind,)) for kind in kinds]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()


def streams(service: Processes) -> None:
    """Two hundred streams of events, of which none is read."""
    with sockets(service, 200, buffer=4096) as made:
        for each in made:
            each.sendall(head(service, "GET", "/api/v1/events/stream"))
        time.sleep(2)


@contextmanager
def sockets(service: Processes, count: int, *, buffer: int | None = None) -> Iterator[list[socket.socket]]:
    """Connections to the service, with a buffer of so many bytes for what they receive."""
    with ExitStack() as opened:
        made = []
        for _ in range(count):
            each = opened.enter_context(socket.socket())
            if buffer is not None:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            each.settimeout(30)
            each.connect(("127.0.0.1", service.port))
            made.append(each)
        yield made


RECORDS = "/api/v1/runs/drip/writers/w/records?first=0&stop=1"


def head(service: Processes, method: str, path: str, *lines: str) -> bytes:
    """The head of a request."""
    text = [f"{method} {path} HTTP/1.1", "Host: x", f"X-Quark-API-Key: {service.key}", *lines]
    return ("\r\n".join(text) + "\r\n\r\n").encode()


def readers(service: Processes) -> None:
    """Long pages and lists of large runs, by several at once."""
    paths = ["/api/v1/runs?limit=1000", "/api/v1/runs/large-1/records/event?limit=1000"]
    at_once(service, service.key, paths * 4)


def limited_readers(service: Processes) -> None:
    """Forty small requests of a key that may see nothing of what is there."""
    at_once(service, service.limited, ["/api/v1/runs?limit=1"] * 40)  # type: ignore[attr-defined]


def at_once(service: Processes, key: str, paths: list[str]) -> None:
    """Ask for all paths at the same time, by one client: to make forty would cost the writer's time, too."""

    with httpx.Client(base_url=service.url, headers={"X-Quark-API-Key": key}, timeout=60) as client:

        def ask(path: str) -> None:
            assert client.get(path).status_code in (200, 503)

        asking = [threading.Thread(target=ask, args=(path,)) for path in paths]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()


class Writer:
    """Another client, which writes all the time and notes how long each write takes."""

    def __init__(self, service: Processes, run_id: str) -> None:
        self._service = service
        self._origin = Origin(run_id, "w")
        self.seconds: list[float] = []

    def write(self, going: Callable[[], bool]) -> list[float]:
        """Write until it is no longer wanted, but so many times at least."""
        with self._service.client() as client:
            first, lines = 0, [start_line(self._origin), *metric_lines(9)]
            while going() or len(self.seconds) < SAMPLES:
                batch = make_batch(self._origin, lines, first)
                path = f"/api/v1/runs/{self._origin.run_id}/writers/w/records"
                start = time.perf_counter()
                answer = client.post(path, params={"first": first, "stop": batch.stop}, content=batch.data)
                self.seconds.append(time.perf_counter() - start)
                assert answer.status_code == 200
                first, lines = batch.stop, metric_lines(10)
                time.sleep(0.01)
        return self.seconds


ATTACKS = [trailers, bombs, drips, unread, pipelined, namespaces, readers, limited_readers, charts, streams]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_strangers_cost_little(service: Processes, attack: Callable[[Processes], None]) -> None:
    """No request takes more than the memory of all requests, and another client's writes stay about as quick."""
    packed_bombs()  # before the clock runs: to make them would cost the writer's time
    for round_number in range(ROUNDS):
        beside, alone, grown = _attacked(service, attack, f"{attack.__name__}-{round_number}")
        assert grown <= GROWTH, f"{grown / MIB:.0f} MiB"
        if p95(beside) <= SLOWER * p95(alone):
            return
    raise AssertionError(f"the writes took {p95(beside):.3f} s instead of {p95(alone):.3f} s in {ROUNDS} rounds")


def _attacked(
    service: Processes, attack: Callable[[Processes], None], name: str
) -> tuple[list[float], list[float], int]:
    """The seconds of another client's writes beside an attack and alone, and the bytes by which the service grew."""
    process = psutil.Process(service.process.pid)
    alone = Writer(service, f"alone-{name}").write(lambda: False)
    idle = peak = process.memory_info().rss
    failed: list[BaseException] = []

    def strike() -> None:
        try:
            attack(service)
        except BaseException as error:
            failed.append(error)

    striking = threading.Thread(target=strike)
    beside = Writer(service, f"beside-{name}")
    writing = threading.Thread(target=lambda: beside.write(striking.is_alive))
    striking.start()
    writing.start()
    while striking.is_alive() or writing.is_alive():
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.01)
    assert not failed, failed
    assert len(beside.seconds) >= SAMPLES
    return beside.seconds, alone, peak - idle


def p95(seconds: list[float]) -> float:
    """The time that nineteen of twenty writes stay below."""
    return statistics.quantiles(seconds, n=20)[-1]
