"""The grammar of ids of runs and writers, held at every door: ids become names of files and parts of addresses."""

import re
from typing import TypeGuard

from ..errors import SchemaValidationError, WrongTypeError
from .grammar import shown

MAX_ID = 128
ID_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_ID - 1}}}(?!\n)$"
"""For JSON Schema as well as for Python, where ``$`` alone would let a newline follow."""

_ID = re.compile(ID_PATTERN)


def is_id(text: object) -> TypeGuard[str]:
    """Whether ``text`` can be the id of a run or of a writer."""
    return isinstance(text, str) and _ID.match(text) is not None


def check_id(value: object, what: str = "run_id") -> str:
    """``value``, if it can be the id of a run or of a writer.

    Raises:
        WrongTypeError: not text.
        SchemaValidationError: it is empty, too long, or could not be the name of a file.
    """
    if not isinstance(value, str):
        raise WrongTypeError(f"{what} must be a string, got {shown(value)}; use an id like 'resnet-lr0.1'")
    if not is_id(value):
        raise SchemaValidationError(
            f"{what} must be 1 to {MAX_ID} letters, digits, '.', '_' and '-', the first one a letter or digit, "
            f"got {shown(value)}; use an id like 'resnet-lr0.1'"
        )
    return str(value)
