"""Connections that do not move: cut off in time, cheap until then, and nobody else's problem."""

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from quark.records.base import Origin
from quark.service import ServiceConfig, connection, requests
from quark.testing import make_batch, metric_lines, start_line

from .serving import Threaded

ORIGIN = Origin("run-1", "w")
SHORT_S = 1.0


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Threaded]:
    """A service whose deadlines are a second."""
    monkeypatch.setattr(connection, "HEAD_S", SHORT_S)
    monkeypatch.setattr(connection, "REST_S", SHORT_S)
    monkeypatch.setattr(requests, "PIECE_S", SHORT_S)
    made = Threaded(ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db", body_timeout_s=SHORT_S))
    yield made
    made.close()


def answer_of(made: socket.socket) -> bytes:
    """Everything that comes until the service closes; a reset is an end too."""
    said = b""
    try:
        while piece := made.recv(65536):
            said += piece
    except ConnectionResetError:
        pass
    return said


def until(made: socket.socket, end: bytes) -> bytes:
    """What comes up to ``end``."""
    said = b""
    while end not in said and (piece := made.recv(65536)):
        said += piece
    return said


def head(live: Threaded, path: str, *lines: str, method: str = "POST") -> bytes:
    text = [f"{method} {path} HTTP/1.1", "Host: x", f"X-Quark-API-Key: {live.key}", *lines]
    return ("\r\n".join(text) + "\r\n\r\n").encode()


RECORDS = "/api/v1/runs/run-1/writers/w/records?first=0&stop=5"


@pytest.mark.parametrize("begin", [b"", b"GET /", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_headers_that_do_not_come(live: Threaded, begin: bytes) -> None:
    """Silence, a first byte, half a header with more of it drop by drop: the connection is cut."""
    with live.connect() as made:
        made.sendall(begin)
        ended = threading.Event()

        def drip() -> None:
            while begin and not ended.wait(0.2):
                try:
                    made.sendall(b"a")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert answer_of(made) == b""
        ended.set()
        dripping.join()


def test_headers_that_come_late_on_a_connection_that_was_used(live: Threaded) -> None:
    """The second request has the same deadline as the first; a connection that is idle stays."""
    with live.connect() as made:
        made.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'"ok"' in until(made, b"}")
        time.sleep(1.5 * SHORT_S)
        made.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'"ok"' in until(made, b"}")
        made.sendall(b"GET /hea")
        assert answer_of(made) == b""


@pytest.mark.parametrize(
    "line", [b"X-A: " + b"a" * 200_000, b"X-A: a\r\n" * 20_000, b"X-B: " + b"b" * 66_000 + b"\r\n\r\n"]
)
def test_headers_without_end(live: Threaded, line: bytes) -> None:
    """More than 64 KiB of headers are refused as they come."""
    with live.connect() as made:
        try:
            made.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + line)
        except OSError:
            pass
        assert b"200 OK" not in answer_of(made)
    assert live.ask("/healthz").status_code == 200


@pytest.mark.parametrize("start", [b"0\r\n", b"1\r\nx\r\n0\r\n", b"0;ext="], ids=["no body", "a body", "an extension"])
@pytest.mark.parametrize("piece", [b"X-A: " + b"a" * 100 + b"\r\n", b"X-A" + b"a" * 1000], ids=["many", "one"])
@pytest.mark.parametrize("key", [True, False], ids=["a key", "no key"])
def test_trailers_without_end(live: Threaded, start: bytes, piece: bytes, key: bool) -> None:
    """What follows a body is limited like what precedes it, with a key and without."""
    sent = 0
    with live.connect() as made:
        whole = head(live, RECORDS, "Transfer-Encoding: chunked")
        made.sendall(whole if key else whole.replace(live.key.encode(), b"none"))
        try:
            made.sendall(start)
            while sent < 16 << 20:
                made.sendall(piece * 100)
                sent += len(piece) * 100
        except OSError:
            pass
    assert sent < 16 << 20  # what the kernel holds on the way, and no more
    assert live.ask("/healthz").status_code == 200


def test_a_trailer_changes_nothing(live: Threaded) -> None:
    """A header behind the body is dropped: neither the namespace nor the encoding of a request can change late."""
    batch = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(4)])
    with live.connect() as made:
        made.sendall(head(live, RECORDS, "Transfer-Encoding: chunked", "Connection: close"))
        made.sendall(b"%x\r\n%s\r\n0\r\n" % (len(batch.data), batch.data))
        made.sendall(b"X-Quark-Storage-Dir: elsewhere\r\nContent-Encoding: gzip\r\n\r\n")
        assert b'{"next":5}' in answer_of(made)
    assert live.ask("/api/v1/runs/run-1").status_code == 200


