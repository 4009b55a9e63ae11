"""The service in its own processes: an orderly end, several workers, two replicas over one database, its log."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.testing import make_batch, metric_lines, start_line

from .serving import Processes

Start = Callable[..., Processes]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts services, which end with the test."""
    made: list[Processes] = []

    def begin(db: str, data: Path, *options: str, **more: Any) -> Processes:
        made.append(Processes(db, data, *options, **more))
        return made[-1]

    yield begin
    for each in made:
        if each.process.poll() is None:
            each.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Either database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/quark.db"
    return request.getfixturevalue("postgres_url")


def batches(run_id: str, count: int = 5) -> list[RecordBatch]:
    """A run in so many batches of four records."""
    origin = Origin(run_id, "w")
    made = [make_batch(origin, [start_line(origin), *metric_lines(3)])]
    return made + [make_batch(origin, metric_lines(4, first_step=4 * n), 4 * n) for n in range(1, count)]


def send(client: httpx.Client, batch: RecordBatch) -> httpx.Response:
    path = f"/api/v1/runs/{batch.origin.run_id}/writers/w/records"
    return client.post(path, params={"first": batch.first, "stop": batch.stop}, content=batch.data)


def test_two_workers(db: str, tmp_path: Path, start: Start) -> None:
    """Whichever worker takes a request, each record is stored once, and the counts are those of both together."""
    service = start(db, tmp_path / "data", "--workers", "2")

    def write(number: int) -> None:
        for batch in batches(f"run-{number}"):
            with service.client() as client:  # a connection each, so that both workers get some
                assert send(client, batch).json() == {"next": batch.stop}
                assert send(client, batch).json() == {"next": batch.stop}

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with service.client() as client:
        for number in range(4):
            assert client.get(f"/api/v1/runs/run-{number}/overview").json()["counts"] == {"metric": 19}
        text = client.get("/metrics").text
        counted = sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("quark_requests_total") and 'records"' in line and 'status="200"' in line
        )
        assert counted == 40
        assert re.search(r"^quark_open_requests 1(\.0)?$", text, re.MULTILINE)


def test_a_worker_that_dies_is_replaced(tmp_path: Path, start: Start) -> None:
    """Killed without a word, it takes nothing along: another one takes its place, and all end with their parent."""
    service = start(f"sqlite:///{tmp_path}/data/quark.db", tmp_path / "data", "--workers", "2")
    parent = psutil.Process(service.process.pid)
    with service.client() as client:
        send(client, batches("run-1")[0]).raise_for_status()

    def workers() -> list[psutil.Process]:
        alive = [child for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in alive if "resource_tracker" not in " ".join(child.cmdline())]

    gone = workers()[0]
    gone.kill()
    wait_until(lambda: len(workers()) == 2 and gone.pid not in [worker.pid for worker in workers()])
    for _ in range(4):
        with service.client(transport=httpx.HTTPTransport(retries=3)) as client:
            assert client.get("/api/v1/runs/run-1/overview").json()["counts"] == {"metric": 3}
    left = workers()
    service.kill()
    psutil.wait_procs(left, timeout=40)
    assert not any(worker.is_running() for worker in left)


