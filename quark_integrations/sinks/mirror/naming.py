"""Names in a backend: which process a series is of, and what a reader of the dashboard sees first."""


def rank_prefix(rank: int) -> str:
    """What stands before the series of a rank: nothing for rank 0, whose names are those that the user wrote."""
    return "" if rank == 0 else f"rank_{rank}/"
