"""Payloads over HTTP: whole or in parts, once by content, true to their digest or not there."""

import gzip
import signal
import socket
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.records.run import project_id
from quark.service import blobs
from quark.service.payloads import BlobFiles
from quark.service.problems import ProblemError
from quark.testing import make_batch, start_line

from .conftest import Served
from .serving import Processes
from .test_ingestion import send

ORIGIN = Origin("run-1", "w")
DATA = bytes(range(256)) * 400
DIGEST = sha256(DATA).hexdigest()
BLOB = f"/api/v1/runs/run-1/blobs/{DIGEST}"
PAYLOAD = "/api/v1/runs/run-1/artifacts/w-1/payload"


def artifact(digest: str = DIGEST) -> Line:
    fields = {
        "artifact_key": "model", "namespace": None, "artifact_name": "model", "artifact_type": "file",
        "payload_format": "bytes",
        "payload_relative_path": "artifacts/model.bin", "metadata_relative_path": "artifacts/model.json",
        "size_bytes": len(DATA), "sha256": digest,
    }  # fmt: skip
    return Line("artifact", 0, 1_778_112_000_000_000_000, label="model", body=msgspec.Raw(encode(fields)))


@pytest.fixture
def held(served: Served) -> Served:
    """A service that holds a run, and the record of an artifact without its payload."""
    answer = send(served, make_batch(ORIGIN, [start_line(ORIGIN), artifact()]))
    assert answer.status_code == 200, answer.text
    return served


def part(first: int, stop: int, total: int = len(DATA)) -> dict[str, Any]:
    return {"content": DATA[first:stop], "headers": {"Content-Range": f"bytes {first}-{stop - 1}/{total}"}}


def test_a_payload_goes_there_and_back(held: Served) -> None:
    """Bytes in, the same bytes out, as a download that no browser opens; before that it has not arrived."""
    assert held.ask("GET", PAYLOAD).json()["error"]["code"] == "payload_not_found"
    assert held.ask("GET", BLOB).json() == {"size": 0, "complete": False}
    assert held.ask("PUT", BLOB, content=DATA).json() == {"size": len(DATA), "complete": True}
    answer = held.ask("GET", PAYLOAD)
    assert answer.content == DATA
    assert (answer.headers["content-disposition"], answer.headers["x-content-type-options"]) == (
        "attachment",
        "nosniff",
    )


