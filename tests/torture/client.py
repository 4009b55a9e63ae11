"""A training process under torture: it records, and keeps an account of what it was told is recorded."""

import mmap
import os
import struct
import time
from pathlib import Path

import numpy as np

EVENT_EVERY = 100
FILE_EVERY = 250
BURST = 25
PAGE = 4096


def value_at(step: int, salt: int) -> float:
    """What a client logs at a step: no two clients the same."""
    return salt * 1e7 + step + 0.25


def values_at(steps: np.ndarray, salt: int) -> np.ndarray:
    """``value_at`` of many steps."""
    return salt * 1e7 + steps + 0.25


def content_at(step: int, salt: int) -> bytes:
    """What the file of a step holds."""
    return f"{salt}:{step} ".encode() * 200


def told(path: Path) -> tuple[int, int, int]:
    """Metrics, events and files that a client was acknowledged; it may be dead."""
    return struct.unpack_from("<3q", path.read_bytes())


def live(run_id: str, storage_dir: str, account: str, salt: int, steps: int) -> None:
    """Record a run of ``steps`` steps, unless somebody ends this first."""
    from quark import ArtifactStore, EventLogger, start_run

    with open(account, "r+b") as file:
        page = mmap.mmap(file.fileno(), PAGE)
    run = start_run(project="torture", storage_dir=storage_dir, run_id=run_id, close_timeout_s=1.0)
    events, files = EventLogger(run), ArtifactStore(run)
    for step in range(steps):
        run.log({"a": value_at(step, salt)}, step=step)
        struct.pack_into("<q", page, 0, step + 1)
        if step % EVENT_EVERY == 0:
            events.log("tick", step=step)
            struct.pack_into("<q", page, 8, step // EVENT_EVERY + 1)
        if step % FILE_EVERY == FILE_EVERY - 1:
            files.store("weights", "w", content_at(step, salt), step=step)
            struct.pack_into("<q", page, 16, (step + 1) // FILE_EVERY)
        if step % BURST == 0:
            time.sleep(0.01)
    run.finish("completed")
    os._exit(0)
