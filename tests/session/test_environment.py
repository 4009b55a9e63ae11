"""What is captured of the environment: the commit, nothing secret."""

import os
import platform
import socket
import subprocess
import sys

import pytest

from quark.records.grammar import to_json
from quark.session.environment import capture_environment
from quark.session.git import git_state


def _git(directory, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments], cwd=directory, check=True,
        capture_output=True,
    )  # fmt: skip


def test_commit_branch_and_remote_are_read_from_the_repository(tmp_path):
    """The commit is git's own, loose or packed, on a branch or detached; the remote comes without its password."""
    _git(tmp_path, "init", "-b", "trunk")
    _git(tmp_path, "commit", "--allow-empty", "-m", "one")
    _git(tmp_path, "remote", "add", "origin", "https://ada:hunter2@example.com/r.git")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True).strip()
    (tmp_path / "inside").mkdir()
    state = git_state(tmp_path / "inside")
    assert state is not None
    assert (state["commit"], state["branch"]) == (commit, "trunk")
    assert "hunter2" not in state["remote"]
    _git(tmp_path, "pack-refs", "--all")
    assert (git_state(tmp_path) or {})["commit"] == commit
    _git(tmp_path, "checkout", "--detach")
    assert (git_state(tmp_path) or {})["commit"] == commit


def test_no_repository_and_no_commit_are_none(tmp_path):
    """Outside a repository, and before the first commit, there is no commit."""
    assert git_state(tmp_path) is None
    _git(tmp_path, "init")
    assert git_state(tmp_path) is None


