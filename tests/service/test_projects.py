"""Projects hold: what is not a key's own answers as what is not there, and nobody takes the place of another."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.records.run import project_id
from quark.service import ServiceConfig, create_app
from quark.service.access import OPEN
from quark.testing import make_batch, metric_lines, start_line

from .conftest import Served
from .test_access import CALLS, FILLED, body_of
from .test_artifacts import DATA, DIGEST, artifact

SECRET, EVIL = "medical-trial", "evil"
THEIRS, HIDDEN, PURGED, NONE = "run-theirs", "run-hidden", "run-purged", "run-none"
OF_A_RUN = [case for case in CALLS if "{run_id" in case[2] and case[0].opt["scope"] != OPEN]


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A service over each database."""
    if request.param == "sqlite":
        config = ServiceConfig.of(f"sqlite:///{tmp_path}/served/quark.db")
    else:
        config = ServiceConfig.of(request.getfixturevalue("bare_postgres_url"), tmp_path / "served")
    with TestClient(create_app(config)) as client:
        yield Served(client)


@pytest.fixture
def filled(both: Served) -> Served:
    """A service with runs of a secret project: one that is there, one that is deleted, one that is purged."""
    for run_id in (PURGED, HIDDEN, THEIRS):
        origin = Origin(run_id, "w")
        end = Line("run", 0, 2, label="end", body=msgspec.Raw(b'{"status":"completed"}'))
        answer = send(both, origin, [start_line(origin, project=SECRET), *metric_lines(2), artifact(), end])
        assert answer.status_code == 200, answer.text
        both.ask("PUT", f"/api/v1/runs/{run_id}/blobs/{DIGEST}", content=DATA).raise_for_status()
        if run_id != THEIRS:
            both.ask("DELETE", f"/api/v1/runs/{run_id}").raise_for_status()
        if run_id == PURGED:
            assert both.ask("POST", "/api/v1/purge", json={"older_than_s": 0}).json() == {"run_ids": [PURGED]}
    return both


def send(served: Served, origin: Origin, items: list[Any], *, first: int = 0, **more: Any) -> Any:
    """Records of a writer."""
    batch = make_batch(origin, items, first)
    query = {"first": first, "stop": batch.stop}
    path = f"/api/v1/runs/{origin.run_id}/writers/{origin.writer_id}/records"
    return served.ask("POST", path, params=query, content=batch.data, **more)


def told(answer: Any) -> tuple[int, bytes, dict[str, str]]:
    """Everything of an answer that could tell two of them apart."""
    own = ("x-request-id", "date")
    return (
        answer.status_code,
        answer.content,
        {name: value for name, value in answer.headers.items() if name not in own},
    )


def call(served: Served, method: str, template: str, run_id: str, key: str, **more: Any) -> Any:
    """A request that would be served, were the run within reach of the key."""
    path = template
    for name, value in {**FILLED, "run_id": run_id, "digest": DIGEST, "artifact_id": "w-3"}.items():
        path = path.replace(f"{{{name}:str}}", value)
    query = {"first": 0, "stop": 0, "key": "train/loss"}
    return served.ask(method, path, key=key, params=query, json=body_of(served, method, template), **more)


def test_other_runs_answer_as_runs_that_are_not_there(filled: Served) -> None:
    """On every route: of another project, deleted, purged or never begun, the answer is the same to the last byte."""
    for projects in ([EVIL], [EVIL, "more"]):
        key = filled.new_key(["write"], projects)
        for _, method, path in OF_A_RUN:
            expected = told(call(filled, method, path, NONE, key))
            for run_id in (THEIRS, HIDDEN, PURGED):
                assert told(call(filled, method, path, run_id, key)) == expected, (method, path, run_id)
            named = {"headers": {"X-Quark-Project": SECRET}}
            assert told(call(filled, method, path, THEIRS, key, **named)) == expected, (method, path)
    unharmed(filled)


def test_a_deleted_run_is_not_there_for_its_own_project(filled: Served) -> None:
    """Who may see the project learns no more of what is hidden than others; reading, an administrator neither."""
    own = filled.new_key(["write"], [SECRET])
    for _, method, path in OF_A_RUN:
        expected = told(call(filled, method, path, NONE, own))
        for run_id in (HIDDEN, PURGED):
            assert told(call(filled, method, path, run_id, own)) == expected, (method, path, run_id)
        if "writers" not in path and "restore" not in path:  # what was on its way still arrives
            assert told(call(filled, method, path, HIDDEN, filled.key)) == told(
                call(filled, method, path, NONE, filled.key)
            )
    unharmed(filled)