def test_a_connection_full_of_requests(live: Threaded) -> None:
    """A few requests may wait on one connection; a thousand that nobody waits for are not kept."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with live.connect() as made:
        made.sendall(request * 10)
        said = b""
        while said.count(b'"ok"') < 10:
            said += made.recv(65536)
    with live.connect() as made:
        made.sendall(request * 1000)
        assert answer_of(made).count(b'"ok"') <= connection.MOST_PIPELINED + 1


@pytest.mark.parametrize("path", ["/api/v1/keys", "/api/v1/runs/run-1/heartbeat"])
def test_a_body_that_drips(live: Threaded, path: str) -> None:
    """One deadline for the whole body: a byte now and then does not keep a request alive."""
    stored(live, 4)
    with live.connect() as made:
        made.sendall(head(live, path, "Content-Length: 1000", "Content-Type: application/json"))
        start = time.monotonic()
        try:
            while time.monotonic() < start + 30:
                made.sendall(b" ")
                time.sleep(SHORT_S / 5)
            raise AssertionError("the service still waits")
        except OSError:
            pass


@pytest.mark.parametrize("body", [b"", b'{"kind":"metric"'])
def test_bodies_that_do_not_come(live: Threaded, body: bytes) -> None:
    """The sender is told so, cut off, and nothing is stored."""
    with live.connect() as made:
        made.sendall(head(live, RECORDS, "Content-Length: 1000") + body)
        said = answer_of(made)
    assert b" 408 " in said and b'"too_slow"' in said
    assert live.ask("/api/v1/runs/run-1").status_code == 404


def test_a_sender_that_does_not_stop_after_its_answer(live: Threaded) -> None:
    """A body that was refused is not taken in for ever."""
    with live.connect() as made:
        made.sendall(head(live, RECORDS, f"Content-Length: {1 << 40}"))
        start = time.monotonic()
        try:
            while time.monotonic() < start + 30:
                made.sendall(b"x" * 1000)
                time.sleep(0.01)
            raise AssertionError("the service still reads")
        except OSError:
            pass


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"], ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"], ["Content-Length: 5x"], ["Transfer-Encoding: x"], ["X-Quark-Storage-Dir: a\x00b"],
        ["X Bad: 1"],
    ],
)  # fmt: skip
def test_requests_of_two_meanings(live: Threaded, lines: list[str]) -> None:
    """Two lengths, a wrong one, forbidden characters: 400 and an end, so that no proxy and we read them differently."""
    with live.connect() as made:
        made.sendall(head(live, RECORDS, *lines) + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        said = answer_of(made)
    assert said.startswith(b"HTTP/1.1 400 ") or said == b""
    assert said.count(b"HTTP/1.1") <= 1
    assert live.ask("/api/v1/runs").json()["runs"] == []


@pytest.mark.parametrize("path", [RECORDS, "/api/v1/runs/run-1/stop"])
def test_a_client_that_goes_away_is_no_fault_of_the_service(live: Threaded, path: str) -> None:
    """Half a body and the end of the connection: counted as 499, under no code that raises an alarm."""
    with live.connect() as made:
        made.sendall(head(live, path, "Content-Length: 100") + b"{")

    def counted(status: str) -> bool:
        return f'status="{status}"' in live.ask("/metrics").text

    wait_until(lambda: counted("499"))
    assert not counted("500")


def test_a_head_is_counted_for_its_route(live: Threaded) -> None:
    """HEAD is answered as GET is, without the body, and counted beside it."""
    with live.connect() as made:
        made.sendall(head(live, "/api/v1/runs", "Connection: close", method="HEAD"))
        assert answer_of(made).endswith(b"\r\n\r\n")
    assert 'quark_requests_total{method="HEAD",route="/api/v1/runs",status="200"} 1.0' in live.ask("/metrics").text


def test_a_body_that_is_missing_is_named(live: Threaded) -> None:
    """The error says what to send."""
    with live.connect() as made:
        made.sendall(head(live, "/api/v1/runs/run-1/stop", "Content-Length: 0", "Connection: close"))
        assert b"the request needs a JSON object as its body" in answer_of(made)


def stored(live: Threaded, points: int) -> None:
    """A run with a series."""
    batch = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(points)])
    live.app.state.namespaces.store(None).append(batch)


def test_a_reader_that_does_not_read(live: Threaded, caplog: pytest.LogCaptureFixture) -> None:
    """A long answer waits in pieces, and is given up with its connection, which is no error; others are served."""
    stored(live, 100_000)
    with live.connect() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.sendall(head(live, "/api/v1/runs/run-1/series?key=train/loss", method="GET"))
        assert made.recv(16).startswith(b"HTTP/1.1 200")
        assert live.ask("/healthz").status_code == 200
        wait_until(lambda: not live.server.server_state.tasks)
        wait_until(lambda: not live.server.server_state.connections)
    wait_until(lambda: live.app.state.room.free == live.app.state.config.max_memory)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_answers_that_nobody_reads_hold_no_connection_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """Over PostgreSQL too: more unread answers than its pool has connections are cut, and others are served."""
    monkeypatch.setattr(requests, "PIECE_S", SHORT_S)
    live = Threaded(ServiceConfig.of(postgres_url, tmp_path))
    try:
        stored(live, 20_000)
        with ExitStack() as opened:
            for _ in range(40):
                made = opened.enter_context(live.connect())
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                made.sendall(head(live, "/api/v1/runs/run-1/series?key=train/loss", method="GET"))
            assert live.ask("/api/v1/runs").status_code == 200
            assert live.write(make_batch(Origin("run-2", "w"), [start_line(Origin("run-2", "w"))])) == 200
            wait_until(lambda: not live.server.server_state.tasks)
        wait_until(lambda: live.app.state.room.free == live.app.state.config.max_memory)
    finally:
        live.close()


def wait_until(true: Callable[[], bool]) -> None:
    """Come back when it is true."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_hundred_clients(live: Threaded) -> None:
    """A hundred slow writers and a hundred idle connections: memory stays bounded, and a training run gets through."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 500, "the test needs some hundred sockets"
    before = psutil.Process().memory_info().rss
    sockets = [live.connect() for _ in range(200)]
    try:
        for number, made in enumerate(sockets):
            if number % 2:
                made.sendall(head(live, RECORDS, "Content-Length: 10000000") + b"x" * 200_000)
            else:
                made.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        batch = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(4)])
        with live.connect() as made:
            made.sendall(head(live, RECORDS, f"Content-Length: {len(batch.data)}") + batch.data)
            assert b'{"next":5}' in until(made, b"}")
        grown = psutil.Process().memory_info().rss - before
        assert grown < live.app.state.config.max_memory
    finally:
        for made in sockets:
            made.close()
    wait_until(lambda: live.app.state.room.free == live.app.state.config.max_memory)


def test_bodies_that_wait_leave_half_of_the_memory(live: Threaded) -> None:
    """Bodies that arrive and do not end take half of the memory at most: the others are still decoded and answered."""
    room, config = live.app.state.room, live.app.state.config
    room.take("a slow one", config.max_memory // 2 - 100, body=True)
    batch = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(4)])
    assert live.write(batch) == 503
    assert live.ask("/api/v1/runs").status_code == 200
    room.leave("a slow one")
    assert live.write(batch) == 200
    wait_until(lambda: room.free == config.max_memory)


def test_memory_that_is_taken(live: Threaded) -> None:
    """What does not fit beside the others' bodies is refused with 503, to come again; then there is room again."""
    config = live.app.state.config
    live.app.state.room.take("a request", config.max_memory)
    with live.connect() as made:
        made.sendall(head(live, RECORDS, "Content-Length: 10", "Connection: close") + b"0123456789")
        said = answer_of(made)
    assert b" 503 " in said and b"retry-after: 1" in said.lower()
    live.app.state.room.leave("a request")
    wait_until(lambda: live.app.state.room.free == config.max_memory)
