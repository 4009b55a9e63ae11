"""What the service counts of itself, for Prometheus."""

import time
from typing import Any

from litestar import Request, Response, get
from litestar.enums import MediaType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from .access import OPEN


class Meters:
    """Counters of one service; each app has its own, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter("quark_records_total", "Records taken", registry=self.registry)
        self.bytes = Counter("quark_record_bytes_total", "Bytes of records taken, unpacked", registry=self.registry)
        self.requests = Counter(
            "quark_requests_total",
            "Requests by route and status",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "quark_request_seconds", "Time of a request by route, seconds", ["route"], registry=self.registry
        )
        self.open_requests = Gauge("quark_open_requests", "Requests being served", registry=self.registry)

    def took(self, records: int, size: int) -> None:
        """Records were stored."""
        self.records.inc(records)
        self.bytes.inc(size)


def metered(app: ASGIApp) -> ASGIApp:
    """Counts and times every request, by the pattern of its route: ids would make a series each."""

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        meters: Meters = scope["litestar_app"].state.meters
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.perf_counter()
        with meters.open_requests.track_inprogress():
            try:
                await app(scope, receive, note)
            finally:
                route = str(scope.get("path_template") or "other")
                meters.requests.labels(route, scope["method"], str(status)).inc()
                meters.seconds.labels(route).observe(time.perf_counter() - start)

    return count


@get("/metrics", opt={"scope": OPEN}, media_type=MediaType.TEXT, include_in_schema=False, sync_to_thread=False)
def prometheus(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The counters in Prometheus' text format."""
    return Response(
        generate_latest(request.app.state.meters.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    )
