"""The ids of runs in a store's rows, and as everybody else knows them."""

from ..errors import RunNotFoundError

MARK = "@"
"""Between a run's id and its project's, where another project used the id first; no run id holds it."""


def public_id(row_id: str) -> str:
    """The id of a run as its clients know it."""
    return row_id.partition(MARK)[0]


def no_run(run_id: str) -> RunNotFoundError:
    """The error for a run that is not there, or is deleted."""
    return RunNotFoundError(
        f"no run has the id {public_id(run_id)!r}; list them with: quark runs", code="run_not_found"
    )
