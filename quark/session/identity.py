"""Ids of runs and writers: made where they start, sortable by time, unique without asking anybody."""

import os
import time
import uuid


def new_run_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then random bits; ids sort by the time of their start."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    high, low = random >> 68, random & ((1 << 62) - 1)
    number = milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
    return str(uuid.UUID(int=number))


def new_writer_id(rank: int, attempt: int) -> str:
    """Rank and attempt, for people, and random letters, so that no two starts share a writer."""
    return f"{rank}-{attempt}-{os.urandom(6).hex()}"
