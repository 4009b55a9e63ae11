"""Directories that several users can reach: what another user owns is read and no more; what we make is ours alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import quark
from quark.delivery import signature
from quark.delivery.ownership import private_directories, private_directory
from quark.delivery.place import WriterPlace
from quark.records.base import Origin
from quark.session.placement import Placement, fallback_directories
from quark.session.sync import sync

from .test_sync import die

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="missing: only root can give files to another user")
STRANGER = 23456


def give(path: Path, uid: int = STRANGER) -> None:
    """Make another user the owner of all of it."""
    for entry in (path, *path.rglob("*")):
        os.chown(entry, uid, uid, follow_symlinks=False)


def tree(path: Path) -> dict[str, object]:
    return {str(entry): entry.lstat().st_mtime_ns for entry in sorted(path.rglob("*")) if not entry.is_dir()}


@needs_root
def test_another_users_folder_is_read_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A copy is read, nothing in the folder changes, one warning says why and what allows more."""
    run_id = die(tmp_path)
    with quark.start_run(project="p", storage_dir=tmp_path, run_id="whole"):
        pass
    sync(tmp_path)
    die(tmp_path)
    give(tmp_path / ".quark")
    before = tree(tmp_path)
    with quark.open(tmp_path) as store:
        assert {view.id for view in store.runs()} == {run_id, "whole"}
        with pytest.raises(quark.SessionStoreError, match="cannot be written"):
            store.run("whole").delete()
    assert sync(tmp_path).delivered == {} and "23456" in sync(tmp_path).problems[0]
    assert tree(tmp_path) == before
    assert "23456" in caplog.text and "QUARK_SAFE_DIRS" in caplog.text


@needs_root
def test_the_user_may_call_a_folder_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that QUARK_SAFE_DIRS names, or below one, everything works as in one's own."""
    run_id = die(tmp_path / "runs")
    give(tmp_path / "runs" / ".quark")
    monkeypatch.setenv("QUARK_SAFE_DIRS", f"/nowhere:{tmp_path}")
    assert sync(tmp_path / "runs").delivered[run_id] > 100
    with quark.start_run(project="p", storage_dir=tmp_path / "runs") as run:
        assert run.storage_dir == str(tmp_path / "runs")


@needs_root
def test_no_run_is_recorded_in_another_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes to a private directory instead, and the warning says how to use the folder all the same."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "shared" / ".quark").mkdir(parents=True)
    give(tmp_path / "shared" / ".quark")
    with quark.start_run(project="p", storage_dir=tmp_path / "shared") as run:
        assert run.storage_dir == str(tmp_path / f"quark-{os.geteuid()}")
    assert "QUARK_SAFE_DIRS" in caplog.text and list((tmp_path / "shared" / ".quark").iterdir()) == []


@needs_root
def test_a_journal_that_another_user_put_into_ones_own_folder(tmp_path: Path) -> None:
    """It is left as it is and named; those beside it are delivered."""
    mine = die(tmp_path)
    theirs = tmp_path / ".quark" / "journal" / "theirs"
    place = WriterPlace(theirs / "w")
    place.create(Origin("theirs", "w"), {"sinks": []})
    place.release()
    give(theirs)
    report = sync(tmp_path)
    assert report.lost == [mine] and "theirs" in report.problems[0] and "23456" in report.problems[0]


def _file(path: Path) -> None:
    path.write_text("")


def _open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def _link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere")


def _anothers(path: Path) -> None:
    path.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("missing: only root can give files to another user")
    give(path)


@pytest.mark.parametrize("occupy", [_file, _open_to_all, _link, _anothers])
def test_the_place_in_a_shared_directory_is_ours_or_another_one(tmp_path: Path, occupy) -> None:
    """Whoever was there first with a file, a link or a directory of his own gets no run; ours is found again."""
    occupy(tmp_path / f"quark-{os.geteuid()}")
    made = private_directory(tmp_path)
    assert made.name != f"quark-{os.geteuid()}" and stat.S_IMODE(made.stat().st_mode) == 0o700
    assert private_directory(tmp_path) == made and private_directories(tmp_path) == [made]


