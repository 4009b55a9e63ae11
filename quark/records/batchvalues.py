"""What users hand over of a batch (labels, sample ids, lengths, as lists, arrays or tensors) as plain JSON values."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import SchemaValidationError, WrongTypeError
from .grammar import check_index, clean_text, shown

_PLAIN_LABELS = frozenset((int, str))
_INT = frozenset((int,))
_STR = frozenset((str,))


def batch_size_of(size: Any, field: str = "batch_size") -> int | None:
    """A number of samples, or None.

    Raises:
        WrongTypeError: no whole number.
        SchemaValidationError: below 1.
    """
    number = check_index(size, field)
    if number == 0:
        raise SchemaValidationError(f"{field} must be at least 1, got 0; leave out batches without samples")
    return number


def sample_ids_of(ids: Any, field: str = "sample_ids") -> list[str]:
    """Ids of samples as text: from a sequence, array or tensor of shape (samples,); None for none.

    Raises:
        WrongTypeError: no sequence.
    """
    items = items_of(ids, field)
    types = _types(items)
    if types == _STR:
        made = items
    else:
        made = list(map(str, items)) if types == _INT else [_id(item) for item in items]
    return made if "".join(made).isascii() else [clean_text(item) for item in made]


def _id(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(_scalar(item))


def sequence_lengths_of(lengths: Any, field: str = "sequence_lengths") -> list[int]:
    """Lengths as whole numbers of at least 0: from a sequence, array or tensor of shape (sequences,); None for none.

    Raises:
        WrongTypeError: no sequence, or an item that is no whole number.
        SchemaValidationError: a negative length.
    """
    items = items_of(lengths, field)
    if not items or (_types(items) == _INT and min(items) >= 0):
        return items
    return [_count(_scalar(item), field) for item in items]


def class_counts_of(labels: Any, field: str = "class_counts") -> dict[str, Any]:
    """Class counts from a mapping of counts, or from one label per sample.

    Args:
        labels: ``{class: count}``, or a sequence, array or tensor of shape (samples,) with classes as text or
            whole numbers; None for none.
        field: what the labels are called, for the message.

    Raises:
        WrongTypeError: neither.
        SchemaValidationError: labels of several dimensions, or fractional numbers.
    """
    if isinstance(labels, Mapping):
        return {clean_text(str(label)): _count(_scalar(count), field) for label, count in labels.items()}
    items = items_of(labels, field)
    if not _types(items) <= _PLAIN_LABELS:
        items = [_label(_scalar(item), field) for item in items]
    counts: dict[str, Any] = {}
    for label, count in Counter(items).items():
        text = clean_text(str(label))
        counts[text] = counts.get(text, 0) + count
    return counts


def _label(item: Any, field: str) -> str:
    if isinstance(item, (list, tuple)) or (isinstance(item, float) and not item.is_integer()):
        raise SchemaValidationError(
            f"{field} takes one class per sample, got the label {shown(item)}; "
            "pass counts such as {'cat': 12}, or leave it out"
        )
    return str(int(item)) if isinstance(item, float) else str(item)


def _count(value: Any, field: str) -> int:
    number = check_index(value, field)
    if number is None:
        raise WrongTypeError(f"{field} must hold whole numbers, got None; leave the item out")
    return number


def _types(items: list[Any]) -> set[type]:
    return set(map(type, items))


def _scalar(item: Any) -> Any:
    """A NumPy or torch scalar, or an array, as Python's own."""
    return item.tolist() if callable(getattr(item, "tolist", None)) else item


def items_of(value: Any, field: str) -> list[Any]:
    """A sequence, array or tensor as a list; None as the empty one. A tensor on a device is copied, once, as a whole.

    Raises:
        WrongTypeError: text, a single number, or anything else that is no sequence.
    """
    if value is None:
        return []
    if callable(getattr(value, "tolist", None)):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise WrongTypeError(f"{field} must be a sequence, got {shown(value)}; pass a list")
    return list(value)
