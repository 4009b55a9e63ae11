"""Slow requests of one client do not keep the others out."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from quark.records.base import Origin
from quark.service import ServiceConfig, lanes
from quark.service.app import ROUTES
from quark.service.lanes import METERS, PAGES, SCANS, SERIES
from quark.service.meters import Meters
from quark.storage import SqlStore
from quark.testing import make_batch, metric_lines, start_line

from .serving import Threaded

WAITING = 20
"""Slow requests at once, more than a process has threads for them."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Threaded]:
    """A service on a socket."""
    made = Threaded(ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db"))
    yield made
    made.close()


ORIGIN = Origin("run-1", "w")
RUN = "/api/v1/runs/run-1"
SLOW = {
    "lists by configuration": (SqlStore, "runs", lambda given: given.get("config"), "/api/v1/runs?config={\"a\":1}"),
    "lists": (SqlStore, "runs", lambda given: not given.get("config"), "/api/v1/runs"),
    "projects": (SqlStore, "projects", None, "/api/v1/projects"),
    "filters": (SqlStore, "records_page", None, RUN + '/records/event?where={"event_type":"x"}'),
    "pages": (SqlStore, "records_page", None, RUN + "/records/event"),
    "charts": (SqlStore, "chart", None, RUN + "/chart?key=train/loss"),
    "overviews": (SqlStore, "latest", None, RUN + "/overview"),
    "series": (SqlStore, "stretch", None, RUN + "/series?key=train/loss"),
    "metrics": (Meters, "text", None, "/metrics"),
}  # fmt: skip
"""What is slow: a method, for which of its arguments, and the request that comes to it; ``None`` stands for all."""

LANES = {"lists by configuration": SCANS, "filters": SCANS, "charts": SCANS, "overviews": SCANS, "series": SERIES,
         "metrics": METERS}  # fmt: skip
"""Where each of them waits; elsewhere it is ``PAGES``."""

OTHERS = {SCANS: RUN + "/chart?key=train/loss", SERIES: RUN + "/series?key=train/loss", PAGES: "/api/v1/projects",
          METERS: "/metrics"}  # fmt: skip


@pytest.mark.parametrize("what", SLOW)
def test_slow_requests_leave_the_others_alone(service: Threaded, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """While more of them wait than there are threads, writers, heartbeats, other reads, keys and /readyz are served.

    The store is slow because the test makes it wait: a store that is large enough would take minutes to fill.
    """
    first = make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(3)])
    assert service.write(first) == 200
    cls, method, wanted, path = SLOW[what]
    began, go_on, before = threading.Semaphore(0), threading.Event(), getattr(cls, method)

    def slow(self: Any, *given: Any, **named: Any) -> Any:
        if wanted is None or wanted(named):
            began.release()
            go_on.wait(60)
        return before(self, *given, **named)

    monkeypatch.setattr(cls, method, slow)
    lane = LANES.get(what, PAGES)
    with ThreadPoolExecutor(WAITING) as pool:
        waiting = [pool.submit(service.ask, path) for _ in range(WAITING)]
        try:
            for _ in range(lanes.THREADS[lane]):
                assert began.acquire(timeout=30)
            assert httpx.get(service.url + "/readyz", timeout=20).status_code == 200
            wrong = {"X-Quark-API-Key": "qk_00000000_x"}
            assert httpx.get(service.url + "/api/v1/projects", headers=wrong, timeout=20).status_code == 401
            assert service.write(make_batch(ORIGIN, metric_lines(3, first_step=3), 4)) == 200
            assert service.ask(RUN + "/control").status_code == 200
            for other in OTHERS.keys() - {lane}:
                assert service.ask(OTHERS[other]).status_code == 200
        finally:
            go_on.set()
        assert {answer.result().status_code for answer in waiting} == {200}


def test_every_handler_has_a_lane() -> None:
    """No handler runs in a pool that all share: it runs on the loop, or in a lane of its sort."""
    assert [handler.fn.__name__ for handler in ROUTES if handler.sync_to_thread] == []
