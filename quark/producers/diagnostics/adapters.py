"""How a batch of any make says what it is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import SchemaValidationError, WrongTypeError
from ...records.configs import BatchMetadata
from ...records.grammar import shown


class BatchMetadataAdapter:
    """Describes the batches of one data loader; subclass it and implement ``extract_batch_metadata``."""

    __module__ = "quark"

    def extract_batch_metadata(self, batch: Any) -> BatchMetadata:
        """What is known of ``batch``: size, sample ids, class counts, sequence lengths and metadata, never samples.

        Raises:
            NotImplementedError: the subclass does not implement it.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement extract_batch_metadata(batch)")


class MappingBatchMetadataAdapter(BatchMetadataAdapter):
    """Describes batches that are mappings, by the names of their entries.

    A named entry that a batch lacks is an error, but for those of ``metadata_keys``, which may be absent.

    Args:
        sample_id_key: entry with one id per sample.
        label_key: entry with one class per sample, or with counts per class.
        sequence_length_key: entry with the length of each sequence.
        metadata_keys: entries that are copied into the record as they are; choose small ones.
        batch_size_key: entry with the number of samples; without it they are counted by ids, labels or lengths.
    """

    __module__ = "quark"

    def __init__(
        self,
        *,
        sample_id_key: str | None = None,
        label_key: str | None = None,
        sequence_length_key: str | None = None,
        metadata_keys: Sequence[str] = (),
        batch_size_key: str | None = None,
    ) -> None:
        if isinstance(metadata_keys, str):
            raise WrongTypeError(f"metadata_keys must be a sequence of names, got {shown(metadata_keys)}; pass a tuple")
        self.sample_id_key = sample_id_key
        self.label_key = label_key
        self.sequence_length_key = sequence_length_key
        self.metadata_keys = tuple(metadata_keys)
        self.batch_size_key = batch_size_key

    def extract_batch_metadata(self, batch: Any) -> BatchMetadata:
        """What the entries of ``batch`` say.

        Raises:
            WrongTypeError: the batch is no mapping, or an entry is of a wrong type.
            SchemaValidationError: a named entry is missing or has a wrong value.
        """
        if not isinstance(batch, Mapping) and not (hasattr(batch, "keys") and hasattr(batch, "__getitem__")):
            raise WrongTypeError(
                f"MappingBatchMetadataAdapter takes batches that are mappings, got {type(batch).__name__}; "
                "subclass BatchMetadataAdapter for others"
            )
        return BatchMetadata(
            batch_size=self._entry(batch, self.batch_size_key),
            sample_ids=self._entry(batch, self.sample_id_key),
            class_counts=self._entry(batch, self.label_key),
            sequence_lengths=self._entry(batch, self.sequence_length_key),
            metadata={key: batch[key] for key in self.metadata_keys if key in batch},
        )

    def _entry(self, batch: Any, key: str | None) -> Any:
        if key is None:
            return None
        try:
            return batch[key]
        except KeyError as error:
            there = ", ".join(str(name) for name in list(batch.keys())[:20]) or "nothing"
            raise SchemaValidationError(
                f"the batch has no entry {shown(key)}; it has {there}; name one of them, or leave the key out"
            ) from error