def test_runs_that_went_elsewhere_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`quark sync` names the private directory in which runs wait whose storage directory was closed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fallback = private_directory(tmp_path)
    die(fallback)
    assert fallback_directories() == [fallback]
    (tmp_path / "project").mkdir()
    from quark.cli import run as command

    command(["sync", str(tmp_path / "project")])
    assert f"1 more wait in {fallback}: quark sync {fallback}\n" in capsys.readouterr().out


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o000])
def test_what_is_made_is_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    """Whatever the umask: directories are 0700 and files 0600, names of runs are nobody else's either."""
    before = os.umask(umask)
    try:
        with quark.start_run(project="p", storage_dir=tmp_path, trackers=[quark.JsonlSink()]) as run:
            quark.ArtifactStore(run).store("t", "k", {"a": 1}, payload_format="json")
            run.flush()
            modes = _modes(tmp_path / ".quark")
        modes |= _modes(tmp_path / ".quark")
    finally:
        os.umask(before)
    assert modes == {("directory", 0o700), ("file", 0o600)}


def _modes(root: Path) -> set[tuple[str, int]]:
    return {
        ("directory" if entry.is_dir() else "file", stat.S_IMODE(entry.stat().st_mode))
        for entry in (root, *root.rglob("*"))
    }


def test_directories_that_an_earlier_umask_left_open_are_closed(tmp_path: Path) -> None:
    """What others could write to is theirs no longer once a run begins; what they could read is the user's choice."""
    for name in (".quark", ".quark/runs", ".quark/journal"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    quark.start_run(project="p", storage_dir=tmp_path).end_run()
    assert {stat.S_IMODE((tmp_path / ".quark" / name).stat().st_mode) for name in (".", "runs", "journal")} == {0o755}


def test_the_key_is_private_and_one_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that start at the same moment make one key, 0600 in a directory 0700."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code = "from quark.delivery.signature import sign; print(sign(__import__('pathlib').Path('/x'), {'a': 1}))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    signatures = {process.communicate()[0] for process in processes}
    assert len(signatures) == 1 and len(signatures.pop().strip()) == 64
    assert [entry.name for entry in (tmp_path / "state" / "quark").iterdir()] == [signature.KEY_FILE]
    assert _modes(tmp_path / "state" / "quark") == {("directory", 0o700), ("file", 0o600)}


@pytest.mark.parametrize("spoilt", ["readable", "short", "link", "directory open", "no home"])
def test_a_key_that_others_could_know_signs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    """Without a safe key journals are unsigned: runs are recorded all the same, and `quark doctor` says why."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    key = tmp_path / "quark" / signature.KEY_FILE
    assert signature.sign(tmp_path, {}) is not None
    if spoilt == "readable":
        key.chmod(0o644)
    elif spoilt == "short":
        key.write_bytes(b"x")
    elif spoilt == "link":
        key.rename(tmp_path / "real")
        key.symlink_to(tmp_path / "real")
    elif spoilt == "directory open":
        key.parent.chmod(0o777)
    else:
        monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    assert signature.sign(tmp_path, {}) is None and signature.key_problem()
    with quark.start_run(project="p", storage_dir=tmp_path / "runs") as run:
        assert "signature" not in _content(run)
    assert run.status == "completed"


def _content(run: quark.TrainingSession) -> dict[str, object]:
    (place,) = Placement(Path(run.storage_dir)).journals(run.run_id).iterdir()
    return orjson.loads((place / "writer.json").read_bytes())


def test_a_signature_is_for_one_place_and_one_text(tmp_path: Path) -> None:
    """A description that is changed, or put into another directory, is a stranger's."""
    place = WriterPlace(tmp_path / "r" / "w")
    place.create(Origin("r", "w"), {"sinks": [{"name": "jsonl", "kind": "jsonl", "options": {"path": "/a"}}]})
    place.release()
    assert place.is_signed()
    (tmp_path / "r" / "w").rename(tmp_path / "r" / "v")
    moved = WriterPlace(tmp_path / "r" / "v")
    assert not moved.is_signed()
    (tmp_path / "r" / "v").rename(tmp_path / "r" / "w")
    file = tmp_path / "r" / "w" / "writer.json"
    file.write_bytes(file.read_bytes().replace(b'"/a"', b'"/b"'))
    assert not place.is_signed()
