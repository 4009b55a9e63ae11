"""Ids of imported runs: the same source always gives the same id, so a second import finds what the first wrote."""

import uuid

NAMESPACE = uuid.UUID("6f2a4a8e-3c0b-5d5c-9d0e-0a9c7b1f5e21")


def run_id_of(kind: str, source_id: str) -> str:
    """The id of the run that a source becomes: a UUIDv5 of the kind of source and the run's id there."""
    return str(uuid.uuid5(uuid.uuid5(NAMESPACE, kind), source_id))
