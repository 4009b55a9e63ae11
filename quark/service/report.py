"""What a report holds: the answers that the pages of some runs would get, within a size that can be sent by mail."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx
import orjson

from ..errors import RunNotFoundError, SessionStoreError
from ..reading.opening import Embedded
from .embedded import create_page_app
from .sessions import Tokens

CHART_BYTES = 900_000
"""What all charts together may take, of a file of two megabytes."""

BUCKET_BYTES = 50
RECORD_BYTES = 600_000
"""What all other records together may take."""

MOST_KEYS = 200
MOST_BUCKETS = 2000
FEWEST_BUCKETS = 50
KINDS = ("alert", "phase", "health", "event", "artifact", "parameter", "layer", "telemetry")
"""Kinds of records in a report, the most telling ones first."""


class Asking(Protocol):
    """Gives the answer of a route of the API as JSON values."""

    def __call__(self, method: str, path: str, body: Any = None) -> Any: ...


@dataclass(slots=True)
class Report:
    """The content of a report, and in words what was left out of it."""

    data: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


class EmbeddedApi:
    """The API of ``quark ui`` over an open store, asked inside this process. To be closed, which closes the store."""

    def __init__(self, opened: Embedded) -> None:
        self._private = TemporaryDirectory(prefix="quark-report-")
        self._app = create_page_app(opened, Path(self._private.name), Tokens())
        self._key = self._app.state.key_store.create("quark report", ("read",))[0]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of a route.

        Raises:
            SessionStoreError: it refuses.
        """
        return asyncio.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        transport = httpx.ASGITransport(app=self._app)  # type: ignore[arg-type]  Litestar's own types of ASGI
        headers = {"X-Quark-API-Key": self._key}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            answer = await client.request(method, f"/api/v1{path}", json=body)
        if answer.status_code == 404:
            raise RunNotFoundError(answer.json()["error"]["message"], code="run_not_found")
        if answer.status_code != 200:
            raise SessionStoreError(answer.json()["error"]["message"], code="report")
        return orjson.loads(answer.content)

    def close(self) -> None:
        """Close the store."""
        self._app.state.namespaces.close()
        self._app.state.key_store.close()
        self._private.cleanup()


def collected(ask: Asking, run_ids: Sequence[str]) -> Report:
    """The content of a report of one run, or of several that are compared."""
    one = len(run_ids) == 1
    path = f"/r/{quote(run_ids[0], safe='')}" if one else f"/c?{urlencode({'runs': ','.join(run_ids)}, safe=',')}"
    made = Report({"path": path, "answers": {}, "charts": []})
    answers = made.data["answers"]
    keys: dict[str, list[str]] = {}
    for run_id in run_ids:
        for rest in ("", "/overview", "/control"):
            answers[f"/runs/{run_id}{rest}"] = ask("GET", f"/runs/{run_id}{rest}")
        held = answers[f"/runs/{run_id}/overview"]["keys"]
        keys[run_id] = sorted(held, key=lambda key: key.startswith("system/"))[:MOST_KEYS]
        if len(held) > MOST_KEYS:
            made.left_out.append(f"{len(held) - MOST_KEYS} of {len(held)} metrics of {run_id}")
    _add_charts(ask, made, keys)
    _add_records(ask, made, run_ids)
    if not one:
        answers["/runs/query"] = {"runs": [_row(ask, run_id, keys[run_id]) for run_id in run_ids], "next": None}
    return made


def _add_charts(ask: Asking, made: Report, keys: dict[str, list[str]]) -> None:
    pairs = max(1, sum(map(len, keys.values())))
    buckets = max(FEWEST_BUCKETS, min(MOST_BUCKETS, CHART_BYTES // BUCKET_BYTES // pairs))
    for run_id, held in keys.items():
        if held:
            body = {"runs": [run_id], "keys": held, "buckets": buckets}
            made.data["charts"] += [_rounded(chart) for chart in ask("POST", "/charts", body)["charts"]]


def _rounded(chart: dict[str, Any]) -> dict[str, Any]:
    """A chart with as many digits as a picture can show; steps stay exact."""
    columns = {name: [float(f"{value:.6g}") for value in chart[name]] for name in ("mean", "min", "max")}
    whole = {"x": [int(x) if x == int(x) else x for x in chart["x"]]}
    return {**chart, **columns, **whole}


def _add_records(ask: Asking, made: Report, run_ids: Sequence[str]) -> None:
    """Records kind by kind, as far as there is room: of events the last ones, of layers those of spread-out steps."""
    room = RECORD_BYTES
    for kind in KINDS:
        for place, run_id in enumerate(run_ids):
            counts = made.data["answers"][f"/runs/{run_id}/overview"]["counts"]
            if not counts.get(kind):
                continue
            records = _all(ask, run_id, kind)
            share = room // (len(run_ids) - place) if len(run_ids) > 1 else room
            kept = _that_fit(records, kind, share)
            room -= sum(map(_size, kept))
            made.data["answers"][f"/runs/{run_id}/records/{kind}"] = {"records": kept, "next": None}
            if len(kept) < len(records):
                noun = "layer records" if kind == "layer" else f"{kind} records"
                made.left_out.append(f"{len(records) - len(kept):,} of {len(records):,} {noun} of {run_id}")


def _all(ask: Asking, run_id: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        query = {"limit": "1000", **({"after": after} if after else {})}
        page = ask("GET", f"/runs/{run_id}/records/{kind}?{urlencode(query)}")
        found += page["records"]
        if page["next"] is None:
            return found
        after = page["next"]


def _that_fit(records: list[dict[str, Any]], kind: str, room: int) -> list[dict[str, Any]]:
    size = sum(map(_size, records))
    if size <= room:
        return records
    if kind in ("layer", "parameter"):
        steps = sorted({record["step"] for record in records if record.get("step") is not None})
        every = max(2, -(-size // max(1, room)))
        wanted = set(steps[::every])
        thinned = [record for record in records if record.get("step") in wanted]
        return thinned if sum(map(_size, thinned)) <= room else []
    kept: list[dict[str, Any]] = []
    for record in reversed(records):
        room -= _size(record)
        if room < 0:
            break
        kept.append(record)
    return kept[::-1]


def _size(record: dict[str, Any]) -> int:
    return len(orjson.dumps(record))


def _row(ask: Asking, run_id: str, keys: list[str]) -> dict[str, Any]:
    """The row of a run in a table of its metrics, as the page of a comparison asks for it."""
    columns = [f"{how}:{key}" for key in keys if not key.startswith("system/") for how in ("last", "min", "max")][:99]
    page = ask("POST", "/runs/query", {"query": f'id:"{run_id}"', "columns": columns, "limit": 5})
    return next(row for row in page["runs"] if row["id"] == run_id)