def test_a_batch_tells_nothing_of_other_runs(filled: Served) -> None:
    """Records without a start are refused alike whether a run is another project's, hidden or not there."""
    for projects, runs in (([EVIL], (THEIRS, HIDDEN, PURGED)), ([SECRET], (HIDDEN, PURGED))):
        key = filled.new_key(["write"], projects)
        tag = Line("run", 0, 1, label="tag", body=msgspec.Raw(b'{"tag":"x"}'))
        for items in (metric_lines(1), [tag], [start_line(Origin("x", "w"), project="third")]):
            expected = told(send(filled, Origin(NONE, "w"), items, key=key))
            assert expected[0] == 403
            for run_id in runs:
                assert told(send(filled, Origin(run_id, "w"), items, key=key)) == expected
                assert told(send(filled, Origin(run_id, "w"), items, first=4, key=key)) == told(
                    send(filled, Origin(NONE, "w"), items, first=4, key=key)
                )
    unharmed(filled)


def unharmed(served: Served) -> None:
    """The secret project is as it was."""
    runs = served.ask("GET", "/api/v1/runs").json()["runs"]
    assert [(run["id"], run["project_name"], run["tags"], run["status"]) for run in runs] == [
        (THEIRS, SECRET, [], "completed")
    ]
    assert served.ask("GET", f"/api/v1/runs/{THEIRS}/overview").json()["counts"] == {"metric": 2, "artifact": 1}
    restored = served.app.state.namespaces.store(None)
    assert restored.find(HIDDEN) is None and restored.find(HIDDEN, hidden=True).hidden


@pytest.mark.parametrize("field", ["project", "run", "both"])
def test_a_project_s_id_is_its_name_s(both: Served, field: str) -> None:
    """Whatever id a start gives its project, the service derives it: nobody files a run into a project by its id."""
    wanted = project_id(SECRET)
    evil, origin = both.new_key(["write"], [EVIL]), Origin("bait", "w")
    body = msgspec.json.decode(start_line(origin, project=EVIL).body)
    if field != "run":
        body["project"]["id"] = wanted
    if field != "project":
        body["run"]["project_id"] = wanted
        body["run"]["project_name"] = SECRET
    bait = Line("run", 0, 1, label="start", body=msgspec.Raw(encode(body)))
    assert send(both, origin, [bait], key=evil).status_code == 200
    honest = Origin("honest", "w")
    doctor = both.new_key(["write"], [SECRET])
    assert send(both, honest, [start_line(honest, project=SECRET), *metric_lines(1)], key=doctor).status_code == 200
    assert [run["id"] for run in both.ask("GET", "/api/v1/runs", key=evil).json()["runs"]] == ["bait"]
    assert [run["id"] for run in both.ask("GET", "/api/v1/runs", key=doctor).json()["runs"]] == ["honest"]
    assert both.ask("GET", "/api/v1/runs/honest", key=evil).status_code == 404
    assert both.ask("POST", "/api/v1/runs/honest/stop", key=evil, json={}).status_code == 404
    projects = both.ask("GET", "/api/v1/projects").json()["projects"]
    assert {project["name"]: project["id"] for project in projects} == {EVIL: project_id(EVIL), SECRET: wanted}


