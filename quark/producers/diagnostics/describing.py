"""Brings what a caller and an adapter say of a batch into the fields of its record, checked once."""

from collections.abc import Mapping
from typing import Any

from ...errors import SchemaValidationError, WrongTypeError
from ...records.batchvalues import batch_size_of, class_counts_of, sample_ids_of, sequence_lengths_of
from ...records.configs import BatchMetadata
from ...records.grammar import shown
from ...records.jsonable import json_object

_UNKNOWN = BatchMetadata()


def batch_fields(
    known: BatchMetadata, batch_size: Any, labels: Any, sample_ids: Any, sequence_lengths: Any,
    metadata: Mapping[str, Any] | None, *, strict: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The fields of a batch's record but for its loss; what the caller gives wins over what the adapter knows.

    Raises:
        WrongTypeError, SchemaValidationError: a value breaks a rule; the message names the argument.
    """
    ids = known.sample_ids if sample_ids is None else tuple(sample_ids_of(sample_ids))
    counts = known.class_counts if labels is None else class_counts_of(labels, "labels")
    lengths = known.sequence_lengths if sequence_lengths is None else tuple(sequence_lengths_of(sequence_lengths))
    details = known.metadata
    if metadata is not None:
        details = {**details, **json_object(metadata, "metadata", strict=strict)}
    size = known.batch_size if batch_size is None else batch_size_of(batch_size)
    if size is None:
        size = len(ids) or sum(counts.values()) or len(lengths) or None
    return {
        "loss": 0.0, "batch_size": size, "sample_ids": ids, "class_counts": counts, "sequence_lengths": lengths,
        "metadata": details,
    }  # fmt: skip


def extracted(adapter: Any, batch: Any) -> BatchMetadata:
    """What the adapter says of the batch; nothing without one of them.

    Raises:
        WrongTypeError: the adapter gives anything but a BatchMetadata.
        SchemaValidationError: the adapter raises.
    """
    if adapter is None or batch is None:
        return _UNKNOWN
    try:
        found = adapter.extract_batch_metadata(batch)
    except (SchemaValidationError, WrongTypeError):
        raise
    except Exception as error:
        raise SchemaValidationError(
            f"{type(adapter).__name__}.extract_batch_metadata raised {type(error).__name__}: {error}; "
            f"it got a {type(batch).__name__}"
        ) from error
    if not isinstance(found, BatchMetadata):
        raise WrongTypeError(
            f"{type(adapter).__name__}.extract_batch_metadata must return a BatchMetadata, got {shown(found)}"
        )
    return found
