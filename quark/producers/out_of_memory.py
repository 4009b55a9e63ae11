"""When memory runs out: who held it and what happened last, as one artifact, before the error goes on its way."""

import errno
import sys
import time
from collections import deque
from collections.abc import Iterator
from traceback import StackSummary, walk_tb
from typing import Any

from ..core.handle import RunHandle
from ..core.reader import RecordFilter
from ..records.artifact import ArtifactRecord
from ..records.grammar import clean_text
from ..redaction import redact_text
from .allocator import allocator_state
from .artifacts import ArtifactStore

ARTIFACT_TYPE = "oom_bundle"
ARTIFACT_NAME = "out_of_memory"

FLUSH_S = 2.0
"""How long the way out may wait for the store, so that the last records are in the bundle."""

LAST_STEPS = 20
LAST_RECORDS = {"metric": 500, "event": 100, "telemetry": 50, "batch": 20, "layer": 200}
"""The kinds of records of the last steps that a bundle holds, and how many of each at most."""

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that a GPU or the machine has no memory left."""
    return any(_says_so(one) for one in _chain(error))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if not isinstance(error, RuntimeError):  # torch's own class is one, as are those of other frameworks
        return False
    message = str(error).lower()
    return any(words in message for words in _WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def bundle_out_of_memory(handle: RunHandle, error: BaseException, *, step: int | None = None) -> ArtifactRecord | None:
    """Store what explains an out-of-memory error as a JSON artifact of the type ``oom_bundle``.

    It holds the error, the books of torch's GPU allocator added up, the memory of the process, the records of the last
    steps and the environment; no tensors and no pickles. It never raises, and does nothing for other errors.

    Args:
        handle: the run.
        error: the exception that leaves it.
        step: the step in which it happened; the last one that was recorded if omitted.

    Returns:
        The record of the artifact; None if the error is another one, or the bundle could not be stored.
    """
    try:
        if handle.disabled or not is_out_of_memory(error):
            return None
        if step is None:
            step = _attempt(handle, lambda: _last_step(handle), None)
        payload = {
            "error": _told(error),
            "time_ns": time.time_ns(),
            "step": step,
            "gpus": _attempt(handle, _gpus, []),
            "process": _attempt(handle, _process, {}),
            "last_records": _attempt(handle, lambda: _last_records(handle, step), {}),
            "environment": _attempt(handle, lambda: _environment(handle), {}),
        }
        return ArtifactStore(handle).store(ARTIFACT_TYPE, ARTIFACT_NAME, payload, step=step, payload_format="json")
    except Exception as problem:  # noqa: BLE001  the error on its way is what the user must see
        handle.report("oom_bundle", problem)
        return None


def _attempt(handle: RunHandle, make: Any, otherwise: Any) -> Any:
    """One part of the bundle: that it cannot be had must not cost the others."""
    try:
        return make()
    except Exception as problem:  # noqa: BLE001  memory is short and a device may be broken: anything may fail here
        handle.report("oom_bundle", problem)
        return otherwise


def _told(error: BaseException) -> dict[str, Any]:
    """The error in words, with the places it came through, without the values there."""
    frames = StackSummary.extract(walk_tb(error.__traceback__), lookup_lines=False)
    return {
        "type": type(error).__name__,
        "message": redact_text(clean_text(str(error)))[:8000],
        "frames": [clean_text(f"{frame.filename}:{frame.lineno} {frame.name}") for frame in frames[-30:]],
    }


def _gpus() -> list[dict[str, Any]]:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return [] if cuda is None or not cuda.is_initialized() else allocator_state(cuda)


def _process() -> dict[str, Any]:
    from .telemetry.machine import this_machine

    return dict(this_machine().read())


def _last_step(handle: RunHandle) -> int | None:
    """The last step of a metric; the telemetry's own is preferred, for it is there in every step."""
    handle.flush(FLUSH_S)
    reader = handle.reader()
    keys = reader.keys(handle.run_id)
    for key in ("system/runtime/step_time_ms", *keys):
        if key in keys:
            steps = reader.series(handle.run_id, key).steps
            if len(steps) and steps[-1] >= 0:
                return int(steps[-1])
    return None


def _last_records(handle: RunHandle, step: int | None) -> dict[str, Any]:
    """The records of the last steps by kind, as dictionaries, the last ones of each."""
    handle.flush(FLUSH_S)
    reader = handle.reader()
    bounds = RecordFilter() if step is None else RecordFilter(step_min=max(0, step - LAST_STEPS))
    found = {}
    for kind, most in LAST_RECORDS.items():
        last = deque(reader.records(handle.run_id, kind, bounds), maxlen=most)
        if last:
            found[kind] = [record.to_dict() for record in last]
    return found


def _environment(handle: RunHandle) -> dict[str, Any]:
    return dict(handle.reader().run(handle.run_id).environment)
