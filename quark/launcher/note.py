"""The note by which a run that a launcher started tells it where it lives."""

from pathlib import Path
from typing import Any

import msgspec

from ..records.ready import ready


class RunNote(msgspec.Struct):
    """Where the run lives, and as which attempt; ``home`` is the sink that brings it there."""

    run_id: str
    storage_dir: str
    project: str
    attempt: int
    home: dict[str, Any]


def read_note(path: Path) -> RunNote | None:
    """The note, once it is there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ready(RunNote))
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def there_are_others(path: Path) -> bool:
    """Whether the command has begun further runs."""
    return Path(f"{path}.others").exists()
