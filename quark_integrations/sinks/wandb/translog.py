"""Reads W&B's own file of a run back: which of our rows, alerts and artifacts have really reached it."""

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
HEADER = struct.Struct("<4sHB")
CHUNK = struct.Struct("<IHB")
POSITION = "quark/position/"
MARK = "quark record "
"""Stands before the id of an alert's record in its text, and names the record in an artifact's metadata."""

_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_WANTED = (POSITION.encode(), MARK.encode(), b"quark_record")


@dataclass(slots=True)
class Held:
    """What a file holds: by writer's number the sequence that it lacks next, and ids of alerts and artifacts."""

    positions: dict[int, int] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)


def payloads(path: Path, *, first_block: int = 0) -> Iterator[bytes]:
    """The records of a transaction log as bytes, each with its checksum verified, from a block of 32 KiB on.

    The file is a LevelDB log: blocks of 32 KiB, in them chunks with CRC-32, length and type. A killed writer leaves
    its last record torn: reading ends there.

    Raises:
        ValueError: the file is no transaction log.
    """
    with path.open("rb") as file:
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            return
        if HEADER.unpack(head) != (b":W&B", 0xBEE1, 0):
            raise ValueError(f"{path} is no W&B transaction log: it begins with {head!r}; move it away")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _chunks(data, max(first_block * BLOCK, HEADER.size))


def _chunks(data: mmap.mmap, at: int) -> Iterator[bytes]:
    """The records from ``at`` on, the start of a block; what began in the block before is passed over."""
    parts, begun = b"", False
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < CHUNK.size:
            at += left
            continue
        if at + CHUNK.size > len(data):
            return
        crc, length, kind = CHUNK.unpack_from(data, at)
        if not kind and not length:
            at += left
            continue
        content = data[at + CHUNK.size : at + CHUNK.size + length]
        if len(content) < length or zlib.crc32(content, zlib.crc32(bytes((kind,)))) != crc:
            return
        at += CHUNK.size + length
        begun |= kind in (_FULL, _FIRST)
        parts = content if kind in (_FULL, _FIRST) else parts + content
        if kind in (_FULL, _LAST) and begun:
            yield parts


def records(path: Path) -> Iterator[Any]:
    """The records of a transaction log as W&B's ``Record`` messages."""
    decode = _decoder()
    for payload in payloads(path):
        yield decode(payload)


def ended(path: Path) -> bool:
    """Whether the log is complete: its last blocks hold the end of the run."""
    decode = _decoder()
    try:
        last = path.stat().st_size // BLOCK
        return any(decode(one).HasField("exit") for one in payloads(path, first_block=max(0, last - 2)))
    except FileNotFoundError:
        return False


def is_open(path: Path) -> bool:
    """Whether a process of this user has the log open: W&B's own outlives a killed trainer, and writes on for a while.

    False where the system does not tell.
    """
    wanted = os.path.realpath(path)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == wanted:
                return True
        except OSError:
            continue  # the process or its file has gone
    return False


def held(path: Path) -> Held:
    """What of ours a transaction log holds; an empty or missing file holds nothing."""
    found = Held()
    decode = _decoder()
    if not path.exists():
        return found
    for payload in payloads(path):
        if len(payload) > 200 and not any(mark in payload for mark in _WANTED):
            continue
        record = decode(payload)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            _note_positions(found, record.history.item)
        elif kind == "alert":
            _, marked, record_id = record.alert.text.rpartition(MARK)
            if marked:
                found.records.add(record_id)
        elif kind == "artifact":
            found.records.update(_artifact_id(record.artifact.metadata))
    return found


def _decoder() -> Callable[[bytes], Any]:
    from wandb.proto import wandb_internal_pb2

    return wandb_internal_pb2.Record.FromString  # pyright: ignore[reportAttributeAccessIssue]  it is made at import


def _note_positions(found: Held, items: Any) -> None:
    for item in items:
        name = item.key or "/".join(item.nested_key)
        if name.startswith(POSITION):
            writer = int(name[len(POSITION) :])
            found.positions[writer] = max(found.positions.get(writer, 0), int(float(item.value_json)))


def _artifact_id(metadata: str) -> set[str]:
    known = json.loads(metadata) if metadata else {}
    return {known["quark_record"]} if "quark_record" in known else set()
