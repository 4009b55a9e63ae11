"""Secrets are taken out before anything becomes a record: by the name of what holds them, and by their look.

The parts: words and names judge a name, formats and urls know secrets by their look, assignments finds names in text,
blocks what lies below them, programs knows options of commands,
values goes through JSON-like values and arguments through command lines.
"""

from .arguments import redact_arguments
from .blocks import Blocks
from .formats import HIDDEN, KEY_BEGINS, KEY_ENDS
from .names import is_secret_name
from .text import redact_text, shown_url
from .values import redact, redact_fields, redact_options

__all__ = [
    "HIDDEN", "KEY_BEGINS", "KEY_ENDS", "Blocks", "is_secret_name", "redact", "redact_arguments", "redact_fields",
    "redact_options", "redact_text", "shown_url",
]  # fmt: skip
