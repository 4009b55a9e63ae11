"""The records of TensorBoard's event files, as far as they are whole."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import quark

from .files import opened
from .source import SourceRun

HEAD = struct.Struct("<QI")
FOOT = struct.Struct("<I")
LARGEST = 1 << 30
CHECKED = 16 << 10
"""Bytes up to which the checksum of a record is verified, in Python: scalars are far smaller, images far larger."""


def events(run: SourceRun, file: Path) -> Iterator[Any]:
    """The ``Event`` messages of a file.

    What a killed writer left torn at its end is left out and said, and so is all that follows a damaged record: nobody
    can tell where the next one begins.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    decode, checksum, broken = _tools()
    with opened(file) as data:
        size = data.seek(0, 2)
        at = data.seek(0)
        while at < size:
            head = data.read(HEAD.size)
            if len(head) < HEAD.size:
                break
            length, check = HEAD.unpack(head)
            if checksum(head[:8]) != check or length > LARGEST:
                break
            if at + HEAD.size + length + FOOT.size > size:
                break
            content = data.read(length)
            (check,) = FOOT.unpack(data.read(FOOT.size))
            if length <= CHECKED and checksum(content) != check:
                break
            try:
                event = decode(content)
            except broken:
                break
            at += HEAD.size + length + FOOT.size
            yield event
        if at < size:
            run.remark(f"the last {size - at:,} bytes of {file.name} are torn or damaged and left out")


def _tools() -> tuple[Callable[[bytes], Any], Callable[[bytes], int], type[Exception]]:
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.summary.writer.record_writer import masked_crc32c
    except ImportError as error:
        raise quark.MissingDependencyError(
            'event files are read with TensorBoard: pip install "quark-tracker[tensorboard]"'
        ) from error
    return Event.FromString, masked_crc32c, DecodeError