@pytest.mark.parametrize("more", [{}, {"Range": "bytes=100-199"}])
def test_head_reads_no_payload(held: Served, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
    """HEAD tells the size and the type of a payload, and its file is not read for that."""
    held.ask("PUT", BLOB, content=DATA).raise_for_status()
    whole = held.ask("GET", PAYLOAD, headers=more)
    read: list[int] = []
    before = blobs.run_in

    async def counted(connection: Any, lane: str, function: Any, *args: Any, **named: Any) -> Any:
        if getattr(function, "__name__", "") == "read":
            read.append(args[0])
        return await before(connection, lane, function, *args, **named)

    monkeypatch.setattr(blobs, "run_in", counted)
    answer = held.ask("HEAD", PAYLOAD, headers=more)
    assert (answer.status_code, answer.content, read) == (whole.status_code, b"", [])
    for name in ("content-length", "content-range", "etag", "accept-ranges", "content-disposition"):
        assert answer.headers.get(name) == whole.headers.get(name)
    assert held.ask("GET", PAYLOAD, headers=more).content == whole.content
    assert read and max(read) <= blobs.PIECE


@pytest.mark.parametrize(("method", "path"), [("GET", PAYLOAD), ("PUT", BLOB)])
def test_transfers_take_room(held: Served, method: str, path: str) -> None:
    """What a transfer holds at once is taken from the memory of all requests; 503 if there is none."""
    if method == "GET":
        held.ask("PUT", BLOB, content=DATA).raise_for_status()
    room = held.app.state.room
    room.take("others", room.free - 1000)
    answer = held.ask(method, path, content=DATA if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    room.leave("others")
    assert held.ask(method, path, content=DATA if method == "PUT" else None).status_code == 200
    assert room.free == held.app.state.config.max_memory


def test_an_upload_goes_on_where_it_broke_off(held: Served) -> None:
    """Parts in order are put together; one that leaves a gap is told what is held."""
    assert held.ask("PUT", BLOB, **part(0, 1000)).json() == {"size": 1000, "complete": False}
    refused = held.ask("PUT", BLOB, **part(2000, 3000))
    assert (refused.status_code, refused.json()["error"]["held"]) == (409, 1000)
    assert held.ask("GET", BLOB).json() == {"size": 1000, "complete": False}
    assert held.ask("PUT", BLOB, **part(1000, len(DATA))).json() == {"size": len(DATA), "complete": True}
    assert held.ask("GET", PAYLOAD).content == DATA


def test_what_is_held_is_not_taken_again(held: Served) -> None:
    """The same content of another run is one file, and sending it again changes nothing."""
    held.ask("PUT", BLOB, content=DATA)
    other = Origin("run-2", "w")
    send(held, make_batch(other, [start_line(other), artifact()]))
    path = f"/api/v1/runs/run-2/blobs/{DIGEST}"
    assert held.ask("GET", path).json() == {"size": len(DATA), "complete": True}
    assert held.ask("PUT", path, content=b"else").json() == {"size": len(DATA), "complete": True}
    assert held.ask("GET", PAYLOAD.replace("run-1", "run-2")).content == DATA
    files = held.app.state.namespaces.files(None)
    assert len([file for file in files.rglob("*") if file.is_file() and file.stat().st_size]) == 1


def test_a_wrong_digest_is_not_kept(held: Served) -> None:
    """422, and the upload begins anew."""
    answer = held.ask("PUT", BLOB, content=DATA[:-1] + b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "wrong_digest")
    assert held.ask("GET", BLOB).json() == {"size": 0, "complete": False}
    assert held.ask("GET", PAYLOAD).status_code == 404
    assert held.ask("PUT", BLOB, content=DATA).json()["complete"]


def test_the_record_of_an_artifact_names_no_file(served: Served) -> None:
    """A digest that is a way to somewhere else is no digest, and its record is refused."""
    for digest in ("../../../../etc/passwd", "0" * 63, "A" * 64, "/etc/passwd"):
        answer = send(served, make_batch(ORIGIN, [start_line(ORIGIN), artifact(digest)]))
        assert (answer.status_code, answer.json()["error"]["index"]) == (422, 1)
        with pytest.raises(FileNotFoundError):
            BlobFiles(Path("/"), ("p",)).path(digest)


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-9", 206, DATA[:10]), ("bytes=10-", 206, DATA[10:]), ("bytes=-5", 206, DATA[-5:]),
        ("bytes=5-99999999", 206, DATA[5:]), ("bytes=99999999-", 416, None), ("bytes=9-5", 416, None),
        ("bytes=-", 200, DATA),
        ("bytes=a-b", 200, DATA), ("lines=1-2", 200, DATA), ("bytes=0-1,4-5", 200, DATA),
        ("bytes=" + "9" * 5000 + "-", 200, DATA),
    ],
)  # fmt: skip
def test_ranges(held: Served, wanted: str, status: int, expected: bytes | None) -> None:
    """A part that is there is sent, one that lies behind the end is refused, what is no range asks for everything."""
    held.ask("PUT", BLOB, content=DATA)
    answer = held.ask("GET", PAYLOAD, headers={"Range": wanted})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize(
    "text",
    ["bytes 0-9", "bytes 5-4/10", "bytes 0-10/10", "bytes -5/10", "x", "bytes 0-9/*", "bytes 0-" + "9" * 5000 + "/1"],
)
def test_content_ranges_that_are_none(held: Served, text: str) -> None:
    """400, and nothing is held."""
    answer = held.ask("PUT", BLOB, content=b"x", headers={"Content-Range": text})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "Content-Range")
    assert held.ask("GET", BLOB).json()["size"] == 0


def test_a_packed_payload_is_refused_as_such(held: Served) -> None:
    """A payload is known by the bytes that are sent, so an encoding is refused by its name and nothing is kept."""
    packed = held.ask("PUT", BLOB, content=gzip.compress(DATA), headers={"Content-Encoding": "gzip"})
    assert (packed.status_code, "gzip" in packed.text) == (415, True)
    assert held.ask("GET", BLOB).json() == {"size": 0, "complete": False}
    assert held.ask("PUT", BLOB, content=DATA, headers={"Content-Encoding": "identity"}).status_code == 200


def test_sizes_are_limited(held: Served) -> None:
    """An artifact that is too large is refused, whether it says so before, or only turns out to be; so is a part."""
    object.__setattr__(held.app.state.config, "max_artifact", 1000)
    assert held.ask("PUT", BLOB, content=DATA).status_code == 413
    assert held.ask("PUT", BLOB, content=iter([DATA])).status_code == 413
    assert held.ask("PUT", BLOB, **part(0, 10)).status_code == 413
    longer = {"content": DATA[:20], "headers": {"Content-Range": "bytes 0-9/900"}}
    assert held.ask("PUT", BLOB, **longer).status_code == 413
    assert held.ask("GET", BLOB).json() == {"size": 0, "complete": False}


def test_two_senders_of_one_payload(held: Served) -> None:
    """While one sends, the other is asked to come again; neither spoils what arrives."""
    files = BlobFiles(held.app.state.namespaces.files(None), (project_id("digits"),))
    with files.arriving(DIGEST) as file:
        file.write(DATA[:1000])
        refused = held.ask("PUT", BLOB, content=DATA)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
        with pytest.raises(ProblemError), files.arriving(DIGEST):
            pass
        file.write(DATA[1000:])
        files.complete(DIGEST, file)
    assert held.ask("PUT", BLOB, content=DATA).json() == {"size": len(DATA), "complete": True}
    assert held.ask("GET", PAYLOAD).content == DATA