@pytest.mark.parametrize("limited", [True, False], ids=["limited key", "key for all projects"])
def test_an_id_that_was_taken_first_locks_nobody_out(both: Served, limited: bool) -> None:
    """A run id that another project used first: the honest run is written and read, and the other learns nothing."""
    evil = both.new_key(["write"], [EVIL])
    honest = both.new_key(["write"], [SECRET]) if limited else both.new_key(["write"])
    squatted, origin = Origin("vit-0123", "evil-w"), Origin("vit-0123", "w")
    assert send(both, squatted, [start_line(squatted, project=EVIL)], key=evil).status_code == 200
    named = {"key": honest, "headers": {"X-Quark-Project": SECRET}}
    run = "/api/v1/runs/vit-0123"
    assert both.ask("GET", f"{run}/writers/w", **named).json() == {"next": 0}
    assert send(both, origin, [start_line(origin, project=SECRET)], key=honest).json() == {"next": 1}
    assert send(both, origin, [*metric_lines(3), artifact()], first=1, key=honest).json() == {"next": 5}
    assert both.ask("POST", f"{run}/stop", key=evil, json={}).status_code == 200
    beat = both.ask("POST", f"{run}/heartbeat", json={"interval_s": 10.0}, **named).json()
    assert beat["stop_requested_at"] is None
    late = Origin("vit-0123", "1-1-late")
    assert send(both, late, metric_lines(2, ("late",)), **named).json() == {"next": 2}
    assert both.ask("PUT", f"{run}/blobs/{DIGEST}", content=DATA, **named).json()["complete"]
    assert both.ask("GET", f"{run}/overview", **named).json()["counts"] == {"metric": 5, "artifact": 1}
    (event,) = both.ask("GET", f"{run}/records/artifact", **named).json()["records"]
    assert event["run_id"] == "vit-0123"
    assert both.ask("GET", f"{run}/artifacts/w-4/payload", **named).content == DATA
    assert both.ask("GET", run, **named).json()["project_name"] == SECRET
    assert both.ask("GET", run, key=evil).json()["project_name"] == EVIL
    assert both.ask("GET", f"{run}/overview", key=evil).json()["counts"] == {}
    assert both.ask("GET", f"{run}/artifacts/w-4/payload", key=evil).status_code == 404
    runs = both.ask("GET", "/api/v1/runs").json()["runs"]
    assert sorted((found["id"], found["project_name"]) for found in runs) == [("vit-0123", EVIL), ("vit-0123", SECRET)]


def test_a_start_for_another_project_moves_no_run(filled: Served) -> None:
    """A start that names another project begins another run; a second start within a batch is refused."""
    evil = filled.new_key(["write"], [EVIL])
    for run_id in (THEIRS, HIDDEN):
        origin = Origin(run_id, "e")
        assert send(filled, origin, [start_line(origin, project=EVIL), *metric_lines(2)], key=evil).status_code == 200
        assert filled.ask("GET", f"/api/v1/runs/{run_id}", key=evil).json()["project_name"] == EVIL
    own = filled.new_key(["read"], [SECRET])
    assert filled.ask("GET", f"/api/v1/runs/{HIDDEN}", key=own).status_code == 404
    assert filled.ask("GET", f"/api/v1/runs/{THEIRS}/overview", key=own).json()["counts"]["metric"] == 2
    origin = Origin("twice", "w")
    twice = [start_line(origin, project=EVIL), start_line(origin, project=SECRET)]
    refused = send(filled, origin, twice, key=filled.key)
    assert (refused.status_code, refused.json()["error"]["index"]) == (422, 1)
    assert "is of the project 'evil'" in refused.text


def test_records_before_their_start_wait_for_everybody_s_key(both: Served) -> None:
    """What a key for all projects sent before the start is not taken over by a limited key's start."""
    rank1, rank0 = Origin("run-1", "1-1-a"), Origin("run-1", "0-1-a")
    assert send(both, rank1, metric_lines(2)).json() == {"next": 2}
    evil = both.new_key(["write"], [EVIL])
    assert send(both, Origin("run-1", "e"), [start_line(rank0, project=EVIL)], key=evil).status_code == 200
    assert both.ask("GET", "/api/v1/runs/run-1/overview", key=evil).json()["counts"] == {}
    assert send(both, rank0, [start_line(rank0, project=SECRET)]).status_code == 200
    own = both.new_key(["read"], [SECRET])
    assert both.ask("GET", "/api/v1/runs/run-1/overview", key=own).json()["counts"] == {"metric": 2}


def test_a_rank_before_the_start_names_its_project(both: Served) -> None:
    """A limited key may begin with any record when the request says which of its projects the run is of."""
    key = both.new_key(["write"], [SECRET])
    named = {"key": key, "headers": {"X-Quark-Project": SECRET}}
    rank0 = Origin("run-1", "0-1-a")
    assert send(both, Origin("run-1", "1-1-a"), metric_lines(2), **named).json() == {"next": 2}
    assert send(both, rank0, [start_line(rank0, project=SECRET)], **named).json() == {"next": 1}
    run = both.ask("GET", "/api/v1/runs/run-1", key=key).json()
    assert (run["project_name"], run["name"]) == (SECRET, "cnn")
    foreign = {"key": key, "headers": {"X-Quark-Project": EVIL}}
    assert send(both, Origin("run-2", "w"), metric_lines(1), **foreign).status_code == 403


