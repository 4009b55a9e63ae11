"""Has the C library give memory back: what one request needed must not stay with the thread that served it."""

import ctypes
import sys

LARGE = 1 << 20
"""Bytes of a buffer that the system gets back as soon as it is freed."""

HEAPS = 4
"""Heaps of the C library. It makes one for nearly every thread otherwise, and each keeps what it once needed."""

KEPT = 4 << 20
"""Free bytes at the end of a heap that stay with the process: what one request frees the next one takes.

Without it glibc gives back whatever passes 128 KiB once the size of large buffers is fixed, and each request of that
size makes the system map and clear its pages again.
"""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # <malloc.h>
_PR_SET_THP_DISABLE = 41  # <linux/prctl.h>


def return_freed_memory() -> None:
    """Set up this process so; does nothing where the C library is not glibc.

    Huge pages are switched off for the process as well: with them each thread takes megabytes for a few kilobytes.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE)  # by itself glibc raises it with each large buffer that is freed
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)
        libc.mallopt(_M_ARENA_MAX, HEAPS)
    libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
