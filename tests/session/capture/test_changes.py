"""Changes that are not committed: kept with the run, without secrets, while nothing of the repository is run."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

import quark
from quark.cli.show import commit_of
from quark.session.capture import changes as module
from quark.session.capture.changes import ChangesError, uncommitted_changes
from quark.session.git import find_repository

CANARY = "hunter2-canary-9f"


def _git(directory, *arguments, **options):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments], cwd=directory, check=True,
        capture_output=True, **options,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    """A repository with one committed file."""
    directory = tmp_path / "tree"
    directory.mkdir()
    _git(directory, "init", "-b", "main")
    (directory / "train.py").write_text("lr = 0.1\nsteps = 10\n")
    _git(directory, "add", "train.py")
    _git(directory, "commit", "-m", "one")
    return directory


def _changes(tree):
    repository = find_repository(tree)
    assert repository is not None
    return uncommitted_changes(repository, threading.Event())


def test_a_run_keeps_what_its_commit_does_not_hold(tree, capture, view_of, monkeypatch):
    """The run's diff brings a clean checkout of its commit to the code that ran; the environment says dirty."""
    (tree / "train.py").write_text("lr = 0.2\nsteps = 10\n")
    (tree / "staged.py").write_text("x = 1\n")
    _git(tree, "add", "staged.py")
    (tree / "new.py").write_text("secret, since never added\n")
    monkeypatch.chdir(tree)
    run = capture("DIFF")
    run.end_run()
    view = view_of(run)
    assert view.environment["git"]["dirty"] is True
    assert view.environment["git"]["changes"] == {"files": 2, "untracked": 1, "truncated": False}
    assert commit_of(view) == f"{view.record.git_commit} + changes"
    (artifact,) = view.artifacts()
    assert (artifact.artifact_type, artifact.artifact_key) == ("environment", "environment/changes")
    patch = view.load(artifact)
    assert "# untracked: 'new.py'" in patch
    assert "never added" not in patch
    _git(tree, "reset", "--hard")
    _git(tree, "apply", "-", input=patch.encode())
    assert (tree / "train.py").read_text() == "lr = 0.2\nsteps = 10\n"
    assert (tree / "staged.py").read_text() == "x = 1\n"


def test_a_clean_tree_leaves_no_artifact_and_says_clean(tree, capture, view_of, monkeypatch):
    """There is nothing to keep of a tree that is its commit, also where a quick look could not tell."""
    monkeypatch.setattr("quark.session.git.is_dirty", lambda *_: None)
    monkeypatch.chdir(tree)
    run = capture("DIFF")
    assert "dirty" not in run.context.run.environment["git"]
    run.end_run()
    assert run.context.run.environment["git"]["dirty"] is False
    view = view_of(run)
    assert view.artifacts() == ()
    assert commit_of(view) == view.record.git_commit


@pytest.mark.parametrize("place", [None, "empty"])
def test_outside_of_a_repository_and_before_a_commit_there_is_nothing(tmp_path, place, capture, view_of, monkeypatch):
    """No repository, no commit: the run says nothing of changes and warns of nothing."""
    if place == "empty":
        _git(tmp_path, "init")
    monkeypatch.chdir(tmp_path)
    run = capture("DIFF")
    run.end_run()
    assert run.health()["faults"] == {}
    assert view_of(run).artifacts() == ()


def _program(tmp_path, name, body="cat"):
    """A program that leaves a trace when it runs."""
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


