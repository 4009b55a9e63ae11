"""The books of torch's GPU allocator, added up: how much it holds, in which pieces, and who took the largest."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

LARGEST_BLOCKS = 20
FRAMES = 8


def allocator_state(cuda: Any) -> list[dict[str, Any]]:
    """One entry per GPU on which torch has allocated anything: its counters, the driver's view, and its segments.

    Args:
        cuda: ``torch.cuda``, initialised. Only its own books and ``mem_get_info`` are read; nothing is launched.

    Returns:
        JSON values; sizes in bytes.
    """
    snapshot = list(cuda.memory_snapshot())
    entries = []
    for index in range(cuda.device_count()):
        stats = cuda.memory_stats(index)
        if stats.get("reserved_bytes.all.peak", 0) or stats.get("num_ooms", 0):
            free, total = _driver_memory(cuda, index)
            entries.append({
                "index": index,
                "name": str(cuda.get_device_name(index)),
                "free_bytes": free,
                "total_bytes": total,
                "statistics": counters(stats),
                "pools": pools(segment for segment in snapshot if segment.get("device", 0) == index),
                "largest_blocks": largest_blocks(segment for segment in snapshot if segment.get("device", 0) == index),
            })  # fmt: skip
    return entries


def _driver_memory(cuda: Any, index: int) -> tuple[int | None, int | None]:
    try:
        free, total = cuda.mem_get_info(index)
        return int(free), int(total)
    except RuntimeError:  # a device in an error state answers nothing
        return None, None


def counters(stats: Mapping[str, Any]) -> dict[str, int]:
    """The totals of the allocator's statistics, present and peak; those per pool are left to ``pools``."""
    return {
        name: int(value)
        for name, value in stats.items()
        if isinstance(value, (int, float))
        and ("." not in name or (".all." in name and name.endswith((".current", ".peak"))))
    }


def pools(segments: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The segments added up by pool: small and large ones, and expandable ones apart.

    ``free_blocks`` counts the free pieces by size, rounded down to a power of two: many small ones and no large one is
    fragmentation.
    """
    made: dict[tuple[str, bool], dict[str, Any]] = {}
    for segment in segments:
        kind, expandable = str(segment.get("segment_type", "unknown")), bool(segment.get("is_expandable", False))
        pool = made.setdefault((kind, expandable), {
            "segment_type": kind, "expandable": expandable, "segments": 0, "reserved_bytes": 0, "allocated_bytes": 0,
            "requested_bytes": 0, "largest_free_block_bytes": 0, "blocks": Counter(), "free_blocks": Counter(),
        })  # fmt: skip
        pool["segments"] += 1
        pool["reserved_bytes"] += int(segment.get("total_size", 0))
        pool["allocated_bytes"] += int(segment.get("allocated_size", 0))
        pool["requested_bytes"] += int(segment.get("requested_size", 0))
        for block in segment.get("blocks", ()):
            state, size = str(block.get("state", "unknown")), int(block.get("size", 0))
            pool["blocks"][state] += 1
            if state == "inactive":
                pool["free_blocks"][str(1 << max(size.bit_length() - 1, 0))] += 1
                pool["largest_free_block_bytes"] = max(pool["largest_free_block_bytes"], size)
    for pool in made.values():
        pool["blocks"] = dict(pool["blocks"])
        pool["free_blocks"] = dict(sorted(pool["free_blocks"].items(), key=lambda item: int(item[0])))
    return list(made.values())


def largest_blocks(segments: Iterable[Mapping[str, Any]], most: int = LARGEST_BLOCKS) -> list[dict[str, Any]]:
    """The largest blocks in use, and where they were taken if torch recorded its memory history."""
    blocks = [
        block
        for segment in segments
        for block in segment.get("blocks", ())
        if str(block.get("state", "")).startswith("active")
    ]
    blocks.sort(key=lambda block: -int(block.get("size", 0)))
    return [
        {
            "size_bytes": int(block.get("size", 0)),
            "requested_bytes": int(block.get("requested_size", block.get("size", 0))),
            "state": str(block["state"]),
            "frames": [
                f"{frame.get('filename')}:{frame.get('line')} {frame.get('name')}"
                for frame in list(block.get("frames", ()))[:FRAMES]
            ],
        }
        for block in blocks[:most]
    ]
