"""The bound of a journal: past it the oldest delivered segments go, then the oldest metrics, counted and shown."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson

from ..records.line import sequence_of
from .disk import Disk
from .journal import kept_name

_SEGMENT = re.compile(r"(\d{8})\.jsonl\Z")
_METRIC = (b'{"kind":"metric"', b'{"kind":"metrics"')


def enforce_quota(directory: Path, quota: int, delivered: int, disk: Disk, report: Callable[[str, str], None]) -> int:
    """Bring the segments in ``directory`` below ``quota`` bytes; the number of metrics that were dropped for it.

    The two youngest segments are never touched.

    Segments whose records every sink holds (numbers below ``delivered``) are deleted first. If that is not enough,
    the oldest segments lose their metrics; every other record stays, and a ``dropped`` line says what went.
    """
    sizes: dict[str, int] = {}
    for name in filter(_SEGMENT.match, disk.names(directory)):
        with suppress(FileNotFoundError):  # a segment that was kept ready, which the end of the run removes just now
            sizes[name] = disk.size(directory / name)
    names = list(sizes)
    excess = sum(sizes.values()) - quota
    for position, name in enumerate(names[:-2]):
        if excess <= 0:
            return 0
        following = sequence_of(disk.read(directory / names[position + 1], 0, 200))
        if following is not None and following <= delivered:
            disk.remove(directory / name)
            excess -= sizes[name]
    dropped = 0
    for name in names[:-2]:
        if excess <= 0:
            break
        saved, count = _drop_metrics(directory / name, disk, report)
        excess -= saved
        dropped += count
    return dropped


def _drop_metrics(path: Path, disk: Disk, report: Callable[[str, str], None]) -> tuple[int, int]:
    """Rewrite a segment without its metrics; how many bytes that saved, and how many metrics went."""
    try:
        size = disk.size(path)
    except FileNotFoundError:
        return 0, 0
    lines = disk.read(path, 0, size).rstrip(b"\0").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(_METRIC)]
    count = len(lines) - len(kept)
    if count == 0:
        return 0, 0
    last = max((n for line in lines if line.startswith(_METRIC) and (n := sequence_of(line)) is not None), default=0)
    marker = orjson.dumps(
        {"kind": "dropped", "sequence": last, "time": 0, "label": "quota", "body": {"count": count}},
        option=orjson.OPT_APPEND_NEWLINE,
    )
    kept = sorted([*kept, marker], key=lambda line: sequence_of(line) or 0)
    disk.replace(path.with_name(kept_name(int(path.stem))), b"".join(kept))
    disk.remove(path)
    report("records_dropped", f"the journal reached its quota; {count} metrics that no sink had taken were dropped")
    return size - sum(map(len, kept)), count
