"""Threads that may not be had: a process that has reached its limit still trains."""

import threading
from collections.abc import Callable


def start_thread(thread: threading.Thread, report: Callable[[str, str], object]) -> bool:
    """Start a thread, or report that the system gives none; it may be tried again."""
    try:
        thread.start()
    except RuntimeError as error:
        report(
            "threads", f"{thread.name} could not be started ({error}); records wait in the journal; raise the limit of "
            "threads (ulimit -u, or the pids limit of the container)",
        )  # fmt: skip
        return False
    return True
