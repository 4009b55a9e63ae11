"""What differs from the commit in a working tree, as ``git diff`` tells it, without running anything of the repository.

A repository may be a stranger's, and its configuration can make Git run programs: filters, drivers of diffs, a monitor
of the file system, hooks, a transport that fetches missing objects. Git is therefore run in a repository of our own: an
empty directory with the commit as its HEAD and a configuration of four safe lines, which only borrows the objects, the
index and the working tree of the other one. Nothing that a configuration names can be reached from there.
"""

import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from select import POLLIN, poll
from typing import Any

from ...records.foreign import clean_text
from ...redaction import redact_text
from ..git import Repository, settings_of
from .patch import redacted_patch

MAX_DIFF_BYTES = 1 << 20
MAX_NAMES_BYTES = 64 << 10
MAX_EXCLUDE_BYTES = 256 << 10
TIME_S = 10.0
"""How long Git may take in all; a working tree on a slow file system is given up."""

POLL_S = 0.1

_OPTIONS = (
    "core.fsmonitor=false", "core.untrackedCache=false", "core.preloadIndex=false", "core.hooksPath=/dev/null",
    "core.pager=cat", "core.attributesFile=/dev/null", "core.bigFileThreshold=1m", "submodule.recurse=false",
)  # fmt: skip
_CARRIED = {
    b"filemode": re.compile(rb"(?i)(true|false)\Z"), b"symlinks": re.compile(rb"(?i)(true|false)\Z"),
    b"ignorecase": re.compile(rb"(?i)(true|false)\Z"), b"precomposeunicode": re.compile(rb"(?i)(true|false)\Z"),
    b"trustctime": re.compile(rb"(?i)(true|false)\Z"), b"checkstat": re.compile(rb"(?i)(default|minimal)\Z"),
    b"autocrlf": re.compile(rb"(?i)(true|false|input)\Z"), b"eol": re.compile(rb"(?i)(lf|crlf|native)\Z"),
}  # fmt: skip
"""Settings of ``core`` that say how files are compared, and the values that they may have."""


class ChangesError(Exception):
    """The changes cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the commit.

    Attributes:
        patch: the diff of the tracked files, without secrets, behind the names of the untracked ones.
        files: how many tracked files differ, as far as the diff goes.
        untracked: names of files and directories that are not tracked and not ignored.
        truncated: whether the diff was cut.
    """

    patch: str
    files: int
    untracked: tuple[str, ...]
    truncated: bool

    def summary(self) -> dict[str, Any]:
        """The numbers."""
        return {"files": self.files, "untracked": len(self.untracked), "truncated": self.truncated}


def uncommitted_changes(repository: Repository, cancelled: threading.Event) -> Changes:
    """The changes in a working tree.

    Raises:
        ChangesError: Git is missing, failed or took too long, or ``cancelled`` was set.
        OSError: no temporary directory can be had.
    """
    git = _program(os.fsdecode(repository.tree))
    deadline = time.monotonic() + TIME_S
    with tempfile.TemporaryDirectory(prefix="quark-git-") as directory:
        environment = _borrowing(Path(directory), repository)
        run = _Git(git, os.fsdecode(repository.tree), environment, deadline, cancelled)
        diff, truncated = run.output(
            ["diff", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty", "--submodule=short",
             "HEAD", "--"],
            MAX_DIFF_BYTES,
        )  # fmt: skip
        names, _ = run.output(
            ["ls-files", "-z", "--others", "--exclude-standard", "--exclude=.quark/", "--directory",
             "--no-empty-directory"],
            MAX_NAMES_BYTES,
        )  # fmt: skip
    if truncated:
        diff = diff[: diff.rfind(b"\n") + 1]
    found = names.split(b"\0")[:-1]  # the last one is empty, or was cut
    untracked = tuple(redact_text(clean_text(name.decode("utf-8", "replace"))) for name in found)
    text = clean_text(diff.decode("utf-8", "replace"))
    files = text.startswith("diff --git ") + text.count("\ndiff --git ")
    return Changes(_patch(repository, untracked, text, truncated), files, untracked, truncated)