def test_a_start_cannot_leave_the_project_that_its_request_named(both: Served) -> None:
    """However a start is written, the project that let its batch in is the one that it has to name."""
    key, origin = both.new_key(["write"], [EVIL]), Origin("run-1", "w")
    named = {"key": key, "headers": {"X-Quark-Project": EVIL}}
    hidden = encode(start_line(origin, project=SECRET)).replace(b'"run"', b'"r\\u0075n"', 1)
    assert b"r\\u0075n" in hidden
    for items in ([hidden], [*metric_lines(1), start_line(origin, project=SECRET)]):
        assert send(both, origin, items, **named).status_code in (403, 422)
    assert send(both, origin, metric_lines(1), **named).status_code == 200
    assert send(both, origin, [hidden.replace(b'"sequence":0', b'"sequence":1')], first=1, **named).status_code == 403
    assert both.ask("GET", "/api/v1/projects").json()["projects"][0]["name"] == EVIL


def test_a_literal_unknown_project_is_no_way_in(both: Served) -> None:
    """The stand-in for a project that nobody has named yet is no project that a key can be limited to."""
    assert send(both, Origin("run-1", "w"), metric_lines(2)).status_code == 200
    key = both.new_key(["write"], ["unknown"])
    assert both.ask("GET", "/api/v1/runs/run-1", key=key).status_code == 404
    assert both.ask("GET", "/api/v1/runs", key=key).json()["runs"] == []
    assert both.ask("GET", "/api/v1/projects", key=key).json()["projects"] == []
    assert send(both, Origin("run-1", "w"), metric_lines(1), first=2, key=key).status_code == 403


