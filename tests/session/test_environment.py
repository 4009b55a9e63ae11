"""What is captured of the environment: the commit, nothing secret."""

import subprocess

from quark.session.environment import capture_environment, git_state


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
