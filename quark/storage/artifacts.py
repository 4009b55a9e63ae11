"""Artifact payloads as files below a run's directory: written whole or not at all, and checked when they are read."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import SchemaValidationError, SessionStoreError
from ..records.artifact import ARTIFACT_STORAGE_LAYOUT, ArtifactRecord
from ..records.grammar import check_key, shown, to_json
from ..records.naming import file_key

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")
_PIECE = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_payload(
    run_path: Path, artifact_type: str, artifact_key: str, artifact_id: str, payload: bytes | Path,
    payload_format: str, metadata: Mapping[str, Any],
) -> tuple[str, str, int, str]:  # fmt: skip
    """Store a payload and its metadata as ``ARTIFACT_STORAGE_LAYOUT`` says; both survive a power loss on return.

    A payload that is a path is the content of the file there, which is copied piece by piece.

    Returns:
        The paths of payload and metadata relative to ``run_path``, the size in bytes and the SHA-256 in hexadecimal.

    Raises:
        SchemaValidationError: a type, key, id or format that no path may hold.
        OSError: the disk did not take it, or a directory on the way is a link; nothing is left behind.
    """
    check_key(artifact_type, what="artifact type")
    check_key(artifact_key, what="artifact name")
    if not isinstance(artifact_id, str) or not _ID.match(artifact_id):
        raise SchemaValidationError(f"artifact id {shown(artifact_id)} cannot be a file name; use letters and digits")
    extensions = ARTIFACT_STORAGE_LAYOUT["extension"]
    if not isinstance(extensions, Mapping) or payload_format not in extensions:
        raise SchemaValidationError(f"payload_format {shown(payload_format)} is not known; use json, text or bytes")
    places = {
        "artifact_type": file_key(artifact_type), "artifact_key": file_key(artifact_key), "id": artifact_id,
        "extension": extensions[payload_format],
    }  # fmt: skip
    relative, described = (str(ARTIFACT_STORAGE_LAYOUT[name]).format(**places) for name in ("payload", "metadata"))
    directory = PurePosixPath(relative).parent
    with _directory(run_path, directory, create=True) as folder:
        size, digest = _write(folder, PurePosixPath(relative).name, _pieces(payload))
        about = {"id": artifact_id, **metadata, "size_bytes": size, "sha256": digest}
        _write(folder, PurePosixPath(described).name, (to_json(about),))
        os.fsync(folder)
    return relative, described, size, digest


def read_payload(run_path: Path, record: ArtifactRecord) -> bytes:
    """The payload of an artifact.

    Raises:
        SessionStoreError: the file is missing, lies outside the run's directory, or is not what was recorded.
    """
    with _payload(run_path, record) as stream:
        payload = stream.read(min(record.size_bytes, os.fstat(stream.fileno()).st_size) + 1)
    _check_digest(run_path, record, hashlib.sha256(payload).hexdigest())
    return payload


def verify_payload(run_path: Path, record: ArtifactRecord) -> None:
    """Read the payload of an artifact piece by piece and compare its digest; raises like ``read_payload``."""
    digest = hashlib.sha256()
    left = record.size_bytes + 1
    with _payload(run_path, record) as stream:
        while left > 0 and (piece := stream.read(min(left, 1 << 20))):
            digest.update(piece)
            left -= len(piece)
    _check_digest(run_path, record, digest.hexdigest())


@contextmanager
def _payload(run_path: Path, record: ArtifactRecord) -> Iterator[BufferedReader]:
    """The payload's file, opened for reading."""
    path = PurePosixPath(record.payload_relative_path)
    try:
        with opened_payload(run_path, record.payload_relative_path) as stream:
            yield stream
    except (OSError, SchemaValidationError) as error:
        raise SessionStoreError(
            f"the payload of artifact {record.artifact_key} is not at {run_path / path}: {error}; "
            "was the run's directory moved?", code="artifact_missing",
        ) from error  # fmt: skip


def _check_digest(run_path: Path, record: ArtifactRecord, digest: str) -> None:
    if digest != record.sha256:
        raise SessionStoreError(
            f"the payload of artifact {record.artifact_key} at {run_path / record.payload_relative_path} is not what "
            "was recorded: its SHA-256 differs; restore the file from a backup", code="artifact_damaged",
        )  # fmt: skip


@contextmanager
def opened_payload(run_path: Path, relative_path: str) -> Iterator[BufferedReader]:
    """The file of a payload below a run's directory, open for reading.

    Raises:
        OSError: there is no such file, or a link on the way.
        SchemaValidationError: the path leads out of the run's directory.
    """
    path = PurePosixPath(relative_path)
    with _directory(run_path, path.parent, create=False) as folder:
        file = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(f"{path.name} is no regular file")
            yield stream


@contextmanager
def _directory(run_path: Path, relative: PurePosixPath, *, create: bool) -> Iterator[int]:
    """A directory below ``run_path``, entered step by step so that no link on the way can lead outside."""
    if relative.is_absolute() or ".." in relative.parts:
        raise SchemaValidationError(f"the path {shown(str(relative))} leaves the run's directory")
    if create and not run_path.is_dir():
        run_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(run_path, _DIRECTORY)
    try:
        for part in relative.parts:
            if create and _make_directory(part, folder):
                os.fsync(folder)
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _make_directory(name: str, folder: int) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _pieces(payload: bytes | Path) -> Iterator[bytes]:
    if isinstance(payload, Path):
        with payload.open("rb") as stream:
            while piece := stream.read(_PIECE):
                yield piece
    else:
        yield payload


def _write(folder: int, name: str, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Write a file under a temporary name, make it durable, then give it its name; its size and SHA-256."""
    size, digest = 0, hashlib.sha256()
    temporary = f".{name}.{os.urandom(6).hex()}.tmp"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
                digest.update(piece)
                size += len(piece)
            stream.flush()
            os.fsync(file)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
    return size, digest.hexdigest()
