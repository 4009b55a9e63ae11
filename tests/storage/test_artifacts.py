"""Artifact files are whole, private, checked when they are read, and never outside the run's directory."""

import hashlib
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from quark import ArtifactRecord, SchemaValidationError, SessionStoreError
from quark.records.grammar import to_json
from quark.storage.artifacts import read_payload, write_payload


def record(relative: str, size: int, digest: str, **changes: Any) -> ArtifactRecord:
    """The record of a stored payload."""
    fields = {
        "id": "w-1", "run_id": "r", "sequence": 1, "timestamp": "2026-05-07T00:00:00Z", "artifact_type": "histogram",
        "artifact_name": "b", "artifact_key": "a/b", "payload_format": "json", "payload_relative_path": relative,
        "metadata_relative_path": "m", "size_bytes": size, "sha256": digest, "metadata": {},
    }  # fmt: skip
    return ArtifactRecord(**{**fields, **changes})


@pytest.mark.parametrize(("payload_format", "extension"), [("json", "json"), ("text", "txt"), ("bytes", "bin")])
def test_a_payload_returns(tmp_path: Path, payload_format: str, extension: str) -> None:
    """Payload and metadata lie where ARTIFACT_STORAGE_LAYOUT says, private, without leftovers; the payload returns."""
    content = to_json({"bins": [1, 2]})
    relative, meta, size, digest = write_payload(
        tmp_path / "run", "histogram", "a/b", "id-1", content, payload_format, {"step": 3}
    )
    assert (relative, meta) == (f"artifacts/histogram/a/b/id-1.{extension}", "artifacts/histogram/a/b/id-1.meta.json")
    assert read_payload(tmp_path / "run", record(relative, size, digest)) == content
    described = json.loads((tmp_path / "run" / meta).read_bytes())
    assert (described["id"], described["step"], described["sha256"], described["size_bytes"]) == (
        "id-1",
        3,
        digest,
        size,
    )
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600} and len(files) == 2


def test_a_large_file_takes_no_memory(tmp_path: Path) -> None:
    """A path stands for the file there, which is copied and hashed piece by piece."""
    source = tmp_path / "weights.bin"
    with source.open("wb") as file:
        file.truncate(50 << 20)
        file.write(b"begin")
    tracemalloc.start()
    try:
        relative, _, size, digest = write_payload(tmp_path / "run", "file", "weights", "id-1", source, "bytes", {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    stored = (tmp_path / "run" / relative).read_bytes()
    assert (size, digest) == (50 << 20, hashlib.sha256(stored).hexdigest())
    assert stored == source.read_bytes()


@pytest.mark.parametrize("content", [b"", b"\0" * 5_000_000])
def test_sizes(tmp_path: Path, content: bytes) -> None:
    """An empty payload and one of five megabytes return as they are."""
    relative, _, size, digest = write_payload(tmp_path, "t", "k", "i", content, "bytes", {})
    assert size == len(content)
    assert read_payload(tmp_path, record(relative, size, digest)) == content


@pytest.mark.parametrize(
    ("artifact_type", "key", "artifact_id"),
    [("..", "k", "i"), ("t", "../k", "i"), ("t", "/k", "i"), ("t", "a//b", "i"), ("t", "k", "../i"), ("t", "k", ""),
     ("t", "k", "a/b"), ("t", "k\0", "i"), ("t\n", "k", "i"), ("t", "k", ".hidden"), ("t", "k", "x" * 300)],
)  # fmt: skip
def test_names_that_are_no_place(tmp_path: Path, artifact_type: str, key: str, artifact_id: str) -> None:
    """A type, key or id that could lead elsewhere is refused before anything is made."""
    with pytest.raises(SchemaValidationError):
        write_payload(tmp_path / "run", artifact_type, key, artifact_id, b"x", "json", {})
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link on the way, or in place of the file, leads nowhere: nothing is written to or read from outside."""
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    (run / "artifacts").mkdir(parents=True)
    (run / "artifacts" / "t").symlink_to(outside)
    with pytest.raises(OSError):
        write_payload(run, "t", "k", "i", b"x", "json", {})
    assert list(outside.iterdir()) == []
    relative, _, size, digest = write_payload(run, "u", "k", "i", b"x", "json", {})
    (run / relative).rename(outside / "x")
    (run / relative).symlink_to(outside / "x")
    with pytest.raises(SessionStoreError, match="is not at"):
        read_payload(run, record(relative, size, digest))


@pytest.mark.parametrize("relative", ["../secret", "/etc/passwd", "artifacts/../../secret"])
def test_a_record_cannot_point_outside(tmp_path: Path, relative: str) -> None:
    """A record that was tampered with does not make a reader leave the run's directory."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "run").mkdir()
    with pytest.raises(SessionStoreError, match=r"leaves|is not at"):
        read_payload(tmp_path / "run", record(relative, 1, "0" * 64))


def test_a_damaged_payload_is_noticed(tmp_path: Path) -> None:
    """A file that changed, grew, became something else or is gone is an error that says so."""
    relative, _, size, digest = write_payload(tmp_path, "t", "k", "i", b"hello", "text", {})
    file = tmp_path / relative
    for content in (b"hellO", b"hello and more", b""):
        file.write_bytes(content)
        with pytest.raises(SessionStoreError, match="SHA-256"):
            read_payload(tmp_path, record(relative, size, digest))
    file.unlink()
    with pytest.raises(SessionStoreError, match="is not at"):
        read_payload(tmp_path, record(relative, size, digest))
    os.mkfifo(file)
    with pytest.raises(SessionStoreError, match="no regular file"):
        read_payload(tmp_path, record(relative, size, digest))


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    """Where the disk refuses, no half file stays, and the next try works."""

    def fail(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("quark.storage.artifacts.os.fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write_payload(tmp_path, "t", "k", "i", b"x", "json", {})
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    write_payload(tmp_path, "t", "k", "i", b"x", "json", {})
