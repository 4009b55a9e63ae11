"""Secrets in text: in log lines, exceptions, URLs, connection strings, JSON, and wherever a name says what follows."""

from .assignments import without_assigned
from .blocks import without_blocks
from .commands import without_placed
from .formats import HIDDEN, without_known_formats, without_private_keys
from .programs import COMMANDS, without_given, without_short_options
from .urls import without_users

LONGEST_URL = 120
"""So much of an address is shown in an error."""

SHORTEST = 4
"""No text of fewer characters holds a secret and the name that tells of it."""


def redact_text(text: str) -> str:
    """A text without keys, tokens, private keys and passwords; everything else stays as it is."""
    if len(text) < SHORTEST:
        return text
    if "PRIVATE KEY" in text or "PuTTY-" in text:
        text = without_private_keys(text)
    text = without_known_formats(text)
    if ":/" in text or ":\\/" in text:
        text = without_users(text)
    if " -" in text:
        text = without_short_options(text)
    if " " in text:
        text = without_placed(text)
        if any(mark in text for mark in COMMANDS):
            text = without_given(text)
    if ":" in text and "\n" in text:
        text = without_blocks(text)
    return without_assigned(text)


def shown_url(url: object) -> str:
    """An address for an error message: without its password, however it is misspelt, and cut short."""
    text = redact_text(str(url)) if isinstance(url, str) else type(url).__name__
    before, at, place = text.rpartition("@")
    if at and not before.endswith(HIDDEN):
        text = f"{HIDDEN}@{place}"
    return repr(text if len(text) <= LONGEST_URL else f"{text[:LONGEST_URL]}...")
