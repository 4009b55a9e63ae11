"""Where the payloads of artifacts come from."""

from collections.abc import Callable

from ..records.artifact import ArtifactRecord
from ..records.run import RunRecord

Payloads = Callable[[RunRecord, ArtifactRecord], bytes]
"""Gives the payload of an artifact of a run; SessionStoreError if it is missing or damaged."""