def _patch(repository: Repository, untracked: tuple[str, ...], diff: str, truncated: bool) -> str:
    """A text that ``git apply`` takes: what stands before the first diff is ignored by it."""
    head = [f"# changes since commit {repository.commit}", *(f"# untracked: {name!r}" for name in untracked)]
    tail = [f"# [cut here: the diff is longer than {MAX_DIFF_BYTES:,} bytes]"] if truncated else []
    return "\n".join([*head, *redacted_patch(diff.removesuffix("\n").split("\n")), *tail, ""])


def _program(tree: str) -> str:
    """Git by its absolute path: never one that lies in the working tree, or is found relative to it."""
    places = [place for place in os.get_exec_path() if os.path.isabs(place)]
    found = shutil.which("git", path=os.pathsep.join(places))
    if found is None:
        raise ChangesError("git is not installed")
    if os.path.realpath(found).startswith(os.path.realpath(tree) + os.sep):
        raise ChangesError("the git in PATH is a file of the working tree")
    return found


def _borrowing(directory: Path, repository: Repository) -> dict[str, str]:
    """Fill a directory with a repository that borrows another one's objects and index; the variables that choose it."""
    git, common = os.fsdecode(repository.git), os.fsdecode(repository.common)
    for name in ("refs", "info"):
        (directory / name).mkdir()
    (directory / "HEAD").write_text(f"{repository.commit}\n")
    (directory / "config").write_text(_configuration(repository))
    (directory / "info" / "exclude").write_bytes(_regular(Path(common, "info", "exclude")))
    for shared in Path(git).glob("sharedindex.*"):  # the larger half of a split index
        (directory / shared.name).symlink_to(shared)
    index = Path(git, "index")
    if not stat.S_ISREG(index.stat().st_mode):
        raise ChangesError("the index of the repository is not a file")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept, "GIT_DIR": str(directory), "GIT_WORK_TREE": os.fsdecode(repository.tree), "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(Path(common, "objects")), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "HOME": str(directory), "XDG_CONFIG_HOME": str(directory),
        "LC_ALL": "C",
    }  # fmt: skip


def _configuration(repository: Repository) -> str:
    sha256 = len(repository.commit) == 64
    lines = ["[core]", f"\trepositoryformatversion = {int(sha256)}", "\tbare = false"]
    for section, label, name, value in settings_of(repository.common):
        allowed = _CARRIED.get(name) if section == b"core" and not label else None
        if allowed is not None and allowed.match(value):
            lines.append(f"\t{name.decode()} = {value.decode()}")
    if sha256:
        lines += ["[extensions]", "\tobjectformat = sha256"]
    return "\n".join([*lines, ""])


def _regular(path: Path) -> bytes:
    """The content of a small file; nothing of anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return file.read(MAX_EXCLUDE_BYTES) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""


@dataclass(frozen=True, slots=True)
class _Git:
    program: str
    tree: str
    environment: Mapping[str, str]
    deadline: float
    cancelled: threading.Event

    def output(self, arguments: list[str], limit: int) -> tuple[bytes, bool]:
        """What a command prints, and whether that is more than ``limit``."""
        options = [part for option in (*_OPTIONS, *_excludes()) for part in ("-c", option)]
        command = [self.program, "--no-pager", "--no-optional-locks", *options, *arguments]
        with subprocess.Popen(
            command, cwd=self.tree, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                printed = self._read(process, limit)
            finally:
                if process.poll() is None:
                    process.kill()
        if len(printed) <= limit and process.returncode != 0:
            raise ChangesError(f"git {arguments[0]} failed with exit code {process.returncode}")
        return printed[:limit], len(printed) > limit

    def _read(self, process: "subprocess.Popen[bytes]", limit: int) -> bytes:
        if process.stdout is None:
            raise ChangesError("git has no output")
        descriptor = process.stdout.fileno()
        waiting = poll()
        waiting.register(descriptor, POLLIN)
        printed = bytearray()
        while len(printed) <= limit:
            if self.cancelled.is_set():
                raise ChangesError("the run ended before git was done")
            if time.monotonic() > self.deadline:
                raise ChangesError(f"git took longer than {TIME_S:g} s")
            if not waiting.poll(POLL_S * 1e3):
                continue
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                process.wait(max(0.1, self.deadline - time.monotonic()))
                break
            printed += piece
        return bytes(printed)


def _excludes() -> list[str]:
    """The user's own list of files to ignore, where Git looks for it by default."""
    place = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "git", "ignore")
    return [f"core.excludesFile={place}"] if os.path.isfile(place) else []
