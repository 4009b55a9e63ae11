"""Pages: together they are everything, each thing once, also when much lies on one step and more comes meanwhile."""

from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest

from quark.records.base import Origin
from quark.service.cursors import SECRET, Cursors, cursors_of
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line

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


def test_names_of_any_length_have_a_cursor(served: Served) -> None:
    """A list by names goes on behind a name of any length; a run that was purged meanwhile is told as a 4xx."""
    for number in range(3):
        origin = Origin(f"run-{number}", "w")
        end = run_line("end", {"status": "completed", "reason": "completed"})
        lines = [start_line(origin, name="é" * (4094 + number)), end]
        send(served, make_batch(origin, lines)).raise_for_status()
    first = served.ask("GET", "/api/v1/runs", params={"sort": "-name", "limit": 1}).json()
    assert [run["id"] for run in first["runs"]] == ["run-2"]
    rest = {"sort": "-name", "after": first["next"]}
    page = served.ask("GET", "/api/v1/runs", params=rest)
    assert [run["id"] for run in page.json()["runs"]] == ["run-1", "run-0"]
    served.ask("DELETE", "/api/v1/runs/run-2").raise_for_status()
    assert served.ask("GET", "/api/v1/runs", params=rest).json() == page.json()
    served.ask("POST", "/api/v1/purge", json={"older_than_s": 0}).raise_for_status()
    gone = served.ask("GET", "/api/v1/runs", params=rest)
    assert (gone.status_code, "from its start" in gone.text) == (422, True)


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
    for made_up in ("4-1-0-999-1", "12345"):
        assert served.ask("GET", path, params={**query, "after": made_up}).status_code == 400


def test_a_series_whose_place_is_gone(served: Served) -> None:
    """A later attempt that reaches the last step that was read is told as a conflict: the list is to be read again."""
    send(served, make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(6)]))
    path, query = "/api/v1/runs/run-1/series", {"key": "train/loss", "limit": 3}
    first = served.ask("GET", path, params=query).json()
    again = Origin("run-1", "v", 0, 2)
    send(served, make_batch(again, metric_lines(2, first_step=2)))
    refused = served.ask("GET", path, params={**query, "after": first["next"]})
    assert (refused.status_code, "again from its start" in refused.text) == (409, True)
    whole = served.ask("GET", path, params={**query, "after": first["next"], "all_attempts": True})
    assert whole.json()["length"] == 3


def page(served: Served, path: str, **query: Any) -> Any:
    return served.ask("GET", path, params={"limit": 1, **query})


@pytest.mark.parametrize("kind", ["event", "metric"])
def test_cursors_tell_nothing_of_other_projects(served: Served, kind: str) -> None:
    """A cursor holds the number of a row, which counts the records of everybody: nobody can read it or make one."""
    for run_id, project in (("run-1", "digits"), ("run-2", "other")):
        origin = Origin(run_id, "w")
        lines = [event_line("x") for _ in range(3)] + metric_lines(3)
        send(served, make_batch(origin, [start_line(origin, project=project), *lines]))
    path = f"/api/v1/runs/run-1/records/{kind}"
    cursor = page(served, path).json()["next"]
    assert cursor.isdecimal()
    assert page(served, path, after=cursor).status_code == 200
    elsewhere = [path.replace("run-1", "run-2"), path.replace(kind, "alert"), f"{path}?step_min=0"]
    made_up = [str(number) for number in (0, 1, 2, 2**40, 2**110, int(cursor) + 1, int(cursor) << 8, 10**99)]
    assert [page(served, other, after=cursor).status_code for other in elsewhere] == [400, 400, 200]
    assert {page(served, path, after=after).status_code for after in made_up} == {400}


def test_cursors_of_runs_tell_nothing(served: Served) -> None:
    """The same for lists of runs: neither row numbers nor that another project has a run of the same id."""
    for project in ("other", "digits"):
        for run_id in ("run-1", "run-2"):
            origin = Origin(run_id, "w")
            send(served, make_batch(origin, [start_line(origin, project=project)]))
    key = served.new_key(["read"], ["digits"])
    for sort in ("id", "name", "started_at"):
        first = page(served, "/api/v1/runs", sort=sort).json()["next"]
        answer = served.ask("GET", "/api/v1/runs", key=key, params={"limit": 1, "sort": sort})
        cursor = answer.json()["next"]
        assert b"run-1" not in urlsafe_b64decode(cursor) and cursor != first
        assert len(cursor) == len(first)
        second = served.ask("GET", "/api/v1/runs", key=key, params={"limit": 1, "sort": sort, "after": cursor})
        assert {run["id"] for run in answer.json()["runs"] + second.json()["runs"]} == {"run-1", "run-2"}
        assert second.json()["next"] is None
    for after in ("W10=", "", "x", cursor[:-4], "A" + cursor[1:], "\u00e9"):
        assert page(served, "/api/v1/runs", after=after).status_code == 400, after


def test_replicas_know_each_others_cursors(tmp_path: Path) -> None:
    """Of several processes over one data directory each takes those of the others; their secret is private."""
    made = [cursors_of(tmp_path) for _ in range(3)]
    sealed = made[0].seal_number(123, "run-1 event")
    assert [each.open_number(sealed, "run-1 event") for each in made] == [123] * 3
    assert (tmp_path / SECRET).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [SECRET]


@pytest.mark.parametrize("number", [0, 1, 255, 256, 2**63 - 1, 2**166])
def test_any_number_is_sealed(number: int) -> None:
    """What a store gives as a cursor comes back as it was, within what the address of a page may hold."""
    cursors = Cursors(bytes(32))
    sealed = cursors.seal_number(number, "r metric")
    assert len(sealed) <= 100
    assert cursors.open_number(sealed, "r metric") == number
    assert str(number) not in sealed or number < 10**6
