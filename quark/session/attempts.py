"""What it means that a run id is there already: a further attempt, or a refusal."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from ..core.openruns import is_open
from ..delivery.ownership import make_directory
from ..delivery.place import WriterPlace, writer_places
from ..errors import InvalidRunStateError, QuarkError, RunNotFoundError, SchemaValidationError
from ..records.grammar import dotted, shown
from ..records.run import RunRecord
from .home import Home
from .placement import Placement
from .sync import sync_run

START_LOCK_S = 5.0
"""How long a start waits for another one in the same storage directory; it goes on without the lock then."""

LAUNCHER = "launcher-"
"""How the writers begin that ``quark run`` keeps beside the process that trains."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of a run before it starts again: its record, if the store has it, and its last attempt."""

    run: RunRecord | None = None
    attempt: int = 0


def earlier_of(placement: Placement, home: Home, run_id: str, project: str) -> Earlier:
    """What is known of a run. What a dead process left in its journal is delivered first.

    Raises:
        InvalidRunStateError: a session of this machine records the run now.
    """
    if is_open(run_id) or any(place.alive() for place in owners(placement, run_id)):
        raise InvalidRunStateError(
            f"run {run_id} is recorded by another session now; end it first, or give this run another run_id"
        )
    left = max((_attempt(place) for place in owners(placement, run_id)), default=0)
    try:
        if left:  # journals of other ranks wait for the rank that owns the run
            sync_run(placement, run_id)
        run = stored_run(home, run_id, project)
    except (QuarkError, OSError, msgspec.MsgspecError):  # a run starts without its store; the sink tells
        return Earlier(None, left)
    return Earlier(run, max(left, 0 if run is None else run.resume_count + 1))


def owners(placement: Placement, run_id: str) -> Iterator[WriterPlace]:
    """The journals of the processes that own a run: rank 0, and not the launcher beside it."""
    try:
        places = writer_places(placement.journals(run_id))
    except OSError:  # what cannot be read here is recorded by somebody else's process, if at all
        return
    for place in places:
        try:
            origin = place.origin()
        except QuarkError:
            continue
        if origin.rank == 0 and not origin.writer_id.startswith(LAUNCHER):
            yield place


def attempt_of_rank(placement: Placement, home: Home, run_id: str, project: str) -> int:
    """The attempt that another rank takes part in: that of rank 0 if it lives here, else the one that is due."""
    for place in owners(placement, run_id):
        if place.alive():
            return max(_attempt(place), 1)
    try:
        run = stored_run(home, run_id, project)
    except (QuarkError, OSError, msgspec.MsgspecError):
        return 1
    if run is None:
        return 1
    return run.resume_count + (2 if run.status in ("failed", "interrupted") else 1)


def stored_run(home: Home, run_id: str, project: str) -> RunRecord | None:
    """The run as the store has it; None if it has none, or knows no more than that there is one.

    Raises:
        SessionStoreError: the store cannot be read.
    """
    if not home.exists():
        return None
    try:
        run = home.run(run_id, project)
    except RunNotFoundError:
        return None
    return None if run.project_id == "unknown" else run


def check_further(run: RunRecord, project: str, *, told_to: bool) -> None:
    """Whether a start may go on with a run that has begun before; ``told_to``: its launcher counts the attempts.

    Raises:
        InvalidRunStateError: it is completed.
        SchemaValidationError: it is of another project.
    """
    if run.project_name != project:
        raise SchemaValidationError(
            f"run {run.id} is of the project {shown(run.project_name)}, got {shown(project)}; use another run_id"
        )
    if run.status == "completed" and not told_to:
        raise InvalidRunStateError(
            f"run {run.id} is completed and takes no further attempt; start a run with another run_id "
            f"(and parent_run_id={run.id!r} if it goes on from there), or unset QUARK_RUN_ID"
        )


def config_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """How a configuration differs from that of the first attempt, by dotted names; empty if it does not."""
    old, new = dict(dotted(before)), dict(dotted(now))
    changes = {
        "added": {name: value for name, value in new.items() if name not in old},
        "changed": {
            name: {"before": old[name], "now": value}
            for name, value in new.items()
            if name in old and old[name] != value
        },
        "removed": {name: value for name, value in old.items() if name not in new},
    }
    return {kind: names for kind, names in changes.items() if names}


@contextmanager
def one_start_at_a_time(placement: Placement, run_id: str) -> Iterator[None]:
    """Between the look whether an id is taken and the lock of its journal no other start of this machine comes."""
    from ..storage.lock import StoreLock

    lock = StoreLock(placement.store_root / "starts.lock")
    with ExitStack() as held:
        held.callback(lock.close)
        try:
            if placement.refusal(run_id) is None:
                make_directory(placement.store_root)  # of the first two runs in it as well only one begins
            held.enter_context(lock.for_a_moment(START_LOCK_S))
        except OSError:  # a directory that cannot be written has no journals to look at either
            pass
        yield


def _attempt(place: WriterPlace) -> int:
    try:
        return place.origin().attempt
    except QuarkError:
        return 0
