"""A stop that is asked for from afar ends a loop in order, at a service and in a folder."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import quark
from quark.cli.entry import run as quark_command
from quark.reading import Store

from .conftest import QuickService, wait_until

LOOP = """
import time
import quark
with quark.start_run(project="p", run_id="r", name="loop") as run:
    for step in run.steps(range(10**6)):
        run.log({"loss": 1.0})
        time.sleep(0.01)
"""


@pytest.fixture(params=["service", "folder"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs live in a service, or in a folder."""
    if request.param == "service":
        request.getfixturevalue("service")
    else:
        monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "runs"))
        monkeypatch.setenv("QUARK_HEARTBEAT_INTERVAL", "0.2")
    return request.param


def opened(where: str) -> Store:
    """The store in which the runs are."""
    return quark.connect() if where == "service" else quark.open()


def exists(where: str) -> bool:
    """Whether the run is in its store."""
    try:
        with opened(where) as store:
            return store.run("r").status == "running"
    except quark.SessionStoreError:
        return False


@pytest.mark.parametrize("how", ["view", "command"])
def test_a_loop_in_another_process_stops(where: str, how: str) -> None:
    """``view.stop`` and ``quark stop`` end ``run.steps`` within a heartbeat, with the reason stop_requested."""
    process = subprocess.Popen([sys.executable, "-c", LOOP])
    try:
        wait_until(lambda: exists(where))
        with opened(where) as store:
            view = store.run("r")
            if how == "view":
                control = view.stop(grace_period_s=30)
                assert (control.stop_grace_s, control.stop_requested_at is None) == (30, False)
            else:
                assert quark_command(["stop", "loop", "--grace", "30"]) == 0
            assert process.wait(30) == 0
            wait_until(lambda: view.refresh().status != "running")
            assert (view.status, view.reason) == ("completed", "stop_requested")
            assert view.control() == quark.RunControl(last_seen=view.control().last_seen)
            with pytest.raises(quark.InvalidRunStateError, match="completed"):
                view.stop()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("grace", [0.5, 0, -1, float("nan"), 1e9])
def test_a_grace_period_below_a_second_is_refused(where: str, grace: float) -> None:
    """A grace period is never rounded to nothing and never taken for the default: it is refused by name."""
    with quark.start_run(project="p", run_id="r") as run:
        run.log({"loss": 1.0}, step=0)
        run.flush()
        with opened(where) as store:
            with pytest.raises(quark.SchemaValidationError, match="grace_period_s"):
                store.run("r").stop(grace_period_s=grace)
            with pytest.raises(TypeError, match="grace_period_s"):
                store.run("r").stop(grace_period_s="long")  # type: ignore[arg-type]
        assert not run.stop_requested


def test_a_resumed_run_is_not_stopped_by_an_old_request(where: str) -> None:
    """What was asked of an attempt holds for that attempt only."""
    with quark.start_run(project="p", run_id="r") as run:
        run.log({"loss": 1.0}, step=0)
        run.flush()
        with opened(where) as store:
            store.run("r").stop()
        run.finish("interrupted")
    with quark.resume_run(run_id="r") as run:
        time.sleep(1.5)
        assert not run.stop_requested


RANK = """
import pathlib, sys, time
import quark
with quark.start_run(project="p") as run:
    done = 0
    pathlib.Path(sys.argv[1], str(run.rank)).touch()  # ranks of a job begin together
    while len(list(pathlib.Path(sys.argv[1]).iterdir())) < 2:
        time.sleep(0.01)
    time.sleep(3)  # a slow beginning: the pace of the steps is not that of the run on the whole
    for step in run.steps(range(10**6)):
        done = step + 1
        if done == 20:
            pathlib.Path(f"{sys.argv[1]}-{run.rank}").touch()
        time.sleep(0.005 * (1 + run.rank))
print(done)
"""


