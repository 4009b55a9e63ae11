"""Runs of a service in trouble: wrong keys, restored backups, large files, and groups; against real services."""

import os
import shutil
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import quark
from quark.client.connection import Connection

from .conftest import Service


def until(true: object, seconds: float = 30) -> None:
    """Wait for something that will be."""
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_wrong_key_is_told_once_and_costs_nothing(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service is asked once and then left alone, however often somebody flushes; the right key delivers it all."""
    service.start()
    right = os.environ["QUARK_USER_KEY"]
    monkeypatch.setenv("QUARK_USER_KEY", "qk_00000000_wrong")
    run = quark.start_run(project="p", storage_dir=tmp_path, close_timeout_s=0.5)
    for step in range(100):
        run.log({"loss": step}, step=step)
        if step % 20 == 0:
            run.flush(0.2)
    sink = run.health()["sinks"]["service"]
    run.finish("completed")
    assert sink["state"] == "retrying" and "set QUARK_USER_KEY" in sink["last_error"]
    assert sum("said 401" in record.message and "sink_service:" in record.message for record in caplog.records) == 1
    monkeypatch.setenv("QUARK_USER_KEY", right)
    from quark.session.sync import sync

    assert sync(tmp_path).problems == []
    with quark.connect(storage_dir=tmp_path) as store:
        assert len(store.run(run.run_id).series("loss")) == 100


def test_a_service_restored_from_an_older_backup_gets_the_rest_again(service: Service, tmp_path: Path) -> None:
    """What it had confirmed and lost is in the journal of the run that still trains."""
    service.start()
    data = tmp_path / "service"
    with quark.start_run(project="p", close_timeout_s=30) as run:
        for step in range(1500):
            run.log({"loss": step}, step=step)
            if step == 300:
                assert run.flush(20)
                service.stop()
                shutil.copytree(data / "namespaces", tmp_path / "backup")
                service.start()
            if step == 900:
                assert run.flush(20)
                service.stop(signal.SIGKILL)
                shutil.rmtree(data / "namespaces")
                shutil.copytree(tmp_path / "backup", data / "namespaces")
                service.start()
    with quark.connect() as store:
        assert np.array_equal(store.run(run.run_id).series("loss").steps, np.arange(1500))


class _SlowFiles(BaseHTTPRequestHandler):
    """A way to the service on which files do not get through. (A double: a real slow link cannot be had here.)"""

    protocol_version = "HTTP/1.1"
    target = ""
    held = threading.Event()

    def _pass_on(self) -> None:
        import httpx

        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "PUT":
            self.held.wait(60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        answer = httpx.request(self.command, self.target + self.path, content=body, headers=headers, timeout=30)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = _pass_on

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


def test_a_large_file_holds_up_no_metric(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a file does not get through, metrics do; a process that ends meanwhile leaves the upload to sync."""
    service.start()
    _SlowFiles.target, _SlowFiles.held = service.url, threading.Event()
    between = ThreadingHTTPServer(("127.0.0.1", 0), _SlowFiles)
    thread = threading.Thread(target=between.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", f"http://127.0.0.1:{between.server_address[1]}")
    try:
        run = quark.start_run(project="p", storage_dir=tmp_path, close_timeout_s=0.5)
        quark.ArtifactStore(run).store("checkpoint", "w", b"x" * 5_000_000)
        run.log({"loss": 1.0}, step=0)
        assert run.flush(20)
        assert run.health()["sinks"]["service-files"]["pending"] > 0
        run.finish("completed")
        with quark.connect(service.url, storage_dir=tmp_path) as store:
            (artifact,) = store.run(run.run_id).artifacts()
            with pytest.raises(quark.SessionStoreError):
                store.run(run.run_id).load(artifact)
        _SlowFiles.held.set()
        from quark.session.sync import sync

        until(lambda: sync(tmp_path).problems == [] and not list((tmp_path / ".quark/journal").iterdir()))
        with quark.connect(service.url, storage_dir=tmp_path) as store:
            assert store.run(run.run_id).load(artifact) == b"x" * 5_000_000
    finally:
        _SlowFiles.held.set()
        between.shutdown()
        between.server_close()
        thread.join()


def test_a_group_in_a_service(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program, started twice: what is completed in the service stays, wherever the second start is made."""
    service.start()
    with quark.run_group("bench", total=2, git_sha="x", storage_dir="shared") as group, group.run("a") as run:
        run.log({"loss": 1.0}, step=0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with quark.run_group("bench", total=2, git_sha="x", storage_dir="shared") as group:
        assert group.pending(["a", "b"]) == ["b"]
        with group.run("b"):
            pass
    with quark.connect(storage_dir="shared") as store:
        found = {view.name: (view.status, view.record.parent_run_id) for view in store.runs()}
    assert found == {
        "bench": ("completed", None), "a": ("completed", group.run_id), "b": ("completed", group.run_id),
    }  # fmt: skip


def test_a_start_without_the_service(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a parent, and in a group, a run starts although nobody can be asked; resuming is refused with a reason."""
    monkeypatch.setenv("QUARK_PERSISTENCE_TIMEOUT_SECONDS", "1")
    parent = quark.start_run(project="p", storage_dir=tmp_path, parent_run_id="earlier", close_timeout_s=0.1)
    parent.finish("completed")
    monkeypatch.setenv("QUARK_CLOSE_TIMEOUT", "0.1")
    with quark.run_group("bench", storage_dir=tmp_path, git_sha="") as group, group.run("a"):
        pass
    with pytest.raises(quark.SessionStoreError, match="is it running"):
        quark.resume_run(run_id="earlier", storage_dir=tmp_path)
    assert quark.current_run() is None
    service.start()
    from quark.session.sync import sync

    assert sync(tmp_path).problems == []
    with quark.connect(storage_dir=tmp_path) as store:
        record = store.run(parent.run_id).record
        member = store.run(group.id_of("a"))
    assert (record.status, record.parent_run_id, record.lineage_root_run_id) == ("completed", "earlier", "earlier")
    assert (member.status, member.record.parent_run_id) == ("completed", group.run_id)


class _Tired(BaseHTTPRequestHandler):
    """A service that has no time for anybody. (A double: a real one that is overloaded cannot be had at will.)"""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(503)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


def test_a_start_asks_a_service_in_trouble_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the blueprint and for the parent, and not again: the run begins, and its parent counts as a first run."""
    server = HTTPServer(("127.0.0.1", 0), _Tired)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", f"http://127.0.0.1:{server.server_port}")
    _Tired.asked.clear()
    try:
        run = quark.start_run(project="p", storage_dir=tmp_path, parent_run_id="earlier", close_timeout_s=0.1)
        run.finish("completed")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert run.context.run.lineage_root_run_id == "earlier"
    assert [path for path in _Tired.asked if run.run_id not in path] == [
        "/api/v1/blueprint?project=p", "/api/v1/runs/earlier",
    ]  # fmt: skip


def test_a_parent_that_is_only_in_a_journal_is_found(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service has not heard of yet may lie here: it is delivered, and then the line is known."""
    monkeypatch.setenv("QUARK_PERSISTENCE_TIMEOUT_SECONDS", "1")
    first = quark.start_run(project="p", storage_dir=tmp_path, close_timeout_s=0.1)
    first.finish("failed")
    service.start()
    with quark.start_run(project="p", storage_dir=tmp_path, parent_run_id=first.run_id) as run:
        assert run.context.run.lineage_root_run_id == first.run_id
    with pytest.raises(quark.RunNotFoundError, match="nobody"):
        quark.start_run(project="p", storage_dir=tmp_path, parent_run_id="nobody", strict_mode=True)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "points elsewhere"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "could not be asked"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "could not be asked"),
        (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "NO_PROXY"),
        (b"garbage\r\n\r\n", "could not be asked"),
    ],
)
def test_answers_of_strangers(answer: bytes, told: str) -> None:
    """Whatever answers there is told in words, as an error of the store, and no redirect is followed."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        heard.append(connection.recv(1 << 16))
        connection.sendall(answer)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    place = Connection(f"http://127.0.0.1:{listener.getsockname()[1]}", user_key="k", timeout_s=5, tries=1)
    with pytest.raises(quark.SessionStoreError, match=told):
        place.get("/runs")
    place.close()
    thread.join()
    listener.close()
    assert len(heard) == 1
