"""Payloads of artifacts as bytes and back: JSON, text or bytes; nothing that could run code when it is loaded."""

from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import clean_json, one_of, shown
from ..records.jsonable import jsonable
from ..records.literals import PAYLOAD_FORMATS


def encode_payload(payload: Any, payload_format: str | None = None, *, strict: bool = True) -> tuple[str, bytes | Path]:
    """The format of a payload, inferred if None, and its bytes; a Path of a file that can be read stands for these.

    Args:
        strict: False converts what JSON cannot hold, see ``jsonable``; an object of which that would keep nothing but
            a description is refused.

    Raises:
        WrongTypeError, SchemaValidationError: the payload does not fit the format.
        OSError: the file cannot be read.
    """
    if isinstance(payload, Path):
        if payload_format in (None, "bytes"):
            payload.open("rb").close()
            return "bytes", payload
        payload = payload.read_bytes()
    chosen = _inferred(payload) if payload_format is None else one_of(payload_format, PAYLOAD_FORMATS, "payload_format")
    if chosen == "text":
        if not isinstance(payload, str):
            raise WrongTypeError(f"a payload of the format text must be a string, got {shown(payload)}")
        return chosen, payload.encode("utf-8", "replace")
    if chosen == "bytes":
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            raise WrongTypeError(f"a payload of the format bytes must be bytes-like, got {shown(payload)}")
        return chosen, bytes(payload)
    return chosen, orjson.dumps(clean_json(payload, "payload") if strict else _as_json(payload))


def _as_json(payload: Any) -> Any:
    """A payload as JSON values; one that would leave only its description, such as a figure or a model, is refused."""
    made = jsonable(payload)
    if isinstance(made, str) and not isinstance(payload, _OF_TEXT) and _has_content(payload):
        raise WrongTypeError(
            f"an artifact holds text, bytes, JSON values or a file, got {shown(payload)}; save it to a file, and store "
            "that with run.log_artifact"
        )
    return made


_OF_TEXT = (str, Enum, BaseException, date)
"""What text stands for as a whole."""


def _has_content(payload: Any) -> bool:
    """Whether an object holds more than its text says."""
    return hasattr(payload, "__dict__") or type(payload).__repr__ is object.__repr__


def size_of(content: bytes | Path) -> int:
    """How many bytes an encoded payload has."""
    return content.stat().st_size if isinstance(content, Path) else len(content)


def decode_payload(content: bytes, payload_format: str) -> Any:
    """The payload that ``encode_payload`` took.

    Raises:
        SchemaValidationError: the content is not of the format.
    """
    try:
        if payload_format == "json":
            return orjson.loads(content)
        return content.decode("utf-8") if payload_format == "text" else content
    except ValueError as error:
        raise SchemaValidationError(f"the payload is not valid {payload_format} ({error}); read its file") from error


def _inferred(payload: Any) -> str:
    if isinstance(payload, str):
        return "text"
    return "bytes" if isinstance(payload, (bytes, bytearray, memoryview)) else "json"
