"""Pages: together they are everything, each thing once, also when much lies on one step and more comes meanwhile."""

from typing import Any

import pytest

from quark.records.base import Origin
from quark.testing import event_line, make_batch, metric_lines, start_line

from .conftest import Served
from .test_ingestion import ORIGIN, batch_of, send


def paged(served: Served, path: str, name: str, **query: Any) -> list[Any]:
    """Everything behind a path, page by page, until there is no next."""
    found: list[Any] = []
    after: dict[str, Any] = {}
    for _ in range(100):
        page = served.ask("GET", path, params={**query, **after}).json()
        found += page[name]
        if page["next"] is None:
            return found
        assert len(page[name]) == query["limit"]
        after = {"after": page["next"]}
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 3, 7, 10, 1000])
@pytest.mark.parametrize("kind", ["event", "metric"])
def test_records_that_share_a_step(served: Served, kind: str, limit: int) -> None:
    """Ten records on one step, and ten on the next: every page size gives all twenty, in order."""
    made = event_line if kind == "event" else None
    lines = [
        made(f"e{n}", step=step) if made else metric_lines(1, (f"k{n}",), first_step=step)[0]
        for step in (1, 2)
        for n in range(10)
    ]  # fmt: skip
    send(served, batch_of(lines))
    found = paged(served, f"/api/v1/runs/run-1/records/{kind}", "records", limit=limit)
    assert [record["sequence"] for record in found] == list(range(1, 21))
    one = paged(served, f"/api/v1/runs/run-1/records/{kind}", "records", limit=limit, step=2)
    assert [record["sequence"] for record in one] == list(range(11, 21))


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize("sort", ["-started_at", "started_at", "name", "-status", "id"])
def test_runs_that_began_at_one_moment(served: Served, limit: int, sort: str) -> None:
    """What the order leaves open is settled: no run is missing, none is there twice."""
    for number in range(5):
        origin = Origin(f"run-{number}", "w")
        send(served, make_batch(origin, [start_line(origin, name="same")]))
    found = paged(served, "/api/v1/runs", "runs", limit=limit, sort=sort)
    assert sorted(run["id"] for run in found) == [f"run-{number}" for number in range(5)]


def test_runs_that_a_key_may_see(served: Served) -> None:
    """Runs that are left out leave no pages short of others."""
    for number in range(6):
        origin = Origin(f"run-{number}", "w")
        send(served, make_batch(origin, [start_line(origin, project="digits" if number % 3 else "other")]))
    key = served.new_key(["read"], ["other"])
    first = served.ask("GET", "/api/v1/runs", key=key, params={"limit": 1}).json()
    second = served.ask("GET", "/api/v1/runs", key=key, params={"limit": 1, "after": first["next"]}).json()
    assert {run["id"] for run in first["runs"] + second["runs"]} == {"run-0", "run-3"}


def test_a_series_that_grows_before_the_place(served: Served) -> None:
    """Points of another writer that belong before those that were read move nobody's place."""
    late = Origin("run-1", "v")
    send(served, make_batch(late, [start_line(late), *metric_lines(2)]))
    send(served, make_batch(ORIGIN, metric_lines(6, first_step=10)))
    path = "/api/v1/runs/run-1/series"
    query = {"key": "train/loss", "all_attempts": True}
    first = served.ask("GET", path, params={**query, "limit": 4}).json()
    send(served, make_batch(late, metric_lines(3, first_step=2), 3))
    second = served.ask("GET", path, params={**query, "limit": 100, "after": first["next"]}).json()
    assert (first["length"], second["length"], second["next"]) == (4, 4, None)
    refused = served.ask("GET", path, params={**query, "after": "4-1-0-999-1"})
    assert refused.status_code == 409