def test_a_service_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    """What had arrived is there when it comes back, and the upload goes on behind it."""
    db, data = f"sqlite:///{tmp_path}/data/quark.db", tmp_path / "data"
    service = Processes(db, data)
    batch = make_batch(ORIGIN, [start_line(ORIGIN), artifact()])
    with service.client() as client:
        query = {"first": 0, "stop": batch.stop}
        client.post("/api/v1/runs/run-1/writers/w/records", params=query, content=batch.data).raise_for_status()
        with socket.create_connection(("127.0.0.1", service.port)) as upload:
            head = f"PUT {BLOB} HTTP/1.1\r\nHost: x\r\nX-Quark-API-Key: {service.key}\r\n"
            upload.sendall(f"{head}Content-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:50_000])
            held: dict[str, Any] = {"size": 0}
            pause = threading.Event()
            while held["size"] < 50_000 and not pause.wait(0.05):
                held = client.get(BLOB).json()
            assert client.put(BLOB, content=DATA).status_code == 503
            service.kill()
    assert service.process.returncode == -signal.SIGKILL
    again = Processes(db, data)
    try:
        with again.client() as client:
            assert client.get(BLOB).json() == {"size": 50_000, "complete": False}
            rest = {"Content-Range": f"bytes 50000-{len(DATA) - 1}/{len(DATA)}"}
            assert client.put(BLOB, content=DATA[50_000:], headers=rest).json()["complete"]
            assert client.get(PAYLOAD).content == DATA
    finally:
        again.stop()
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{again.url}/healthz")


LOOP = """
import asyncio, fcntl, os, sys
from pathlib import Path
from litestar.testing import TestClient
from quark.service import ServiceConfig, create_app
from tests.service.test_artifacts import BLOB, DATA, ORIGIN, PAYLOAD, artifact, part
from quark.testing import make_batch, start_line

seen, data = set(), sys.argv[1]

def hold(cls, *names):
    for name in names:
        before = getattr(cls, name)
        def called(*args, before=before, name=name, **named):
            if asyncio._get_running_loop() is not None:
                seen.add(name)
            return before(*args, **named)
        setattr(cls, name, called)

hold(os, "stat", "lstat", "open", "fstat", "fdopen")
hold(Path, "mkdir", "exists", "is_symlink", "lstat", "unlink")
hold(fcntl, "flock")
with TestClient(create_app(ServiceConfig.of(f"sqlite:///{data}/quark.db"))) as client:
    client.headers["X-Quark-API-Key"] = client.app.state.key_store.create("x", ["admin"])[0]
    batch = make_batch(ORIGIN, [start_line(ORIGIN), artifact()])
    query = {"first": 0, "stop": batch.stop}
    client.post("/api/v1/runs/run-1/writers/w/records", params=query, content=batch.data).raise_for_status()
    seen.clear()
    said = [
        client.get(PAYLOAD), client.put(BLOB, **part(0, 100)), client.put(BLOB, **part(7, 100)), client.get(BLOB),
        client.put(BLOB, content=DATA), client.put(BLOB, content=DATA), client.get(PAYLOAD), client.head(PAYLOAD),
        client.get(PAYLOAD, headers={"Range": "bytes=9-"}),
    ]
print([one.status_code for one in said], sorted(seen))
"""


def test_transfers_never_hold_up_the_event_loop(tmp_path: Path) -> None:
    """Whatever an upload or a download asks of the disk, it asks in a thread of the lane of files."""
    command = [sys.executable, "-c", LOOP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[404, 200, 409, 200, 200, 200, 200, 200, 206] []"


def test_uploads_that_broke_off_expire(held: Served) -> None:
    """What is left of an upload goes with a purge, or by itself after a week; one that goes on stays."""
    path = f"/api/v1/runs/run-1/blobs/{'7' * 64}"
    part = {"Content-Range": "bytes 0-3/100"}
    assert held.ask("PUT", path, content=b"1234", headers=part).json() == {"size": 4, "complete": False}
    assert held.app.state.namespaces.drop_partials() == 0
    assert held.ask("POST", "/api/v1/purge", json={"older_than_s": 3600}).status_code == 200
    assert held.ask("GET", path).json()["size"] == 4
    assert held.ask("POST", "/api/v1/purge", json={"older_than_s": 0}).status_code == 200
    assert held.ask("GET", path).json() == {"size": 0, "complete": False}
    held.ask("PUT", path, content=b"1234", headers=part)
    assert held.app.state.namespaces.drop_partials(0) == 1
