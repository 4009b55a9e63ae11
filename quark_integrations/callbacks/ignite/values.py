"""What an engine's output, metrics or state holds, as numbers by their names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def numbers(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Numbers and one-element tensors by name; nested ones as ``outer/inner``. Other things are left out.

    A tensor on an accelerator stays there, for reading it would wait for it.
    """
    if isinstance(value, (bool, int, float)):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{name}/{key}" if name else str(key))
    elif hasattr(value, "numel") and value.numel() == 1:
        yield name, value.item() if getattr(value, "is_cpu", False) else value.detach().reshape(())
    elif hasattr(value, "item") and getattr(value, "shape", None) == ():  # a NumPy scalar
        yield name, value.item()
    elif hasattr(value, "numel") and value.ndim == 1:
        yield from ((f"{name}/{at}", number) for at, item in enumerate(value) for _, number in numbers(item, ""))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for at, item in enumerate(value):
            yield from numbers(item, f"{name}/{at}" if name else str(at))
