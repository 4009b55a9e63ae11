"""`quark doctor`."""

import sqlite3
from pathlib import Path

import pytest

import quark
from quark.cli.checks import Check, all_checks, file_system_of
from quark.session.placement import Placement

from .conftest import Command


def checks_of(directory: Path) -> dict[str, Check]:
    """The findings about a directory, by name."""
    return {check.name: check for check in all_checks(Placement(directory))}


def test_a_sound_directory_has_no_problem(command: Command, storage: Path) -> None:
    """Exit code 0; every check is named, in JSON too."""
    answer = command("doctor", "-d", storage)
    assert answer.code == 0 and "shared mappings" in answer.out and "is whole" in answer.out
    document = command("doctor", "-d", storage, "--json").json()
    assert {check["status"] for check in document["checks"]} <= {"ok", "warning"}
    assert document["chaos"] is None


def test_looking_leaves_nothing_behind(command: Command, tmp_path: Path) -> None:
    """A directory that is not there is not made, and no file is left in the one above it."""
    assert command("doctor", "-d", tmp_path / "new").code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_found(command: Command, tmp_path: Path) -> None:
    """The database is read page by page; damage is a problem, with exit code 1 and what to do."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for step in range(2000):
            run.log({"loss": 1.0}, step=step)
    database = tmp_path / ".quark" / "quark.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 3 * 4096)
    answer = command("doctor", "-d", tmp_path)
    assert answer.code == 1 and "problem" in answer.out and "store" in answer.out


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the key of this user is kept, in a home of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "quark" / "journal-key"


def test_the_key_of_signatures_is_looked_at(key: Path, tmp_path: Path) -> None:
    """A key that can be kept is no news."""
    check = checks_of(tmp_path)["signatures"]
    assert (check.status, check.remedy, key.exists()) == ("ok", "", True)


@pytest.mark.parametrize("way", ["readable by others", "truncated", "a link", "a directory", "no directory", "shared"])
def test_a_key_that_cannot_be_used_is_named(key: Path, tmp_path: Path, way: str) -> None:
    """Whatever keeps journals unsigned is a warning that names the place and what to do."""
    key.parent.mkdir(mode=0o700, parents=True)
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    if way == "readable by others":
        key.chmod(0o644)
    elif way == "truncated":
        key.write_bytes(b"k")
    elif way == "shared":
        key.unlink()
        key.parent.chmod(0o777)
    else:
        key.unlink()
        if way == "a link":
            key.symlink_to(tmp_path / "elsewhere")
        elif way == "a directory":
            key.mkdir()
        else:
            key.parent.rmdir()
            key.parent.write_text("a file")
    check = checks_of(tmp_path)["signatures"]
    assert (check.status, str(key.parent) in check.detail) == ("warning", True)
    assert "XDG_STATE_HOME" in check.remedy


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The one file of an artifact, in the storage directory ``tmp_path``."""
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="holder") as run:
        quark.ArtifactStore(run).store("report", "notes", "a text of some length")
    (payload,) = [path for path in (tmp_path / ".quark" / "runs").rglob("*.txt") if path.is_file()]
    return payload


def test_whole_artifacts_are_counted(stored: Path, tmp_path: Path) -> None:
    """Every file is opened and compared with the digest in its record."""
    assert stored.read_text() == "a text of some length"
    check = checks_of(tmp_path)["artifacts"]
    assert (check.status, check.detail) == ("ok", "1 files are there and have the recorded SHA-256")


@pytest.mark.parametrize(
    ("way", "word"), [("missing", "missing"), ("damaged", "damaged"), ("truncated", "damaged"), ("empty", "damaged"),
                      ("longer", "damaged"), ("a link", "missing"), ("a directory", "missing")],
)  # fmt: skip
def test_an_artifact_that_is_not_what_was_recorded_is_named(
    command: Command, stored: Path, tmp_path: Path, way: str, word: str
) -> None:
    """Missing, damaged and cut files are problems with their artifact and run, and the exit code is 1."""
    content = stored.read_bytes()
    stored.unlink()
    if way == "damaged":
        stored.write_bytes(b"A" + content[1:])
    elif way == "truncated":
        stored.write_bytes(content[:-1])
    elif way == "empty":
        stored.write_bytes(b"")
    elif way == "longer":
        stored.write_bytes(content + b"!")
    elif way == "a link":
        (tmp_path / "other").write_bytes(b"something else")
        stored.symlink_to(tmp_path / "other")
    elif way == "a directory":
        stored.mkdir()
    answer = command("doctor", "-d", tmp_path, "--json")
    (check,) = [check for check in answer.json()["checks"] if check["name"] == "artifacts"]
    assert (answer.code, check["status"]) == (1, "problem")
    assert check["detail"] == f"of 1 files 1 are not what was recorded: notes of run holder is {word}"


def test_journals_of_dead_processes_are_counted(tmp_path: Path, killed: str) -> None:
    """What waits to be delivered is a warning that names the command."""
    check = checks_of(tmp_path)["journals"]
    assert (check.status, check.remedy) == ("warning", f"quark sync {tmp_path}")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/home/me/runs", "ext4"), ("/data/x", "nfs4"), ("/data base/x", "lustre"), ("/dataset", "ext4")],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, expected: str) -> None:
    """Mount points with spaces are read as the system writes them; a name that only begins alike is another place."""
    mounts = "/dev/sda / ext4 rw 0 0\nhost:/data /data nfs4 rw 0 0\nfs:/x /data\\040base lustre rw 0 0"
    assert file_system_of(Path(path), mounts) == expected


@pytest.mark.fault
def test_the_kill_test_counts_and_tidies_up(command: Command, tmp_path: Path) -> None:
    """Processes are killed, nothing that was acknowledged is lost or doubled, the cost is told, no file stays."""
    answer = command("doctor", "-d", tmp_path, "--chaos", "--seconds", 1, "--json")
    report = answer.json()["chaos"]
    assert answer.code == 0
    assert (report["lost"], report["twice"]) == (0, 0)
    assert report["kills"] >= 2 and report["found"] >= report["acknowledged"] > 0
    assert 0 < report["cost"]["log_ns"]["p50"] <= report["cost"]["log_ns"]["p99"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
def test_the_kill_test_sees_what_is_lost(tmp_path: Path) -> None:
    """The test can fail: an acknowledged record that is missing counts as lost, one that is doubled as twice."""
    from quark.cli.chaos import ChaosReport, _count
    from quark.cli.chaos_child import key_of

    with quark.start_run(project="chaos", storage_dir=tmp_path, run_id="chaos-run") as run:
        for step in (0, 1, 1, 3):
            run.log({key_of(0): 1.0}, step=step)
    report = ChaosReport()
    _count(tmp_path, {"chaos-run": [4, 0, 0, 2], "missing-run": [1, 0, 0, 0]}, report)
    assert (report.acknowledged, report.found, report.lost, report.twice) == (7, 3, 1 + 2 + 1, 1)