def test_variables_are_taken_by_name_only(monkeypatch):
    """Variables that are not on the list never get in, whatever they hold."""
    monkeypatch.setenv("MY_SECRET", "canary-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr("sys.argv", ["train.py", "--api-key", "canary-3", "--lr", "1"])
    captured = capture_environment()
    assert "canary" not in repr(captured)
    assert captured["variables"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert captured["command"][-1] == "1"


def test_changes_that_are_not_committed_make_a_tree_dirty(tmp_path):
    """Changed, staged, deleted: dirty. Committed, only touched, or not tracked: clean."""
    _git(tmp_path, "init", "-b", "main")
    names = ("TREE", "b")
    for name in names:
        (tmp_path / name).write_text("one\n")
    _git(tmp_path, "add", *names)
    _git(tmp_path, "commit", "-m", "one")

    def dirty():
        return (git_state(tmp_path) or {}).get("dirty")

    (tmp_path / "untracked").write_text("x")
    os.utime(tmp_path / "b", ns=(1, 1))
    assert dirty() is False
    (tmp_path / "b").write_text("two\n")
    assert dirty() is True
    _git(tmp_path, "add", "b")
    assert dirty() is True
    _git(tmp_path, "commit", "-m", "two")
    assert dirty() is False
    (tmp_path / "b").unlink()
    assert dirty() is True


def _repository(tmp_path, head, config=b"", refs=None):
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_bytes(head)
    (git / "config").write_bytes(config)
    for name, value in (refs or {}).items():
        path = os.path.join(os.fsencode(git), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(value)
    return tmp_path


COMMIT = b"1" * 40


def test_references_to_references_are_followed(tmp_path):
    """HEAD may name a reference that names another one; the commit is that of the last, and so is the branch."""
    refs = {b"refs/heads/alias": b"ref: refs/heads/main\n", b"refs/heads/main": COMMIT + b"\n"}
    found = git_state(_repository(tmp_path, b"ref: refs/heads/alias\n", refs=refs)) or {}
    assert (found["commit"], found["branch"]) == ("1" * 40, "main")


@pytest.mark.parametrize(
    "head",
    [b"", b"\n", b"garbage", b"ref: ", b"ref: ../../secret\n", b"ref: refs/heads/loop\n", b"1" * 39, b"\xff"],
)
def test_a_head_that_names_no_commit_is_none(tmp_path, head):
    """Empty, damaged or circular: there is no commit, and no text of another file in its place."""
    (tmp_path / "secret").write_text("s3cret")
    assert git_state(_repository(tmp_path, head, refs={b"refs/heads/loop": b"ref: refs/heads/loop\n"})) is None


@pytest.mark.parametrize("kind", ["pipe", "device", "too large"])
@pytest.mark.parametrize("name", ["HEAD", "refs/heads/main", "packed-refs", "commondir", "config", "index"])
def test_a_repository_from_an_archive_holds_nobody(tmp_path, name, kind):
    """A pipe, an endless device or a file without end in the place of any file of a repository is read as empty."""
    refs = {} if name == "packed-refs" else {b"refs/heads/main": COMMIT}
    path = _repository(tmp_path, b"ref: refs/heads/main\n", refs=refs) / ".git" / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    state = git_state(tmp_path)
    assert state == (
        {"branch": "main", "commit": COMMIT.decode()} if name in ("commondir", "config", "index") else None
    )


def test_text_in_any_encoding_is_read(tmp_path):
    """Latin-1 and broken UTF-8 in the configuration, in HEAD and in names of branches."""
    branch = b"refs/heads/caf\xe9"
    config = b'[user]\n\tname = Jos\xe9\n[remote "origin"]\n\turl = https://example.com/\xe9.git\n'
    found = git_state(_repository(tmp_path, b"ref: " + branch + b"\n", config, {branch: COMMIT})) or {}
    assert found["commit"] == "1" * 40
    assert found["branch"].startswith("caf")
    assert found["remote"].startswith("https://example.com/")
    assert to_json(found)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('[remote "fork"]\nurl = f\n[remote "origin"]\nurl = o\n', "o"),
        ('[remote "fork"]\nurl = f\n[remote "origin"]\nurl = o\n[branch "main"]\n\tremote = fork\n', "f"),
        ('[remote "fork"] url = f', "f"),
        ('[url "https://x/"]\ninsteadOf = y\n[REMOTE "origin"]\n  URL = "o"\n', "o"),
        ('# [remote "origin"]\n; url = commented\n[remote "up"]\nurl = u\n', "u"),
        ("[core]\nbare = false\n", None),
    ],
)
def test_the_remote_is_that_of_the_branch(tmp_path, config, expected):
    """The branch's own remote, else origin, else the only one there is."""
    refs = {b"refs/heads/main": COMMIT}
    found = git_state(_repository(tmp_path, b"ref: refs/heads/main\n", config.encode(), refs)) or {}
    assert found.get("remote") == expected


def _fails(*_arguments, **_options):
    raise OSError("simulated")


BROKEN = {
    "host": (socket, "gethostname"), "platform": (platform, "platform"), "python": (platform, "python_version"),
    "pid": (os, "getpid"), "working_directory": (os, "getcwd"), "cpu_count": (os, "cpu_count"),
}  # fmt: skip


@pytest.mark.parametrize("field", BROKEN)
def test_a_field_that_cannot_be_read_fails_alone(monkeypatch, field):
    """It is None and named as unreadable; every other field is there. (No machine fails so on demand: simulated.)"""
    monkeypatch.setattr(*BROKEN[field], _fails)
    captured = capture_environment()
    assert captured[field] is None
    assert captured["unreadable"] == {field: "OSError"}
    assert captured["packages"]


def test_a_directory_that_is_gone_has_no_name(tmp_path, monkeypatch):
    """A working directory that was deleted is None, and outside of any repository."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    captured = capture_environment()
    assert (captured["working_directory"], captured["git"]) == (None, None)


@pytest.mark.parametrize("argv", [None, ["t.py", "caf\udce9"], ["t.py", b"x", 5, None], 5])
def test_any_command_line_is_taken(monkeypatch, argv):
    """One that is missing, with bytes that are no text, or with objects that are none."""
    if argv is None:
        monkeypatch.delattr(sys, "argv")
    else:
        monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setenv("SLURM_JOB_NAME", "caf\udce9")
    captured = capture_environment()
    assert to_json(captured)
    assert captured["variables"]["SLURM_JOB_NAME"] == "caf\ufffd"
