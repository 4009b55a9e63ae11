"""`quark ui` on stores of every sort: it says what it sees, and harms none of them."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import quark
from quark.cli import run as run_command
from quark.reading import opening
from quark.storage.upgrade import run_migrations

from ..children import child_environment
from .conftest import record_runs
from .process import Ui, give_away, tree

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="missing: only root can give files to another user")

WRITER = """
import sys, quark
with quark.start_run(project="p", storage_dir=sys.argv[1], run_id=sys.argv[2]) as run:
    print("begun", flush=True)
    for step in range(300):
        run.log({"train/loss": 1.0 / (step + 1)}, step=step)
"""
LIVE = """
import sys, time, quark
with quark.start_run(project="p", storage_dir=sys.argv[1], run_id=sys.argv[2]) as run:
    for step in run.steps(range(1_000_000)):
        run.log({"train/loss": 1 / (step + 1)}, step=step)
        if not step:
            print("begun", flush=True)
        time.sleep(0.02)
"""


def started(program: str, directory: Path, run_id: str) -> "subprocess.Popen[str]":
    """A process that records a run, which has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(directory), run_id], stdout=subprocess.PIPE, text=True,
        env=child_environment(),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def until(wanted: Callable[[], Any]) -> Any:
    """What a question is answered with once the answer is yes."""
    deadline = time.monotonic() + 90
    while not (found := wanted()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def listed(client: Any) -> dict[str, str]:
    """The runs that the page lists, with their statuses."""
    answer = client.get("/api/v1/runs")
    answer.raise_for_status()
    return {run["id"]: run["status"] for run in answer.json()["runs"]}


def test_it_opens_a_directory_and_leaves_nothing(recorded: Path, tmp_path: Path) -> None:
    """One link, the runs, Ctrl+C: exit code 0, nothing said, no file left behind."""
    with Ui(recorded, temporary=tmp_path) as ui, ui.client() as client:
        assert (ui.said["storage_dir"], ui.said["read_only"]) == (str(recorded), False)
        assert listed(client) == {"good-run": "completed", "bad-run": "failed"}
        assert ui.end() == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_leaves_nothing_when_it_is_told_to_go(recorded: Path, tmp_path: Path, number: int) -> None:
    """A terminal that is closed, or a `kill`, leaves no private directory behind either."""
    ui = Ui(recorded, temporary=tmp_path)
    code, said = ui.end(number)
    assert code in (128 + signal.SIGTERM, -signal.SIGTERM), said
    assert list(tmp_path.iterdir()) == []


def test_only_this_machine_reaches_it(recorded: Path) -> None:
    """It listens on the loopback address alone, whatever other addresses the machine has."""
    with Ui(recorded) as ui:
        port = f"{int(ui.url.rstrip('/').rpartition(':')[2]):04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [line[1].partition(":")[0] for line in lines if line[1].endswith(f":{port}") and line[3] == "0A"]
        assert listening == ["0100007F"]


def test_a_taken_port_is_named(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the port and what to do."""
    with Ui(recorded) as ui:
        port = ui.url.rstrip("/").rpartition(":")[2]
        assert run_command(["ui", str(recorded), "--port", port, "--no-browser"]) == 1
    assert port in capsys.readouterr().err


def test_where_no_run_is_recorded_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says what to do, and reading makes no store."""
    assert run_command(["ui", str(tmp_path), "--no-browser"]) == 1
    assert "quark demo" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_directories_are_one_too_many(tmp_path: Path) -> None:
    """A place and an option that names another one cannot both be meant."""
    assert run_command(["ui", str(tmp_path), "-d", str(tmp_path / "other"), "--no-browser"]) == 2


def test_an_empty_store_fills_while_it_is_looked_at(tmp_path: Path) -> None:
    """A store without runs shows none; a run that is recorded meanwhile appears."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        pass
    with quark.open(tmp_path) as store:
        store.run(run.run_id).delete()
    with Ui(tmp_path) as ui, ui.client() as client:
        assert listed(client) == {}
        with quark.start_run(project="p", storage_dir=tmp_path, run_id="new-run"):
            pass
        assert until(lambda: listed(client)) == {"new-run": "completed"}


def test_a_run_whose_process_was_killed_ends_on_the_page(tmp_path: Path) -> None:
    """What a dead process left is delivered while the page is open; its run is not shown as running for ever."""
    record_runs(tmp_path)
    with Ui(tmp_path) as ui, ui.client() as client:
        process = started(LIVE, tmp_path, "killed-run")
        assert until(lambda: listed(client).get("killed-run")) == "running"
        process.kill()
        process.communicate()
        assert until(lambda: listed(client)["killed-run"] == "failed")


def test_a_run_is_stopped_from_the_page(tmp_path: Path) -> None:
    """Stop reaches a run of another process, which ends after its step."""
    process = started(LIVE, tmp_path, "live-run")
    try:
        with Ui(tmp_path) as ui, ui.client() as client:
            until(lambda: listed(client).get("live-run"))
            client.post("/api/v1/runs/live-run/stop", json={}).raise_for_status()
            process.communicate(timeout=90)
            assert until(lambda: listed(client)["live-run"] != "running")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_eight_processes_write_while_it_reads(tmp_path: Path) -> None:
    """Every answer is a whole one, no writer fails, and all that they logged is there in the end."""
    names = [f"run-{number}" for number in range(8)]
    writers = [started(WRITER, tmp_path, name) for name in names]
    with Ui(tmp_path) as ui, ui.client() as client:
        while any(writer.poll() is None for writer in writers):
            for name in listed(client):
                client.get(f"/api/v1/runs/{name}/overview").raise_for_status()
                client.get(f"/api/v1/runs/{name}/chart", params={"key": "train/loss"}).raise_for_status()
        for writer in writers:
            writer.communicate()
        assert [writer.returncode for writer in writers] == [0] * 8
        assert until(lambda: set(listed(client).values()) == {"completed"})
        for name in names:
            chart = client.get(f"/api/v1/runs/{name}/chart", params={"key": "train/loss"}).json()
            assert sum(chart["count"]) == 300


@needs_root
def test_a_store_of_another_user_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy is shown and follows the original; nothing can be changed, and nothing in the directory is."""
    record_runs(tmp_path)
    give_away(tmp_path)
    before = tree(tmp_path)
    with Ui(tmp_path) as ui, ui.client() as client:
        assert ui.said["read_only"] is True
        assert set(listed(client)) == {"good-run", "bad-run"}
        refused = client.delete("/api/v1/runs/good-run")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "read_only")
        assert "cannot be written" in refused.json()["error"]["message"]
        assert tree(tmp_path) == before
        monkeypatch.setenv("QUARK_SAFE_DIRS", str(tmp_path))
        with quark.start_run(project="p", storage_dir=tmp_path, run_id="later-run"):
            pass
        assert until(lambda: listed(client).get("later-run"))


def older_store(directory: Path) -> Path:
    """A store as the first release made it."""
    path = directory / ".quark" / "quark.db"
    path.parent.mkdir(parents=True)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        run_migrations(connection, "0001")
    engine.dispose()
    return path


def version_of(path: Path) -> str:
    """The schema of a store."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    finally:
        connection.close()


@needs_root
def test_an_older_store_of_another_user_stays_as_it_is(tmp_path: Path) -> None:
    """Only the copy is brought to this release's schema."""
    path = older_store(tmp_path)
    give_away(tmp_path)
    before = tree(tmp_path)
    opened = opening.open_embedded(tmp_path)
    try:
        assert opened.is_copy
        assert list(opened.store.runs().items) == []
    finally:
        opened.close()
    assert tree(tmp_path) == before
    assert version_of(path) == "0001"


def test_an_older_store_opens(tmp_path: Path) -> None:
    """A store of an earlier release is brought up to date as by any command, and its page works."""
    older_store(tmp_path)
    with Ui(tmp_path) as ui, ui.client() as client:
        assert listed(client) == {}


def test_a_newer_store_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says that this release is too old; the file keeps its bytes."""
    path = older_store(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert run_command(["ui", str(tmp_path), "--no-browser"]) == 1
    assert "upgrade it with" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_runs_of_a_service_are_looked_at_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where runs go to a service, the page is the service's, and its address is printed."""
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", "http://127.0.0.1:1")
    assert run_command(["ui", "--no-browser"]) == 0
    assert "http://127.0.0.1:1/" in capsys.readouterr().out