ATTACKS = {
    "fsmonitor": ("core.fsmonitor", "{program}"),
    "external diff": ("diff.external", "{program}"),
    "pager": ("core.pager", "{program}"),
    "diff pager": ("pager.diff", "{program}"),
    "diff driver": ("diff.evil.command", "{program}"),
    "text conversion": ("diff.evil.textconv", "{program}"),
    "clean filter": ("filter.evil.clean", "{program}"),
    "smudge filter": ("filter.evil.smudge", "{program}"),
    "filter process": ("filter.evil.process", "{program}"),
    "alias": ("alias.diff", "!{program}"),
    "hooks": ("core.hooksPath", "{tmp_path}"),
    "editor": ("core.editor", "{program}"),
    "ssh": ("core.sshCommand", "{program}"),
    "askpass": ("core.askPass", "{program}"),
    "alternate refs": ("core.alternateRefsCommand", "{program}"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_configuration_of_a_repository_runs_a_program(tree, tmp_path, attack):
    """Whatever a stranger's repository names in its configuration, reading its changes runs none of it."""
    program = _program(tmp_path, "post-index-change" if attack == "hooks" else "program")
    name, value = ATTACKS[attack]
    (tree / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    _git(tree, "config", name, value.format(program=program, tmp_path=tmp_path))
    _git(tree, "config", "filter.evil.required", "true")
    (tree / "train.py").write_text("lr = 0.3\n")
    os.utime(tree / "train.py", (1, 1))
    for trace in tmp_path.glob("ran-*"):
        trace.unlink()
    assert "+lr = 0.3" in _changes(tree).patch
    assert list(tmp_path.glob("ran-*")) == []


def test_the_attacks_would_run_their_programs(tree, tmp_path):
    """The traces tell something: the ordinary ``git diff`` runs the filter of such a repository."""
    (tree / ".gitattributes").write_text("*.py filter=evil\n")
    _git(tree, "config", "filter.evil.clean", str(_program(tmp_path, "program")))
    (tree / "train.py").write_text("lr = 0.3\n")
    _git(tree, "diff", "HEAD")
    assert list(tmp_path.glob("ran-*")) != []


def test_included_configurations_and_submodules_run_nothing(tree, tmp_path):
    """Neither an included file nor the configuration of a submodule is looked at."""
    program = _program(tmp_path, "program")
    (tmp_path / "more").write_text(f"[core]\n\tfsmonitor = {program}\n[diff]\n\texternal = {program}\n")
    _git(tree, "config", "include.path", str(tmp_path / "more"))
    other = tree / "sub"
    other.mkdir()
    _git(other, "init")
    (other / "a").write_text("a")
    _git(other, "add", "a")
    _git(other, "commit", "-m", "a")
    _git(tree, "add", "sub", "-f")
    _git(other, "config", "core.fsmonitor", str(program))
    (other / "a").write_text("b")
    for trace in tmp_path.glob("ran-*"):
        trace.unlink()
    (tree / "train.py").write_text("lr = 0.3\n")
    assert "+lr = 0.3" in _changes(tree).patch
    assert list(tmp_path.glob("ran-*")) == []


def test_a_git_of_the_working_tree_is_not_run(tree, tmp_path, monkeypatch):
    """A PATH that leads into the working tree, or is relative to it, finds no program there."""
    program = _program(tree, "git")
    monkeypatch.chdir(tree)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    assert "untracked: 'git'" in _changes(tree).patch
    monkeypatch.setenv("PATH", str(tree))
    with pytest.raises(ChangesError, match="file of the working tree"):
        _changes(tree)
    assert program.exists()
    assert not (tree / "ran-git").exists()


def test_variables_of_git_lead_nowhere_else(tree, tmp_path, monkeypatch):
    """Started from a hook or a script of Git's, the run still tells of its own working directory."""
    (tree / "train.py").write_text("lr = 0.3\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(_program(tmp_path, "program")))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "diff.external")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path / "program"))
    assert "+lr = 0.3" in _changes(tree).patch
    assert list(tmp_path.glob("ran-*")) == []


def test_locks_of_git_are_not_waited_for_and_nothing_is_written(tree):
    """A commit that is under way holds the lock of the index; the repository stays as it was, to the byte."""
    (tree / ".git" / "index.lock").touch()
    (tree / "train.py").write_text("lr = 0.3\n")

    def content():
        return {path: path.read_bytes() for path in (tree / ".git").rglob("*") if path.is_file()}

    before = content()
    assert _changes(tree).files == 1
    assert content() == before


def test_a_linked_working_tree_and_a_split_index_are_read(tree, tmp_path):
    """The commit and the index of a linked tree are its own; an index in two halves is one index."""
    linked = tmp_path / "linked"
    _git(tree, "worktree", "add", str(linked))
    _git(linked, "update-index", "--split-index")
    (linked / "train.py").write_text("lr = 0.4\n")
    assert "+lr = 0.4" in _changes(linked).patch
    assert _changes(tree).files == 0


def test_line_ends_are_compared_as_the_repository_says(tree):
    """A tree that was checked out with other line ends is not changed by that."""
    _git(tree, "config", "core.autocrlf", "true")
    (tree / "train.py").write_bytes(b"lr = 0.1\r\nsteps = 10\r\n")
    assert _changes(tree).files == 0


def test_a_long_diff_is_cut_and_says_so(tree, monkeypatch):
    """The bound holds whatever has changed; the patch, its numbers and the file itself tell that it was cut."""
    monkeypatch.setattr(module, "MAX_DIFF_BYTES", 2000)
    (tree / "train.py").write_text("".join(f"line {number}\n" for number in range(10_000)))
    changes = _changes(tree)
    assert changes.truncated
    assert len(changes.patch) < 2300
    assert changes.patch.endswith("# [cut here: the diff is longer than 2,000 bytes]\n")


def test_git_that_does_not_end_is_ended(tree, tmp_path, monkeypatch):
    """A working tree that cannot be read in time costs the run its diff, with the reason, and nothing more."""
    _program(tmp_path, "git", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "TIME_S", 0.3)
    began = time.monotonic()
    with pytest.raises(ChangesError, match="took longer"):
        _changes(tree)
    assert time.monotonic() - began < 30


def test_a_run_that_ends_early_does_not_wait_for_git(tree, tmp_path, capture, view_of, monkeypatch):
    """The end of a run gives a slow Git a moment, then ends it; the run says why it has no diff."""
    _program(tmp_path, "git", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("quark.session.capture.capture.CLOSE_S", 0.2)
    monkeypatch.setattr("quark.session.capture.capture.CANCEL_S", 20.0)
    monkeypatch.chdir(tree)
    run = capture("DIFF")
    run.end_run()
    assert view_of(run).environment["git"]["changes"] == {"error": "the run ended before git was done"}


def test_a_signal_is_not_held_up_by_git(tree, tmp_path):
    """SIGTERM ends a slow Git at once: the time that is left is for what was recorded, and all of it is stored."""
    _program(tmp_path, "git", "exec sleep 60")
    store = tmp_path / "store"
    (tmp_path / "program.py").write_text(
        "import os, signal, time, quark\n"
        f"run = quark.start_run(project='p', run_id='r', storage_dir={str(store)!r})\n"
        "run.log({'a': 1.0})\n"
        f"while not os.path.exists({str(tmp_path / 'ran-git')!r}): time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], cwd=tree, timeout=120, check=False,
        env={**os.environ, "QUARK_CAPTURE_DIFF": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert ran.returncode == -signal.SIGTERM
    with quark.open(store) as opened:
        view = opened.run("r")
        assert (view.status, len(view.series("a"))) == ("interrupted", 1)
        assert view.environment["git"]["changes"] == {"error": "the run ended before git was done"}


def test_without_git_the_run_says_so(tree, tmp_path, capture, view_of, monkeypatch):
    """No Git, no diff: the environment tells why, and nothing is warned about."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tree)
    run = capture("DIFF")
    run.end_run()
    assert view_of(run).environment["git"]["changes"] == {"error": "git is not installed"}
    assert run.health()["faults"] == {}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("train.py", "x = 1\n", f"x = 1\npassword = '{CANARY}'\n"),
        ("train.py", f"password = '{CANARY}'\n", "x = 1\n"),
        ("train.py", f"a\npassword = '{CANARY}'\nb\n", f"a\npassword = '{CANARY}'\nc\n"),
        (".env", "A=1\n", f"A=1\nWHATEVER={CANARY}\n"),
        ("keys/id_rsa", "x\n", f"{CANARY}\n"),
        ("config/prod.pem", "x\n", f"{CANARY}\n"),
        ("run.sh", "x\n", f"curl https://ada:{CANARY}@example.com\n"),
    ],
)  # fmt: skip
def test_secrets_in_a_diff_are_taken_out(tree, name, before, after):
    """In added, removed and context lines, and in files that hold nothing but secrets."""
    path = tree / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(before)
    _git(tree, "add", "-f", name)
    _git(tree, "commit", "-m", "two")
    path.write_text(after)
    patch = _changes(tree).patch
    assert CANARY not in patch
    assert "[redacted]" in patch


def test_the_middle_of_a_private_key_is_hidden(tree):
    """A diff that shows lines of a key without its first line shows nothing of the key."""
    body = [f"{number:02d}" + "Ab9/" * 15 + "xy" for number in range(30)]
    text = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(body) + "\nc2hvcnQ=\n-----END RSA PRIVATE KEY-----\n"
    (tree / "notes.txt").write_text(text)
    _git(tree, "add", "notes.txt")
    _git(tree, "commit", "-m", "a key")
    (tree / "notes.txt").write_text(text.replace(body[15], "99" + "Cd8+" * 15 + "zz").replace("c2hvcnQ=", "bG9uZw=="))
    patch = _changes(tree).patch
    assert not any(word in patch for word in ("Ab9/", "Cd8+", "c2hvcnQ", "bG9uZw"))


def test_an_ordinary_diff_stays_as_it_is(tree):
    """Code that mentions tokens and keys of dictionaries is no secret; the diff is that of Git."""
    (tree / "train.py").write_text("lr = 0.1\nfor key, token in batch.items():\n    loss[key] = model(token)\n\x0c\n")
    diff = subprocess.check_output(["git", "diff", "HEAD"], cwd=tree, text=True)
    assert _changes(tree).patch.split("\n", 1)[1] == diff
