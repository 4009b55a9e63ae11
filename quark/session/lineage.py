"""The parent of a run: found where it lives, in this process, in the store, or in a journal on its way there."""

import logging
from collections import OrderedDict

import msgspec

from ..delivery.place import writer_places
from ..delivery.tail import Tail
from ..errors import QuarkError, RunNotFoundError
from ..records.identifiers import check_id
from ..records.ready import ready
from ..records.run import RunRecord
from .home import Home
from .placement import Placement

logger = logging.getLogger("quark")

MAX_REMEMBERED = 10_000
_roots: OrderedDict[str, str] = OrderedDict()


def remember_root(run_id: str, root: str) -> None:
    """Know the line of a run that this process started, before its store does."""
    _roots[run_id] = root
    while len(_roots) > MAX_REMEMBERED:
        _roots.popitem(last=False)


def root_of(placement: Placement, home: Home, parent_run_id: str | None, *, strict: bool) -> str | None:
    """The first run of the line that a run's parent is of; None without a parent.

    A parent that cannot be found is warned about and counts as the first of its line.

    Raises:
        WrongTypeError, SchemaValidationError: it cannot be a run's id.
        RunNotFoundError: strict mode, and there is no such run.
    """
    if parent_run_id is None:
        return None
    parent = check_id(parent_run_id, "parent_run_id")
    if parent in _roots:
        return _roots[parent]
    try:
        return _found(placement, home, parent)
    except (QuarkError, OSError, msgspec.MsgspecError) as error:
        missing = isinstance(error, RunNotFoundError)
        if strict and missing:
            raise RunNotFoundError(f"no run {parent!r} in {home.location}; check parent_run_id") from error
        logger.warning(
            "quark: the parent run %s was not found (%s); it is recorded as the parent all the same; "
            "check parent_run_id", parent, f"no such run in {home.location}" if missing else error,
        )  # fmt: skip
        return parent


def _found(placement: Placement, home: Home, parent: str) -> str:
    from .sync import sync_run

    try:
        if home.exists():
            return home.run(parent).lineage_root_run_id
    except RunNotFoundError:
        pass
    begun = _in_journals(placement, parent)
    if begun is not None:
        return begun
    sync_run(placement, parent)  # its process may have died here before anything had arrived
    if not home.exists():
        raise RunNotFoundError(f"no run has the id {parent!r}")
    return home.run(parent).lineage_root_run_id


def _in_journals(placement: Placement, parent: str) -> str | None:
    """The line of a run that has just begun in another process of this machine, from the start in its journal."""
    for place in writer_places(placement.journals(parent)):
        try:
            tail = Tail(place.directory, place.origin())
            while (batch := tail.read()) is not None and not batch.data:
                continue  # damaged lines only
            for line in () if batch is None else batch.lines():
                if line.kind == "run" and line.label == "start":
                    return msgspec.convert(msgspec.json.decode(line.body)["run"], ready(RunRecord)).lineage_root_run_id
        except (QuarkError, OSError, msgspec.MsgspecError, KeyError, TypeError):
            continue  # another writer of the run may have it whole
    return None
