"""What `quark doctor` looks at in a store: whether every artifact's file is whole, and what runs did not record."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SessionStoreError
from ..reading import RunView
from ..reading.opening import files_of
from ..reading.opening import open as open_store
from ..session.placement import Placement
from ..storage.artifacts import verify_payload
from .check import Check

NAMED = 3
"""Artifacts and runs that are named in a finding."""


@contextmanager
def _runs(placement: Placement) -> Iterator[Iterator[RunView]]:
    store = open_store(placement.storage_dir, sync=False)
    try:
        yield store.runs()
    finally:
        store.close()


def artifacts(placement: Placement) -> Check:
    """Every artifact's file is where it was recorded, and is what was recorded."""
    if not placement.db_path.exists():
        return Check("artifacts", "ok", "there is no store yet")
    count = 0
    faulty: list[str] = []
    with _runs(placement) as views:
        for view in views:
            directory = files_of(placement, view.record)
            for artifact in view.artifacts():
                count += 1
                try:
                    verify_payload(directory, artifact)
                except SessionStoreError as error:
                    word = "missing" if error.code == "artifact_missing" else "damaged"
                    faulty.append(f"{artifact.artifact_key} of run {view.id} is {word}")
    if not faulty:
        return Check("artifacts", "ok", f"{count} files are there and have the recorded SHA-256")
    more = f" and {len(faulty) - NAMED} more" if len(faulty) > NAMED else ""
    detail = f"of {count} files {len(faulty)} are not what was recorded: {', '.join(faulty[:NAMED])}{more}"
    return Check("artifacts", "problem", detail, "restore the files from a backup, or delete the runs")


def unrecorded(placement: Placement) -> Check:
    """What runs were given and did not record."""
    name = "unrecorded values"
    if not placement.db_path.exists():
        return Check(name, "ok", "there is no store yet")
    with _runs(placement) as views:
        lossy = [(view.id, found.total) for view in views if (found := view.unrecorded()).total]
    if not lossy:
        return Check(name, "ok", "none")
    named = ", ".join(f"{run_id} ({total:,})" for run_id, total in lossy[:NAMED])
    more = f" and {len(lossy) - NAMED} more" if len(lossy) > NAMED else ""
    detail = f"{len(lossy)} runs did not record everything that they were given: {named}{more}"
    return Check(name, "warning", detail, "quark show RUN names the metrics and the reason")
