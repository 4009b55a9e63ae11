"""What the service counts of itself, for Prometheus; with several workers the sum of all of them."""

import os
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.enums import MediaType
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from .access import OPEN
from .lanes import METERS, in_lane

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Prometheus' own variable: the directory in which the workers keep their counts."""


class Meters:
    """Counters of one service; each app has its own, so that two in one process do not mix."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._records = Counter("quark_records_total", "Records taken", registry=registry)
        self._bytes = Counter("quark_record_bytes_total", "Bytes of records taken, unpacked", registry=registry)
        self._requests = Counter(
            "quark_requests_total", "Requests by route and status", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "quark_request_seconds", "Time of a request by route, seconds", ["route"], registry=registry
        )
        self.open_requests = Gauge(
            "quark_open_requests", "Requests being served", registry=registry, multiprocess_mode="livesum"
        )

    def took(self, records: int, size: int) -> None:
        """Records were stored."""
        self._records.inc(records)
        self._bytes.inc(size)

    def served(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was served; ``route`` is a pattern, ids would make a series each."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All counts in Prometheus' text format."""
        shared = os.environ.get(SHARED)
        if not shared:
            return generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        _forget_the_dead(Path(shared))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, shared)
        return generate_latest(registry)


def _forget_the_dead(directory: Path) -> None:
    """A worker that was killed serves nothing any more; what it counted stays."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not Path("/proc", pid).exists() and Path("/proc").is_dir():
            file.unlink(missing_ok=True)


@get("/metrics", opt={"scope": OPEN}, media_type=MediaType.TEXT, include_in_schema=False)
@in_lane(METERS)
def prometheus(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The counters in Prometheus' text format."""
    return Response(request.app.state.meters.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
