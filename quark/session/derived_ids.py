"""Ids of runs and groups that people choose in part: derived from names and a commit, or fresh behind a prefix."""

import hashlib
import os
import re

import orjson

from ..errors import WrongTypeError
from ..records.grammar import shown
from ..redaction import redact_text
from . import identity
from .git import git_state

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")


def derive_run_id(project: str, name: str, git_sha: str | None = None, *, prefix: str | None = None) -> str:
    """The id of the run ``name`` of ``project`` at a commit: the same three, the same id, on every machine.

    The start of the name, for people, and 96 bits of a SHA-256 over a JSON array of the three, in which no two
    different triples read alike.

    Args:
        git_sha: the commit; None looks it up where the program runs, ``""`` leaves it out.
        prefix: what the id begins with instead of the name.

    Raises:
        WrongTypeError: an argument is not text.
    """
    sha = commit() if git_sha is None else git_sha
    start = name if prefix is None else prefix
    for value, what in ((project, "project"), (name, "name"), (sha, "git_sha"), (start, "prefix")):
        if not isinstance(value, str):
            raise WrongTypeError(f"{what} must be a string, got {shown(value)}")
    return digest_id(start, project, name, sha)


def new_run_id(prefix: str | None = None) -> str:
    """A fresh id for a run or a group: ``<prefix>-<12 hexadecimal digits>``; without a prefix that of ``start_run``.

    Raises:
        WrongTypeError: the prefix is not text.
    """
    if prefix is None:
        return identity.new_run_id()
    if not isinstance(prefix, str):
        raise WrongTypeError(f"prefix must be a string, got {shown(prefix)}")
    return f"{_start_of(prefix)}-{os.urandom(6).hex()}"


def commit() -> str:
    """The commit of the working directory; empty outside a repository."""
    return (git_state() or {}).get("commit") or ""


def digest_id(start: str, *parts: str) -> str:
    """An id that begins with ``start`` and is the same for the same parts."""
    digest = hashlib.sha256(orjson.dumps(parts)).hexdigest()[:24]
    return f"{_start_of(start)}-{digest}"


def _start_of(text: str) -> str:
    return _NOT_IN_ID.sub("-", redact_text(text))[:40].strip("-._") or "run"