def wait_until(true: Callable[[], Any]) -> None:
    """Come back when it is true."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_replicas_over_one_database(postgres_url: str, tmp_path: Path, start: Start) -> None:
    """What one replica was told the other knows: runs, keys made and revoked; both take batches of one run."""
    one, two = (start(postgres_url, tmp_path / "data") for _ in range(2))
    with one.client() as first, two.client() as second:
        for number, batch in enumerate(batches("run-1")):
            held = send((first, second)[number % 2], batch)
            assert held.json() == {"next": batch.stop}
            assert send((second, first)[number % 2], batch).json() == {"next": batch.stop}
        for client in (first, second):
            assert client.get("/api/v1/runs/run-1/series", params={"key": "train/loss"}).json()["length"] == 19
        made = first.post("/api/v1/keys", json={"name": "k", "scopes": ["read"]}).json()
        headers = {"X-Quark-API-Key": made["text"]}
        assert httpx.get(f"{two.url}/api/v1/runs", headers=headers).status_code == 200
        assert first.delete(f"/api/v1/keys/{made['key']['id']}").status_code == 204
        wait_until(lambda: httpx.get(f"{two.url}/api/v1/runs", headers=headers).status_code == 401)


def being_served(service: Processes) -> int:
    """Requests that the service is serving, the one that asks left out."""
    found = re.search(r"^quark_open_requests (\d+)", httpx.get(f"{service.url}/metrics").text, re.MULTILINE)
    return int(found.group(1)) - 1 if found else 0


def test_an_orderly_end(db: str, tmp_path: Path, start: Start) -> None:
    """At SIGTERM readyz says 503 at once, new requests are to come again, and one that is on its way is answered."""
    service = start(db, tmp_path / "data", notice_s=5.0)
    batch = batches("run-1")[0]
    go = threading.Event()

    def body() -> Iterator[bytes]:
        yield batch.data[:10]
        go.wait(30)
        yield batch.data[10:]

    answers: list[httpx.Response] = []

    def write() -> None:
        with service.client() as client:
            path = "/api/v1/runs/run-1/writers/w/records"
            answers.append(client.post(path, params={"first": 0, "stop": batch.stop}, content=body()))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: being_served(service) == 1)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{service.url}/readyz").status_code == 503)
        refused = httpx.get(f"{service.url}/api/v1/runs", headers={"X-Quark-API-Key": service.key})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"] == "1"
        assert httpx.get(f"{service.url}/healthz").status_code == 200
    finally:
        go.set()
        writer.join()
    assert answers[0].json() == {"next": 4}
    service.process.wait(30)
    again = start(db, tmp_path / "data")
    with again.client() as client:
        assert client.get("/api/v1/runs/run-1/overview").json()["counts"] == {"metric": 3}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_it_now(tmp_path: Path, start: Start, workers: str) -> None:
    """Whoever sends SIGTERM twice does not wait for the requests that are on their way."""
    service = start(f"sqlite:///{tmp_path}/data/quark.db", tmp_path / "data", "--workers", workers)
    with socket.create_connection(("127.0.0.1", service.port)) as made:
        made.sendall(b"POST /api/v1/runs/r/writers/w/records?first=0&stop=1 HTTP/1.1\r\nHost: x\r\n")
        made.sendall(f"X-Quark-API-Key: {service.key}\r\nContent-Length: 100\r\n\r\n{{".encode())
        wait_until(lambda: being_served(service) == 1)
        children = psutil.Process(service.process.pid).children(recursive=True)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: b"stopping" in service.log.read_bytes())
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == -signal.SIGTERM
        psutil.wait_procs(children, 30)
        assert made.recv(65536) == b""  # it was not answered


def test_the_log_is_one_line_of_json_a_request(tmp_path: Path, start: Start) -> None:
    """Id, route, status, time; never a key, a path or what a client made up to look like a line."""
    service = start(f"sqlite:///{tmp_path}/data/quark.db", tmp_path / "data")
    with service.client() as client:
        answer = client.get("/api/v1/runs/run-secret", headers={"X-Request-ID": "mine.1"})
        assert answer.headers["x-request-id"] == "mine.1"
        forged = client.get("/api/v1/runs/%0A%7B%22level%22%3A%22x%22%7D", headers={"X-Request-ID": '{"a":1}'})
        assert forged.status_code == 400
    service.stop()
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    mine = [line for line in lines if line.get("id") == "mine.1"]
    assert [(line["route"], line["status"], line["method"]) for line in mine] == [("/api/v1/runs/{run_id}", 404, "GET")]
    assert mine[0]["ms"] > 0
    text = service.log.read_text()
    assert service.key not in text
    assert "run-secret" not in text
    assert os.fspath(tmp_path) not in "".join(json.dumps(line) for line in lines if "route" in line)