def test_all_ranks_of_a_job_stop_before_the_same_step(where: str, tmp_path: Path) -> None:
    """Ranks of different speed that hear of a request at different moments do the same number of steps."""
    job = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "QUARK_RUN_ID": "r"}
    job["QUARK_HEARTBEAT_INTERVAL"] = "1"  # four of them are what a rank may be late, on a machine that is busy
    (tmp_path / "begun").mkdir()
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path / "begun")],
            env={**os.environ, **job, "RANK": str(rank)},
            stdout=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    try:
        wait_until(lambda: all((tmp_path / f"begun-{rank}").exists() for rank in range(2)) and exists(where))
        with opened(where) as store:
            store.run("r").stop(grace_period_s=60)
        steps = [int(process.communicate(timeout=120)[0]) for process in ranks]
        assert steps[0] == steps[1] > 0
    finally:
        for process in ranks:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def test_the_service_refuses_a_request_that_makes_no_sense(service: QuickService) -> None:
    """Unknown runs are 404, grace periods out of range 400, each with the error shape."""
    import httpx

    with httpx.Client(base_url=f"{service.url}/api/v1", headers={"X-Quark-API-Key": service.key}) as client:
        for what, body in (("stop", {}), ("restart", {}), ("heartbeat", {"interval_s": 1})):
            answer = client.post(f"/runs/nobody/{what}", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "run_not_found")
        assert client.post("/runs/nobody/stop", json={"grace_period_s": 0.5}).status_code == 400
        assert client.post("/runs/nobody/heartbeat", json={"interval_s": 0}).status_code == 400


def sweep(name: str, heard: threading.Event) -> dict[str, int]:
    """Three members of up to 60 steps each; the group is asked to stop in the middle of the first one. Steps done."""
    done: dict[str, int] = {}
    with quark.run_group(name, total=3, project="p", git_sha="") as group:
        for member in ("a", "b", "c"):
            with group.run(member) as run:
                done[member] = 0
                for step in run.steps(range(60)):
                    run.log({"loss": 1.0})
                    done[member] += 1
                    if step == 5 and not heard.is_set():
                        run.flush()
                        group.session.flush()  # the store is to know its name
                        assert quark_command(["stop", name, "--grace", "30"]) == 0
                        wait_until(lambda run=run: run.stop_requested)
                        heard.set()
    return done


def test_a_group_that_is_asked_to_stop_stops_its_members(where: str) -> None:
    """The running member ends, no further one begins, and the next start goes on with all that are not done."""
    heard = threading.Event()
    assert sweep("bench", heard) == {"a": 6, "b": 0, "c": 0}
    with opened(where) as store:
        states = {view.name: (view.status, view.reason) for view in store.runs()}
    assert states == {"bench": ("interrupted", "interrupted"), "a": ("completed", "stop_requested")}
    with quark.run_group("bench", total=3, project="p", git_sha="") as group:
        assert group.pending(["a", "b", "c"]) == ["a", "b", "c"]
        assert not group.stop_requested
    assert sweep("bench", heard) == {"a": 60, "b": 60, "c": 60}
    with opened(where) as store:
        states = {view.name: (view.status, view.record.resume_count) for view in store.runs()}
    assert states == {"bench": ("completed", 2), "a": ("completed", 1), "b": ("completed", 0), "c": ("completed", 0)}


def test_a_member_of_another_process_stops_with_its_group(where: str) -> None:
    """Only the store knows all members of a shared group: it passes the request on."""
    with (
        quark.run_group("bench", project="p", git_sha="") as first,
        quark.run_group("bench", project="p", git_sha="") as second,
    ):
        with second.run("a") as member:
            member.flush()
            with opened(where) as store:
                store.run(first.run_id).stop()
            wait_until(lambda: member.stop_requested)
        assert second.stop_requested
        with second.run("b") as member:
            assert (member.disabled, member.stop_requested, list(member.steps([1]))) == (True, True, [])
            assert (member.status, member.run_id) == ("interrupted", second.id_of("b"))


def test_a_group_that_hears_later_than_its_member_stops_too(where: str) -> None:
    """The member that ran was asked because of the group: no further one begins, before the group has heard it too."""
    with quark.run_group("bench", project="p", git_sha="") as group:
        assert group.session.heartbeat is not None
        group.session.heartbeat.end()  # it hears of nothing any more
        with group.run("a") as run:
            run.flush()
            group.session.flush()
            with opened(where) as store:
                store.run(group.run_id).stop()
            wait_until(lambda: run.stop_requested)
        with group.run("b") as member:
            assert (member.disabled, list(member.steps([1]))) == (True, [])


def test_a_group_stops_from_within(where: str) -> None:
    """``group.session.stop()`` reaches the member that runs at once."""
    with quark.run_group("bench", project="p", git_sha="") as group, group.run("a") as run:
        group.session.stop()
        assert (run.stop_requested, group.stop_requested) == (True, True)
