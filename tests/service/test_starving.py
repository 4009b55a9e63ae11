"""Slow requests of one client do not keep the others out."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from quark.service import ServiceConfig
from quark.service.app import SCANS
from quark.storage import SqlStore

from .serving import Threaded

THREADS = 40
"""More than Python's own pool ever has, in which the handlers run."""

FEWEST = 5
"""Threads of that pool on one core."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Threaded]:
    """A service on a socket."""
    made = Threaded(ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [("runs", '/api/v1/runs?config={"a":1}', "/api/v1/runs"), ("projects", "/api/v1/projects", None)],
    ids=["lists by configuration", "anything"],
)
def test_slow_requests_leave_the_others_alone(
    service: Threaded, monkeypatch: pytest.MonkeyPatch, method: str, path: str, served: str | None
) -> None:
    """While more of them wait than there are threads, /readyz answers and keys are checked; slow lists block no list.

    The store is slow because the test makes it wait: a store that is large enough would take minutes to fill.
    """
    began, go_on = threading.Semaphore(0), threading.Event()
    before = getattr(SqlStore, method)

    def slow(self: SqlStore, *given: Any, **named: Any) -> Any:
        if method == "projects" or named.get("config"):
            began.release()
            go_on.wait(60)
        return before(self, *given, **named)

    monkeypatch.setattr(SqlStore, method, slow)
    with ThreadPoolExecutor(THREADS + 10) as pool:
        waiting = [pool.submit(service.ask, path) for _ in range(THREADS + 10)]
        try:
            for _ in range(SCANS if served else FEWEST):
                assert began.acquire(timeout=30)
            assert httpx.get(service.url + "/readyz", timeout=20).status_code == 200
            wrong = {"X-Quark-API-Key": "qk_00000000_x"}
            assert httpx.get(service.url + "/api/v1/projects", headers=wrong, timeout=20).status_code == 401
            if served is not None:
                assert service.ask(served).status_code == 200
        finally:
            go_on.set()
        assert {answer.result().status_code for answer in waiting} == {200}
