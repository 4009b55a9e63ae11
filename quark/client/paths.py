"""Addresses of runs below the service's API, made from checked ids only."""

from ..errors import RunNotFoundError
from ..records.grammar import shown
from ..records.identifiers import MAX_ID, check_id, is_id


def path_of_run(run_id: str) -> str:
    """Where a run is.

    Raises:
        RunNotFoundError: no run can have this id; nothing is asked for.
    """
    if not is_id(run_id):
        raise RunNotFoundError(
            f"no run has the id {shown(run_id)}: an id is 1 to {MAX_ID} letters, digits, '.', '_' and '-'; "
            "list the runs with: quark runs",
            code="run_not_found",
        )
    return f"/runs/{run_id}"


def path_of_writer(run_id: str, writer_id: str) -> str:
    """Where one writer of a run is."""
    return f"{path_of_run(run_id)}/writers/{check_id(writer_id, 'writer_id')}"