def test_two_keys_race_for_one_id(both: Served) -> None:
    """However the requests fall, each project's records are in its own run, and none is lost."""
    keys = {name: both.new_key(["write"], [name]) for name in (SECRET, EVIL)}
    refused: list[Any] = []

    def write(project: str, run_id: str, gate: threading.Barrier) -> None:
        origin = Origin(run_id, f"w-{project}")
        gate.wait()
        answers = [
            send(both, origin, [start_line(origin, project=project)], key=keys[project]),
            send(both, origin, metric_lines(3, (project,)), first=1, key=keys[project]),
        ]
        refused.extend(answer.text for answer in answers if answer.status_code != 200)

    for number in range(40):
        gate = threading.Barrier(2)
        threads = [threading.Thread(target=write, args=(name, f"race-{number}", gate)) for name in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refused == []
    for name, key in keys.items():
        for number in range(40):
            overview = both.ask("GET", f"/api/v1/runs/race-{number}/overview", key=key).json()
            assert (overview["keys"], overview["counts"]) == ([name], {"metric": 3})


def test_records_never_land_in_a_run_that_another_begins(both: Served) -> None:
    """Check and append are one transaction: records without a start reach no run that began in between."""
    evil, run_ids = both.new_key(["write"], [EVIL]), [f"race-{number}" for number in range(40)]

    def begin(run_id: str, gate: threading.Barrier) -> None:
        origin = Origin(run_id, "w")
        gate.wait()
        send(both, origin, [start_line(origin, project=SECRET)]).raise_for_status()

    for run_id in run_ids:
        gate = threading.Barrier(2)
        thread = threading.Thread(target=begin, args=(run_id, gate))
        thread.start()
        gate.wait()
        answers = [send(both, Origin(run_id, "e"), metric_lines(1), key=evil).status_code for _ in range(3)]
        thread.join()
        assert answers == [403] * 3
        assert both.ask("GET", f"/api/v1/runs/{run_id}/overview").json()["counts"] == {}


def test_payloads_are_had_by_those_who_sent_them(filled: Served) -> None:
    """A digest opens nothing: neither the payload, nor whether it is there, nor another's upload."""
    evil, origin = filled.new_key(["write"], [EVIL]), Origin("thief", "w")
    assert send(filled, origin, [start_line(origin, project=EVIL), artifact()], key=evil).status_code == 200
    blob, payload = f"/api/v1/runs/thief/blobs/{DIGEST}", "/api/v1/runs/thief/artifacts/w-1/payload"
    unknown = f"/api/v1/runs/thief/blobs/{'1' * 64}"
    assert filled.ask("GET", payload, key=evil).json()["error"]["code"] == "payload_not_found"
    assert told(filled.ask("GET", blob, key=evil)) == told(filled.ask("GET", unknown, key=evil))
    part = {"content": DATA[:10], "headers": {"Content-Range": f"bytes 0-9/{len(DATA)}"}, "key": evil}
    assert told(filled.ask("PUT", blob, **part)) == told(filled.ask("PUT", unknown, **part))
    refused = filled.ask("PUT", blob, content=b"guess", key=evil)
    assert refused.json()["error"]["code"] == "wrong_digest"
    assert filled.ask("GET", payload, key=evil).json()["error"]["code"] == "payload_not_found"
    assert filled.ask("GET", f"/api/v1/runs/{THEIRS}/artifacts/w-3/payload").content == DATA
    assert filled.ask("PUT", blob, content=DATA, key=evil).json()["complete"]
    assert filled.ask("GET", payload, key=evil).content == DATA


def test_an_upload_is_its_project_s(both: Served) -> None:
    """Parts of two projects' uploads of one payload neither meet nor reset each other."""
    keys = {name: both.new_key(["write"], [name]) for name in (SECRET, EVIL)}
    for name, key in keys.items():
        origin = Origin(f"run-{name}", "w")
        send(both, origin, [start_line(origin, project=name), artifact()], key=key).raise_for_status()

    def put(name: str, first: int, stop: int) -> Any:
        headers = {"Content-Range": f"bytes {first}-{stop - 1}/{len(DATA)}"}
        path = f"/api/v1/runs/run-{name}/blobs/{DIGEST}"
        return both.ask("PUT", path, content=DATA[first:stop], headers=headers, key=keys[name])

    assert put(SECRET, 0, 1000).json() == {"size": 1000, "complete": False}
    assert put(EVIL, 0, 10).json() == {"size": 10, "complete": False}
    assert put(EVIL, 1000, 2000).json()["error"]["held"] == 10
    assert put(SECRET, 1000, len(DATA)).json() == {"size": len(DATA), "complete": True}
    assert put(EVIL, 10, len(DATA)).json() == {"size": len(DATA), "complete": True}
    files = [path for path in both.app.state.namespaces.files(None).rglob(DIGEST) if path.stat().st_size]
    assert len(files) == 1


def test_payloads_of_an_earlier_release_have_owners(both: Served) -> None:
    """Bytes that lie there without an owner go to the projects that named them before, and to nobody afterwards."""
    origin = Origin("old", "w")
    send(both, origin, [start_line(origin, project=SECRET), artifact()]).raise_for_status()
    namespaces = both.app.state.namespaces
    files = namespaces.files(None)
    (files / DIGEST[:2]).mkdir(parents=True)
    (files / DIGEST[:2] / DIGEST).write_bytes(DATA)
    namespaces.close()
    assert both.ask("GET", "/api/v1/runs/old/artifacts/w-1/payload").content == DATA
    evil, thief = both.new_key(["write"], [EVIL]), Origin("thief", "w")
    send(both, thief, [start_line(thief, project=EVIL), artifact()], key=evil).raise_for_status()
    namespaces.close()
    assert both.ask("GET", "/api/v1/runs/thief/artifacts/w-1/payload", key=evil).status_code == 404


def test_a_payload_that_came_before_its_run_s_start(both: Served) -> None:
    """A rank's payload that arrives while nobody has said the project yet is the run's afterwards."""
    rank1, rank0 = Origin("run-1", "1-1-a"), Origin("run-1", "0-1-a")
    send(both, rank1, [artifact()]).raise_for_status()
    both.ask("PUT", f"/api/v1/runs/run-1/blobs/{DIGEST}", content=DATA).raise_for_status()
    send(both, rank0, [start_line(rank0, project=SECRET)]).raise_for_status()
    own = both.new_key(["read"], [SECRET])
    assert both.ask("GET", "/api/v1/runs/run-1/artifacts/1-1-a-0/payload", key=own).content == DATA


@pytest.mark.parametrize(("first", "stop"), [(4, 2**63 - 1), (4, 5), (4, 1000), (0, 2**63 - 1), (2, 4)])
def test_a_position_moves_only_with_records(filled: Served, first: int, stop: int) -> None:
    """An empty batch moves nothing, nor does one that claims numbers behind its last record."""
    for body in (b"", make_batch(Origin(THEIRS, "w"), metric_lines(1), first).data):
        at = first + 1 if body else first
        if stop == at:
            continue
        path = f"/api/v1/runs/{THEIRS}/writers/w/records"
        answer = filled.ask("POST", path, params={"first": first, "stop": stop}, content=body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "stop")
        assert filled.ask("GET", f"/api/v1/runs/{THEIRS}/writers/w").json() == {"next": 5}
